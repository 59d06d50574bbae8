/*
 * What the parts of the guest program say to each other. The program has two lives:
 *   boot.c     process 1: mounts, forks the agent, finds the root file system, becomes its init
 *   agent.c    the daemon that talks to the host; session.c one command it runs; stats.c figures
 */
#ifndef NYMPH_GUEST_H
#define NYMPH_GUEST_H

#include "line.h"

struct place {
  int real;    /* 0: an ordinary process on some host (--stdio, for tests): touch nothing of it */
  int proc;    /* descriptor of /proc: stays good when the mount is moved or hidden */
  int ready;   /* becomes readable: text of a boot failure; ends: init has taken over; -1: ready */
  int booted;
};
extern struct place place;

/* The daemon's loop; returns when the line ends. */
void agent(void);
/* Process 1: never returns but by exec. */
void boot(char **argv, char **envp);

/* A descriptor of the root directory that process 1 sees, or a negative errno. */
long guest_root(void);
/* Opens a path as a process in the guest would see it, absolute links included. */
long open_in_guest(const char *path, int flags);
long stats_collect(u8 *into, size room);
/* Opens a serial device raw and for us alone; a negative errno when it cannot be. */
long open_line(const char *device);

#define MAX_SESSIONS 16
#define MAX_POLLED (4 + 3 * MAX_SESSIONS)
struct pollfd {
  int fd;
  short events;
  short revents;
};
#define POLLIN 1
#define POLLOUT 4
#define POLLERR 8
#define POLLHUP 16

void session_exec(u16 id, const u8 *payload, size count);
void session_stdin(u16 id, const u8 *bytes, size count);
void session_stdin_eof(u16 id);
void session_signal(u16 id, int signal);
void session_credit(u16 id, u32 more);
void session_window(u16 id, u16 rows, u16 columns);
/* The host has forgotten all sessions: hang up, as a terminal that goes away does. */
void sessions_hang_up(void);
void sessions_reaped(int pid, int status);
/* Fills in what the sessions wait for and returns how many entries that are. */
int sessions_poll(struct pollfd *polled);
/* Moves bytes, a limited share for each session in turn; 1: call again before waiting. */
int sessions_work(void);
/* A vkernel inside this guest, see nest.c: the words of `@nest`; an exit code. */
int nest(char **argv);
/* Undoes in a child what the daemon set for itself. */
void child_reset(void);

#endif
