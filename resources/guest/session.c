/*
 * One command that the host asked for: its processes, its pipes or terminal, its credit.
 *
 * Output is read only while the host has granted room for it (credit) and the line has room for
 * a frame, one frame per session and turn: a command that floods starves nobody. Input waits in
 * a ring whose free room the host knows (it begins with INPUT_ROOM and is told of what leaves).
 * A session ends when its process has ended and what that process wrote is sent; what its
 * descendants may write later is nobody's.
 */
#include "guest.h"
#include <linux/sched.h>
#include <linux/wait.h>

#define INPUT_ROOM 32768
#define MAX_WORDS 1024

struct session {
  u16 id;
  u8 used, tty, exited, started, input_ended, hung_up;
  int pid, status;
  int in, out, err; /* -1 when closed; with a terminal `in` and `out` are the same descriptor */
  int failure;      /* read end: the errno of a failed exec; closed by a good one */
  u32 credit;       /* bytes that the host will take */
  u32 freed;        /* input bytes that left the ring and were not yet reported */
  u32 ring_start, ring_used;
  u8 ring[INPUT_ROOM];
};
static struct session sessions[MAX_SESSIONS];
static int turn;

enum { ENDED_EXIT = 0, ENDED_SIGNAL = 1, ENDED_NOT_STARTED = 2 };

static struct session *find(u16 id) {
  for (int i = 0; i < MAX_SESSIONS; i++)
    if (sessions[i].used && sessions[i].id == id) return &sessions[i];
  return NULL;
}

static void shut(int *fd) {
  if (*fd >= 0) sys1(__NR_close, *fd);
  *fd = -1;
}

static void say_end(u16 id, u8 kind, u32 value, const char *text) {
  u8 head[5];
  head[0] = kind;
  put32(head + 1, value);
  line_send(GUEST_EXIT, id, head, 5, text, length(text));
}

static void forget(struct session *s) {
  if (s->tty && s->in == s->out) s->in = -1;
  shut(&s->in);
  shut(&s->out);
  shut(&s->err);
  shut(&s->failure);
  s->used = 0;
}

/* The request: flags u8 (1 terminal) | rows u16 | columns u16 | credit u32 | arguments u16 |
 * variables u16 | directory, arguments, variables: each ended by NUL. */
struct request {
  u8 tty;
  u16 rows, columns;
  u32 credit;
  const char *directory;
  char *argv[MAX_WORDS + 1];
  char *envp[MAX_WORDS + 1];
};
static struct request request;

static int parse(const u8 *payload, size count) {
  if (count < 13 || payload[count - 1]) return 0;
  request.tty = payload[0] & 1;
  request.rows = get16(payload + 1);
  request.columns = get16(payload + 3);
  request.credit = get32(payload + 5);
  u16 words = get16(payload + 9), variables = get16(payload + 11);
  if (words < 1 || words > MAX_WORDS || variables > MAX_WORDS) return 0;
  const u8 *at = payload + 13, *end = payload + count;
  for (int i = -1; i < words + variables; i++) {
    if (at >= end) return 0;
    if (i < 0) request.directory = (const char *)at;
    else if (i < words) request.argv[i] = (char *)at;
    else request.envp[i - words] = (char *)at;
    at += length((const char *)at) + 1;
  }
  request.argv[words] = request.envp[variables] = NULL;
  return 1;
}

static const char *variable(const char *name) {
  for (char **e = request.envp; *e; e++)
    if (starts(*e, name) && (*e)[length(name)] == '=') return *e + length(name) + 1;
  return NULL;
}

