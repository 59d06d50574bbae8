/*
 * The line to the host: SLIP frames (RFC 1055) with a CRC over a serial port or a pipe.
 *
 * A frame, before SLIP escaping, little-endian:
 *   type u8 | session u16 | sequence u16 | payload 0..MAX_PAYLOAD | crc32 (IEEE) of all before
 * It is sent as END frame END, so that either side can join in the middle of a stream and be in
 * step at the next END. `sequence` counts the frames of one direction; a gap tells the reader
 * that something was lost, which is the only way a broken stream is ever noticed.
 * What must hold: a frame is put into the out queue whole or not at all.
 */
#ifndef NYMPH_LINE_H
#define NYMPH_LINE_H

#include "sys.h"

#define PROTOCOL_VERSION 1
#define MAX_PAYLOAD 65024
#define MAX_DATA 4096

enum {
  HOST_HELLO = 1, HOST_EXEC, HOST_STDIN, HOST_STDIN_EOF, HOST_SIGNAL, HOST_CREDIT, HOST_WINDOW,
  HOST_STATS, HOST_POWER, HOST_SYNC, HOST_HOSTNAME, HOST_RESEED,
  GUEST_HELLO = 65, GUEST_STARTED, GUEST_STDOUT, GUEST_STDERR, GUEST_EXIT, GUEST_CREDIT,
  GUEST_STATS, GUEST_DONE, GUEST_TROUBLE, GUEST_LOST, GUEST_TAKEN,
};

/* Called for each whole frame that arrives. */
void on_frame(u8 type, u16 session, const u8 *payload, size count);
/* Called when frames from the host were lost. */
void on_lost(void);

/* Bytes taken in since the host's first HELLO with its nonce, HELLO frames not counted: the host
 * never has more than LINE_WINDOW bytes on the way, because a User Mode Linux serial port that
 * once had its 4 kB input buffer full never wakes up again (line_throttle in arch/um). */
u32 line_taken(void);
void line_forget_hello(int restart);
#define TAKEN_EVERY 600

void line_open(int in, int out);
int line_in(void);
int line_out(void);
/* Takes in what is there; returns 0 when the line has ended. */
int line_read(void);
/* Sends what the line takes; returns 0 when the line has ended. */
int line_write(void);
int line_waiting(void);
/* Is there room for a frame with this payload, however badly it escapes? */
int line_room(size payload);
/* Queues a frame made of two parts; call only with room. */
void line_send(u8 type, u16 session, const void *a, size a_count, const void *b, size b_count);

u16 get16(const u8 *at);
u32 get32(const u8 *at);
void put32(u8 *at, u32 value);

#endif
