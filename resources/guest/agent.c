/*
 * Nymph's part inside a guest: `/init` of the boot file system, and the daemon that it leaves.
 *
 *   /init                 as process 1: see boot.c
 *   agent --line DEVICE   the daemon alone, in a system that is already up
 *   agent --stdio         the daemon over its own stdin and stdout, as an ordinary process:
 *                         for tests on a host; it changes nothing of the machine it runs on
 *
 * Build: see src-main/images/initramfs.ts. No libc (sys.h says why), no allocation: every buffer
 * is here from the start. The host is trusted, it owns this machine; the line is not: frames may
 * be lost when the host's program is replaced, and line.c notices.
 * argv[0] begins with '@', the sign by which systemd spares a process at shutdown.
 */
#include "guest.h"
#include <linux/openat2.h>
#include <linux/random.h>
#include <linux/reboot.h>
#include <linux/utsname.h>
#include <linux/wait.h>

#define MAX_WINDOWS 16
#define MAX_SYNCS 4
#define SIGCHLD_BIT (1ul << 16)

struct place place = {0, -1, -1, 1};
static int line_ended;
static u32 stats_every_ms;
static u64 stats_next_ms;
static struct { int pid; u16 token; u8 done; u32 error; } syncs[MAX_SYNCS];
static struct { char path[32]; int fd; } windows[MAX_WINDOWS];
static u8 lost_to_report;
static u32 taken_said;
static char trouble[256];

long guest_root(void) {
  if (!place.real) return sys4(__NR_openat, AT_FDCWD, "/", O_DIRECTORY | O_CLOEXEC, 0);
  return sys4(__NR_openat, place.proc, "1/root", O_DIRECTORY | O_CLOEXEC, 0);
}

long open_in_guest(const char *path, int flags) {
  long root = guest_root();
  if (root < 0) return root;
  struct open_how how;
  memset(&how, 0, sizeof how);
  how.flags = (u64)flags;
  how.resolve = RESOLVE_IN_ROOT;
  long fd = sys4(__NR_openat2, root, path, &how, sizeof how);
  /* Kernels before 5.6: absolute links then point into the boot file system and fail. */
  if (fd == -ENOSYS) fd = sys4(__NR_openat, root, path + 1, flags, 0);
  sys1(__NR_close, root);
  return fd;
}

void child_reset(void) {
  u64 none = 0;
  sys4(__NR_rt_sigprocmask, 2 /* SIG_SETMASK */, &none, NULL, 8);
  if (place.real) write_file(place.proc, "self/oom_score_adj", "0");
}

static void hello(u32 nonce, int started) {
  struct new_utsname names;
  char comm[64], body[512];
  struct text text = {body, 0, sizeof body};
  u8 head[12] = {PROTOCOL_VERSION, 0, (u8)(place.booted ? 1 : 0), (u8)started};
  put32(head + 4, nonce);
  put32(head + 8, line_taken());
  memset(&names, 0, sizeof names);
  sys1(__NR_uname, &names);
  long got = read_file(place.proc, "1/comm", comm, sizeof comm);
  if (got > 0 && comm[got - 1] == '\n') comm[got - 1] = 0;
  const char *words[] = {names.release, names.machine, got > 0 ? comm : "", names.nodename};
  for (int i = 0; i < 4; i++) {
    text_add(&text, words[i]);
    text.used++; /* keep the NUL that ends it */
  }
  line_send(GUEST_HELLO, 0, head, 12, body, text.used);
}