/* Looks a bare name up in PATH; returns the errno worth telling. */
static long exec_by_name(void) {
  const char *name = request.argv[0];
  for (const char *c = name; *c; c++)
    if (*c == '/') return sys3(__NR_execve, name, request.argv, request.envp);
  const char *path = variable("PATH");
  long worst = -ENOENT;
  if (!path) path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  while (*path) {
    char full[4096];
    size used = 0;
    while (*path && *path != ':' && used < sizeof full - 2) full[used++] = *path++;
    while (*path && *path != ':') path++;
    if (*path) path++;
    struct text text = {full, used, sizeof full};
    full[used] = 0;
    text_add(&text, "/");
    text_add(&text, name);
    long error = sys3(__NR_execve, full, request.argv, request.envp);
    if (error != -ENOENT && error != -ENOTDIR) worst = error;
  }
  return worst;
}

static void child(int in, int out, int err, int tty, int failure) {
  long error = 0;
  sys0(__NR_setsid);
  if (tty >= 0) {
    sys3(__NR_ioctl, tty, TIOCSCTTY, 0);
    in = out = err = tty;
  }
  /* None of these is 0, 1 or 2: the daemon keeps those three taken. */
  sys3(__NR_dup3, in, 0, 0);
  sys3(__NR_dup3, out, 1, 0);
  sys3(__NR_dup3, err, 2, 0);
  child_reset();
  if (place.real) {
    long root = guest_root();
    error = root < 0 ? root : sys1(__NR_fchdir, root);
    if (!error) error = sys1(__NR_chroot, ".");
  }
  u8 report[5] = {1};
  if (!error && request.directory[0]) error = sys1(__NR_chdir, request.directory);
  else if (!error && place.real) error = sys1(__NR_chdir, "/");
  if (!error && same(request.argv[0], "@nest")) exit(nest(request.argv));
  if (!error) {
    report[0] = 0;
    error = exec_by_name();
  }
  put32(report + 1, (u32)-error);
  sys3(__NR_write, failure, report, 5);
  exit(127);
}

