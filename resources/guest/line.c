/* The line to the host; see line.h for the frame. */
#include "line.h"

#define END 0xc0
#define ESC 0xdb
#define ESC_END 0xdc
#define ESC_ESC 0xdd
#define HEAD 5
#define TAIL 4
#define OUT_ROOM 65536

static int in_fd = -1, out_fd = -1;
static u8 in_frame[HEAD + MAX_PAYLOAD + TAIL];
static size in_used;
static int in_escape, in_spoilt, in_joined;
static u16 in_sequence, out_sequence;
static u32 in_total, in_frame_raw;
static u16 in_sequence_before;
static u8 out_queue[OUT_ROOM];
static size out_start, out_end;
static u32 crc_table[256];

u16 get16(const u8 *at) { return (u16)(at[0] | at[1] << 8); }
u32 get32(const u8 *at) { return get16(at) | (u32)get16(at + 2) << 16; }
void put32(u8 *at, u32 value) {
  for (int i = 0; i < 4; i++) at[i] = (u8)(value >> 8 * i);
}

static u32 crc_more(u32 crc, const u8 *at, size count) {
  while (count--) crc = crc_table[(crc ^ *at++) & 255] ^ crc >> 8;
  return crc;
}

void line_open(int in, int out) {
  for (u32 i = 0; i < 256; i++) {
    u32 crc = i;
    for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? 0xedb88320u ^ crc >> 1 : crc >> 1;
    crc_table[i] = crc;
  }
  in_fd = in;
  out_fd = out;
}

u32 line_taken(void) { return in_total; }

/* Called from on_frame for a HELLO: it goes ahead of frames that have their numbers already, so
 * it leaves the sequence as it was, and its bytes, with both ENDs, are not counted. */
void line_forget_hello(int restart) {
  in_total = restart ? 0 : in_total - in_frame_raw - 1;
  if (!restart) in_sequence = in_sequence_before;
}

int line_in(void) { return in_fd; }
int line_out(void) { return out_fd; }

/* A frame is complete: check it, notice a gap before it, hand it on. */
static void frame_done(void) {
  size used = in_used;
  int spoilt = in_spoilt || in_escape;
  in_used = 0;
  in_escape = in_spoilt = 0;
  if (used == 0 && !spoilt) return;
  /* A spoilt frame shows as a gap before the next good one: noise alone is no loss. */
  if (spoilt || used < HEAD + TAIL) return;
  u32 crc = ~crc_more(~0u, in_frame, used - TAIL);
  if (crc != get32(in_frame + used - TAIL)) return;
  u16 sequence = get16(in_frame + 3);
  u8 type = in_frame[0];
  /* HELLO begins a new count: the host may have been replaced by another process. */
  if (type != HOST_HELLO && in_joined && sequence != (u16)(in_sequence + 1)) on_lost();
  if (!in_joined && type != HOST_HELLO) return;
  in_joined = 1;
  in_sequence_before = in_sequence;
  in_sequence = sequence;
  on_frame(type, get16(in_frame + 1), in_frame + HEAD, used - HEAD - TAIL);
}

static void take_in(const u8 *at, size count) {
  for (size i = 0; i < count; i++) {
    u8 byte = at[i];
    in_total++;
    in_frame_raw++;
    if (byte == END) {
      frame_done();
      in_frame_raw = 0;
      continue;
    }
    if (in_spoilt) continue;
    if (in_escape) {
      in_escape = 0;
      if (byte == ESC_END) byte = END;
      else if (byte == ESC_ESC) byte = ESC;
      else {
        in_spoilt = 1;
        continue;
      }
    } else if (byte == ESC) {
      in_escape = 1;
      continue;
    }
    if (in_used < sizeof in_frame) in_frame[in_used++] = byte;
    else in_spoilt = 1;
  }
}

int line_read(void) {
  static u8 some[4096];
  long got = sys3(__NR_read, in_fd, some, sizeof some);
  if (got == -EAGAIN || got == -EINTR) return 1;
  if (got <= 0) return 0;
  take_in(some, (size)got);
  return 1;
}

int line_waiting(void) { return out_end > out_start; }

int line_write(void) {
  while (out_start < out_end) {
    long wrote = sys3(__NR_write, out_fd, out_queue + out_start, out_end - out_start);
    if (wrote == -EAGAIN || wrote == -EINTR) return 1;
    if (wrote <= 0) return 0;
    out_start += (size)wrote;
  }
  out_start = out_end = 0;
  return 1;
}

int line_room(size payload) {
  return out_end - out_start + 2 * (HEAD + payload + TAIL) + 2 <= OUT_ROOM;
}

static void put_escaped(const u8 *at, size count) {
  while (count--) {
    u8 byte = *at++;
    if (byte == END || byte == ESC) {
      out_queue[out_end++] = ESC;
      byte = byte == END ? ESC_END : ESC_ESC;
    }
    out_queue[out_end++] = byte;
  }
}

void line_send(u8 type, u16 session, const void *a, size a_count, const void *b, size b_count) {
  u8 head[HEAD], tail[TAIL];
  if (!line_room(a_count + b_count)) return;
  if (out_end + 2 * (HEAD + a_count + b_count + TAIL) + 2 > OUT_ROOM) {
    memmove(out_queue, out_queue + out_start, out_end - out_start);
    out_end -= out_start;
    out_start = 0;
  }
  head[0] = type;
  head[1] = (u8)session, head[2] = (u8)(session >> 8);
  out_sequence++;
  head[3] = (u8)out_sequence, head[4] = (u8)(out_sequence >> 8);
  u32 crc = crc_more(~0u, head, HEAD);
  crc = crc_more(crc, a, a_count);
  crc = crc_more(crc, b, b_count);
  put32(tail, ~crc);
  out_queue[out_end++] = END;
  put_escaped(head, HEAD);
  put_escaped(a, a_count);
  put_escaped(b, b_count);
  put_escaped(tail, TAIL);
  out_queue[out_end++] = END;
}