/* Remembers an open descriptor: a terminal nobody has open forgets its size. */
static void set_window(const char *path, u16 rows, u16 columns) {
  struct winsize window = {rows, columns, 0, 0};
  int at = -1;
  if (!starts(path, "/dev/") || length(path) >= sizeof windows[0].path) return;
  for (int i = MAX_WINDOWS - 1; i >= 0; i--)
    if (!windows[i].path[0] || same(windows[i].path, path)) at = i;
  for (int i = 0; i < MAX_WINDOWS; i++)
    if (same(windows[i].path, path)) at = i;
  if (at < 0) return;
  int held = windows[at].path[0] && sys3(__NR_ioctl, windows[at].fd, TIOCSWINSZ, &window) == 0;
  if (held) return;
  /* Not held yet, or hung up by a login since: open it anew. */
  if (windows[at].path[0]) sys1(__NR_close, windows[at].fd);
  windows[at].path[0] = 0;
  long fd = open_in_guest(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return;
  if (sys3(__NR_ioctl, fd, TIOCSWINSZ, &window)) {
    sys1(__NR_close, fd);
    return;
  }
  memcpy(windows[at].path, path, length(path) + 1);
  windows[at].fd = (int)fd;
}

static void say_done(u16 token, u32 error) {
  u8 body[4];
  put32(body, error);
  line_send(GUEST_DONE, token, body, 4, NULL, 0);
}

static void start_sync(u16 token) {
  int at = 0;
  while (at < MAX_SYNCS && syncs[at].pid) at++;
  long pid = at < MAX_SYNCS ? fork() : -EBUSY;
  if (pid == 0) {
    sys0(__NR_sync);
    exit(0);
  }
  if (pid < 0) {
    say_done(token, (u32)-pid);
    return;
  }
  syncs[at].pid = (int)pid;
  syncs[at].token = token;
  syncs[at].done = 0;
}

/* The name of the program that process 1 runs, behind all links. */
static void init_name(char *into, size room) {
  long got = sys4(__NR_readlinkat, place.proc, "1/exe", into, room - 1);
  char *from = into;
  into[got > 0 ? got : 0] = 0;
  for (char *c = into; *c; c++)
    if (*c == '/') from = c + 1;
  memmove(into, from, length(from) + 1);
}

/* In a child: the guest's own command, else the kernel's, after everything had its SIGTERM. */
static void power_by_command(int how) {
  static char *const commands[] = {"/sbin/poweroff", "/sbin/reboot", "/sbin/halt"};
  static const u32 kernel[] = {LINUX_REBOOT_CMD_POWER_OFF, LINUX_REBOOT_CMD_RESTART,
                               LINUX_REBOOT_CMD_HALT};
  char *argv[] = {commands[how], NULL};
  char *envp[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL};
  long pid = fork();
  if (pid == 0) {
    long root = guest_root();
    child_reset();
    sys0(__NR_setsid);
    if (root >= 0 && !sys1(__NR_fchdir, root) && !sys1(__NR_chroot, "."))
      sys3(__NR_execve, argv[0], argv, envp);
    exit(127);
  }
  int status = 127 << 8;
  sys4(__NR_wait4, pid, &status, 0, 0);
  if (status == 0) exit(0);
  sys2(__NR_kill, -1, 15);
  sleep_ms(500);
  sys0(__NR_sync);
  sys4(__NR_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, kernel[how], 0);
  exit(0);
}

static void power(u16 token, int how) {
  /* systemd: SIGRTMIN+4, +5, +3 (systemd(1), Signals). busybox: USR2, TERM, USR1. */
  static const u8 systemd[] = {38, 39, 37}, busybox[] = {12, 15, 10};
  char name[256];
  if (how < 0 || how > 2) {
    say_done(token, EINVAL);
    return;
  }
  say_done(token, 0);
  if (!place.real) {
    line_ended = 1;
    return;
  }
  init_name(name, sizeof name);
  if (starts(name, "systemd")) sys2(__NR_kill, 1, systemd[how]);
  else if (starts(name, "busybox")) sys2(__NR_kill, 1, busybox[how]);
  else if (fork() == 0) power_by_command(how);
}

static void reseed(const u8 *seed, size count) {
  struct { int bits, bytes; u8 data[512]; } feed;
  if (!place.real || !count || count > sizeof feed.data) return;
  feed.bits = (int)count * 8;
  feed.bytes = (int)count;
  memcpy(feed.data, seed, count);
  long fd = sys4(__NR_openat, place.proc, "1/root/dev/urandom", O_WRONLY | O_CLOEXEC, 0);
  if (fd < 0) return;
  sys3(__NR_ioctl, fd, RNDADDENTROPY, &feed);
  sys1(__NR_close, fd);
}

void on_lost(void) { lost_to_report = 1; }

void on_frame(u8 type, u16 session, const u8 *at, size count) {
  static u32 owner;
  switch (type) {
    case HOST_HELLO:
      if (count < 4) return;
      line_forget_hello(get32(at) != owner);
      if (get32(at) != owner) { /* another host, or one that lost its thread: start clean */
        sessions_hang_up();
        stats_every_ms = 0;
        taken_said = 0;
      }
      owner = get32(at);
      lost_to_report = 0;
      hello(owner, 0);
      return;
    case HOST_EXEC: session_exec(session, at, count); return;
    case HOST_STDIN: session_stdin(session, at, count); return;
    case HOST_STDIN_EOF: session_stdin_eof(session); return;
    case HOST_SIGNAL: if (count == 1) session_signal(session, at[0]); return;
    case HOST_CREDIT: if (count == 4) session_credit(session, get32(at)); return;
    case HOST_WINDOW:
      if (count < 4) return;
      if (session) session_window(session, get16(at), get16(at + 2));
      else if (count > 5 && !at[count - 1])
        set_window((const char *)at + 4, get16(at), get16(at + 2));
      return;
    case HOST_STATS:
      if (count != 4) return;
      stats_every_ms = get32(at);
      if (stats_every_ms && stats_every_ms < 50) stats_every_ms = 50;
      stats_next_ms = now_ms();
      return;
    case HOST_POWER: power(session, count == 1 ? at[0] : -1); return;
    case HOST_SYNC: start_sync(session); return;
    case HOST_HOSTNAME: if (place.real) sys2(__NR_sethostname, at, count); return;
    case HOST_RESEED: reseed(at, count); return;
    default: return; /* a newer host: what we do not know is not for us */
  }
}

static void reap(int signals) {
  u8 gone[128];
  while (sys3(__NR_read, signals, gone, sizeof gone) > 0) {}
  for (;;) {
    int status = 0;
    long pid = sys4(__NR_wait4, -1, &status, WNOHANG, 0);
    if (pid <= 0) return;
    sessions_reaped((int)pid, status);
    for (int i = 0; i < MAX_SYNCS; i++)
      if (syncs[i].pid == pid) syncs[i].done = 1;
  }
}

static void report(void) {
  static u8 figures[20000];
  for (int i = 0; i < MAX_SYNCS; i++)
    if (syncs[i].pid && syncs[i].done && line_room(4)) {
      say_done(syncs[i].token, 0);
      syncs[i].pid = 0;
    }
  if (lost_to_report && line_room(0)) {
    lost_to_report = 0;
    line_send(GUEST_LOST, 0, NULL, 0, NULL, 0);
  }
  if (line_taken() - taken_said >= TAKEN_EVERY && line_room(4)) {
    u8 taken[4];
    taken_said = line_taken();
    put32(taken, taken_said);
    line_send(GUEST_TAKEN, 0, taken, 4, NULL, 0);
  }
  if (trouble[0] && line_room(sizeof trouble)) {
    line_send(GUEST_TROUBLE, 0, trouble, length(trouble), NULL, 0);
    trouble[0] = 0;
  }
  if (!stats_every_ms || now_ms() < stats_next_ms || !line_room(sizeof figures)) return;
  stats_next_ms = now_ms() + stats_every_ms;
  line_send(GUEST_STATS, 0, figures, (size)stats_collect(figures, sizeof figures), NULL, 0);
}

/* Process 1 says through this pipe how the boot went; its end means that init has taken over. */
static void hear_boot(void) {
  long got = sys3(__NR_read, place.ready, trouble, sizeof trouble - 1);
  if (got == -EAGAIN || got == -EINTR) return;
  trouble[got > 0 ? got : 0] = 0;
  if (got > 0) return;
  sys1(__NR_close, place.ready);
  place.ready = -1;
  place.booted = 1;
  hello(0, 1);
}

static long wait_ms(void) {
  if (!stats_every_ms) return -1;
  u64 now = now_ms();
  return now >= stats_next_ms ? 0 : (long)(stats_next_ms - now);
}

static void turn_once(int signals, int again) {
  struct pollfd polled[MAX_POLLED];
  /* Room for the largest answer to one read, so that no request is taken in and then dropped. */
  int can_take = line_room(16384);
  int count = 0;
  polled[count++] = (struct pollfd){signals, POLLIN, 0};
  polled[count++] = (struct pollfd){line_in(), can_take ? POLLIN : 0, 0};
  polled[count++] = (struct pollfd){line_out(), line_waiting() ? POLLOUT : 0, 0};
  polled[count++] = (struct pollfd){place.ready, POLLIN, 0};
  count += sessions_poll(polled + count);
  long ms = again ? 0 : wait_ms();
  struct { long seconds, nanoseconds; } time = {ms / 1000, ms % 1000 * 1000000};
  sys5(__NR_ppoll, polled, count, ms < 0 ? NULL : &time, NULL, 8);
  if (polled[0].revents) reap(signals);
  if (polled[1].revents && can_take && !line_read()) line_ended = 1;
  if (polled[3].revents && place.ready >= 0) hear_boot();
}

void agent(void) {
  u64 child_signal = SIGCHLD_BIT, blocked = SIGCHLD_BIT | 1ul << 12 /* SIGPIPE */;
  if (place.real) blocked |= 1ul << 14 | 1ul | 1ul << 1; /* SIGTERM, SIGHUP, SIGINT */
  sys4(__NR_rt_sigprocmask, 2 /* SIG_SETMASK */, &blocked, NULL, 8);
  long signals = sys4(__NR_signalfd4, -1, &child_signal, 8, O_CLOEXEC | O_NONBLOCK);
  if (place.real) write_file(place.proc, "self/oom_score_adj", "-1000");
  if (place.booted) hello(0, 1);
  int again = 0;
  while (!line_ended) {
    turn_once((int)signals, again);
    report();
    again = sessions_work();
    if (line_waiting() && !line_write()) line_ended = 1;
  }
  if (line_waiting()) line_write();
  sessions_hang_up();
}

static void nonblocking(int fd) {
  sys3(__NR_fcntl, fd, F_SETFL, sys3(__NR_fcntl, fd, F_GETFL, 0) | O_NONBLOCK);
}

/* Exclusive, so that a stray `cat /dev/ttyS7` of a guest's user does not eat our bytes. */
long open_line(const char *device) {
  struct termios raw;
  long fd = sys4(__NR_openat, AT_FDCWD, device, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC, 0);
  if (fd < 0) return fd;
  if (sys3(__NR_ioctl, fd, TCGETS, &raw) == 0) {
    raw.c_iflag = raw.c_oflag = raw.c_lflag = 0;
    raw.c_cflag = (raw.c_cflag & ~(CSIZE | PARENB | HUPCL)) | CS8 | CREAD | CLOCAL;
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    sys3(__NR_ioctl, fd, TCSETS, &raw);
    sys3(__NR_ioctl, fd, TIOCEXCL, 0);
  }
  return fd;
}

int program(int argc, char **argv, char **envp) {
  if (sys0(__NR_getpid) == 1) boot(argv, envp);
  place.proc = (int)sys4(__NR_openat, AT_FDCWD, "/proc", O_DIRECTORY | O_PATH | O_CLOEXEC, 0);
  if (argc == 2 && same(argv[1], "--stdio")) {
    nonblocking(0);
    nonblocking(1);
    line_open(0, 1);
    agent();
    return 0;
  }
  if (argc == 3 && same(argv[1], "--line")) {
    long fd = open_line(argv[2]);
    if (fd < 0) return 1;
    place.real = 1;
    line_open((int)fd, (int)fd);
    agent();
    return 0;
  }
  const char usage[] = "usage: agent --stdio | --line DEVICE\n";
  sys3(__NR_write, 2, usage, sizeof usage - 1);
  return 2;
}