static long open_terminal(int *master, int *slave) {
  *master = (int)open_in_guest("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
  if (*master < 0) return *master;
  int unlocked = 0;
  sys3(__NR_ioctl, *master, TIOCSPTLCK, &unlocked);
  *slave = (int)sys3(__NR_ioctl, *master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (*slave < 0) return *slave;
  struct winsize window = {request.rows, request.columns, 0, 0};
  sys3(__NR_ioctl, *master, TIOCSWINSZ, &window);
  return 0;
}

static void shut_all(int *fds, int count) {
  for (int i = 0; i < count; i++) shut(&fds[i]);
}

static void unblock(int fd) {
  long flags = sys3(__NR_fcntl, fd, F_GETFL, 0);
  sys3(__NR_fcntl, fd, F_SETFL, flags | O_NONBLOCK);
}

/* pipes: in read/write, out read/write, err read/write, failure read/write, master, slave */
enum { IN_R, IN_W, OUT_R, OUT_W, ERR_R, ERR_W, FAIL_R, FAIL_W, MASTER, SLAVE, ENDS };

static long open_ends(int *ends) {
  long error = sys2(__NR_pipe2, ends + FAIL_R, O_CLOEXEC);
  if (!error && request.tty) return open_terminal(ends + MASTER, ends + SLAVE);
  for (int at = IN_R; !error && at <= ERR_R; at += 2)
    error = sys2(__NR_pipe2, ends + at, O_CLOEXEC);
  if (error) return error;
  unblock(ends[IN_W]);
  unblock(ends[OUT_R]);
  unblock(ends[ERR_R]);
  return 0;
}

void session_exec(u16 id, const u8 *payload, size count) {
  struct session *s = NULL;
  int ends[ENDS];
  memset(ends, 0xff, sizeof ends);
  if (find(id)) return; /* its owner is confused; the running session stays what it is */
  for (int i = 0; i < MAX_SESSIONS && !s; i++)
    if (!sessions[i].used) s = &sessions[i];
  long error = place.booted ? s ? 0 : -EMFILE : -EAGAIN;
  if (!error && !parse(payload, count)) error = -E2BIG;
  if (!error) error = open_ends(ends);
  long pid = error ? error : fork();
  if (pid == 0) child(ends[IN_R], ends[OUT_W], ends[ERR_W], ends[SLAVE], ends[FAIL_W]);
  if (pid < 0) {
    shut_all(ends, ENDS);
    say_end(id, ENDED_NOT_STARTED, (u32)-pid, "");
    return;
  }
  int theirs[] = {ends[IN_R], ends[OUT_W], ends[ERR_W], ends[FAIL_W], ends[SLAVE]};
  shut_all(theirs, 5);
  memset(s, 0, sizeof *s - INPUT_ROOM);
  s->used = 1;
  s->id = id;
  s->pid = (int)pid;
  s->tty = request.tty;
  s->credit = request.credit;
  s->in = s->tty ? ends[MASTER] : ends[IN_W];
  s->out = s->tty ? ends[MASTER] : ends[OUT_R];
  s->err = ends[ERR_R];
  s->failure = ends[FAIL_R];
}

void session_stdin(u16 id, const u8 *bytes, size count) {
  struct session *s = find(id);
  if (!s || s->input_ended) return;
  if (s->in < 0) {
    s->freed += (u32)count; /* nobody reads: swallow, so that the sender does not wait */
    return;
  }
  if (count > INPUT_ROOM - s->ring_used) count = INPUT_ROOM - s->ring_used;
  u32 at = (s->ring_start + s->ring_used) % INPUT_ROOM;
  size first = count < INPUT_ROOM - at ? count : INPUT_ROOM - at;
  memcpy(s->ring + at, bytes, first);
  memcpy(s->ring, bytes + first, count - first);
  s->ring_used += (u32)count;
}

void session_stdin_eof(u16 id) {
  struct session *s = find(id);
  if (!s) return;
  u8 end_of_file = 4;
  if (s->tty) session_stdin(id, &end_of_file, 1);
  else s->input_ended = 1;
}

void session_signal(u16 id, int signal) {
  struct session *s = find(id);
  /* The process leads its own group; a group that is gone answers ESRCH, which is fine. */
  if (s && signal > 0 && signal < 65 && sys2(__NR_kill, -s->pid, signal) == -ESRCH && !s->exited)
    sys2(__NR_kill, s->pid, signal);
}

void session_credit(u16 id, u32 more) {
  struct session *s = find(id);
  if (s) s->credit = s->credit + more < more ? ~0u : s->credit + more;
}

void session_window(u16 id, u16 rows, u16 columns) {
  struct session *s = find(id);
  struct winsize window = {rows, columns, 0, 0};
  if (s && s->tty && s->out >= 0) sys3(__NR_ioctl, s->out, TIOCSWINSZ, &window);
}

void sessions_hang_up(void) {
  for (int i = 0; i < MAX_SESSIONS; i++) {
    struct session *s = &sessions[i];
    if (!s->used) continue;
    sys2(__NR_kill, -s->pid, 1 /* SIGHUP */);
    sys2(__NR_kill, -s->pid, 18 /* SIGCONT */);
    forget(s);
  }
}

void sessions_reaped(int pid, int status) {
  for (int i = 0; i < MAX_SESSIONS; i++)
    if (sessions[i].used && sessions[i].pid == pid && !sessions[i].exited) {
      sessions[i].exited = 1;
      sessions[i].status = status;
    }
}

static int want(struct pollfd *polled, int fd, short events) {
  polled->fd = fd;
  polled->events = events;
  polled->revents = 0;
  return 1;
}

int sessions_poll(struct pollfd *polled) {
  int count = 0;
  int room = line_room(MAX_DATA);
  for (int i = 0; i < MAX_SESSIONS; i++) {
    struct session *s = &sessions[i];
    if (!s->used) continue;
    if (s->failure >= 0) count += want(polled + count, s->failure, POLLIN);
    if (s->in >= 0 && s->ring_used) count += want(polled + count, s->in, POLLOUT);
    if (!room || !s->credit) continue;
    if (s->out >= 0) count += want(polled + count, s->out, POLLIN);
    if (s->err >= 0) count += want(polled + count, s->err, POLLIN);
  }
  return count;
}

/* Exec worked when the pipe closes; otherwise it carries whose fault it was and the errno. */
static void check_start(struct session *s) {
  u8 report[5];
  if (!line_room(64)) return;
  unblock(s->failure);
  long got = sys3(__NR_read, s->failure, report, 5);
  if (got == -EAGAIN) return;
  shut(&s->failure);
  if (got == 5) {
    say_end(s->id, ENDED_NOT_STARTED, get32(report + 1), report[0] ? "directory" : "");
    forget(s);
    return;
  }
  u8 pid[4];
  put32(pid, (u32)s->pid);
  s->started = 1;
  line_send(GUEST_STARTED, s->id, pid, 4, NULL, 0);
}

static void feed(struct session *s) {
  while (s->in >= 0 && s->ring_used) {
    size first = INPUT_ROOM - s->ring_start;
    if (first > s->ring_used) first = s->ring_used;
    long wrote = sys3(__NR_write, s->in, s->ring + s->ring_start, first);
    if (wrote == -EAGAIN || wrote == -EINTR) return;
    if (wrote <= 0) {
      if (s->tty) wrote = (long)first;
      else {
        s->freed += s->ring_used;
        s->ring_used = 0;
        shut(&s->in);
        return;
      }
    }
    s->ring_start = (s->ring_start + (u32)wrote) % INPUT_ROOM;
    s->ring_used -= (u32)wrote;
    s->freed += (u32)wrote;
  }
  if (s->input_ended && !s->tty) shut(&s->in);
}

/* One frame at most. Returns 1 when there may be more, 0 when there is nothing now. */
static int drain(struct session *s, int *fd, u8 type) {
  static u8 some[MAX_DATA];
  if (*fd < 0) return 0;
  if (!s->credit || !line_room(MAX_DATA)) return 1;
  size ask = s->credit < MAX_DATA ? s->credit : MAX_DATA;
  long got = sys3(__NR_read, *fd, some, ask);
  if (got == -EAGAIN) return 0;
  if (got == -EINTR) return 1;
  if (got <= 0) { /* a terminal whose last user is gone answers EIO */
    if (s->tty && s->in == *fd) s->in = -1;
    shut(fd);
    return 0;
  }
  s->credit -= (u32)got;
  line_send(type, s->id, some, (size)got, NULL, 0);
  return 1;
}

static void finish(struct session *s) {
  if (!s->exited || !line_room(64)) return;
  /* A terminal tells by EIO that all is out; a pipe by being empty once its writer is dead. */
  if (s->tty && s->out >= 0) return;
  int status = s->status;
  u8 by_signal = (status & 127) != 0;
  u32 value = by_signal ? (u32)(status & 127) : (u32)(status >> 8 & 255);
  say_end(s->id, by_signal ? ENDED_SIGNAL : ENDED_EXIT, value, "");
  forget(s);
}

int sessions_work(void) {
  int again = 0;
  turn = (turn + 1) % MAX_SESSIONS;
  for (int i = 0; i < MAX_SESSIONS; i++) {
    struct session *s = &sessions[(turn + i) % MAX_SESSIONS];
    if (!s->used) continue;
    if (s->failure >= 0) check_start(s);
    if (!s->used || !s->started) continue;
    feed(s);
    int more = drain(s, &s->out, GUEST_STDOUT);
    more |= drain(s, &s->err, GUEST_STDERR);
    if (s->freed && (s->freed >= INPUT_ROOM / 4 || !s->ring_used) && line_room(4)) {
      u8 freed[4];
      put32(freed, s->freed);
      s->freed = 0;
      line_send(GUEST_CREDIT, s->id, freed, 4, NULL, 0);
    }
    if (!more) finish(s);
    /* A pipe that a descendant keeps open will not wake the poll again: look once more. */
    else if (s->exited && !s->tty && s->credit && line_room(MAX_DATA)) again = 1;
  }
  return again;
}
