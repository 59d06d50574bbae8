/*
 * A vkernel inside this guest: the host asks the agent to run `@nest`, which is no program but this
 * file, in the agent's own child (session.c).
 *
 *   @nest start NAME HOSTPATH CONSOLES NICS MEMORY_MIB LINE...   makes it and stays as `attach`
 *   @nest attach NAME                                            carries frames over stdin, stdout
 *
 * On a portable machine HOSTPATH is the word `kvm`: the inner kernel's processor is /dev/kvm, LINE
 * are the words of vmm.c, and its disks are disks of this guest.
 *
 * `start` leaves a daemon that holds the inner kernel's pipes and sockets, as a machine's process
 * does on the host, so that it outlives the host's program; `attach` is a bridge to it over an
 * abstract socket. HOSTPATH is a folder of the host (of the kernel that this guest runs on, by
 * hostfs) that becomes the inner kernel's whole root: it sees its program, its libraries and its
 * disks, and nothing of this guest. It has its own process, network, IPC and mount namespaces.
 *
 * Frames: channel u8 | length u16 | bytes. Channels: the consoles, then the agent's line, then the
 * network slots; from CH_PLUG on they are words between the host and the daemon. What the inner
 * kernel does not take at once is lost, as on a line without anybody: the host paces itself.
 */
#include "guest.h"
#include "vmm.h"
#include <linux/mount.h>
#include <linux/sched.h>
#include <linux/un.h>
#include <linux/wait.h>

#define MAX_CHANNELS 16
#define PAYLOAD 16384
#define IN_ROOM (PAYLOAD + 3)
#define OUT_ROOM (8 * PAYLOAD)
#define LINGER_MS 10000
#define FIRST_FD 3
#define NOBODY 65534

enum { CH_PLUG = 248, CH_STOP, CH_GO, CH_MCONSOLE, CH_STATS, CH_KILL, CH_FREEZE, CH_END };
enum { AF_UNIX = 1, STREAM = 1, DGRAM = 2, SEQPACKET = 5, NONBLOCK = 04000, CLOEXEC = 02000000 };
enum { DONTWAIT = 0x40, NOSIGNAL = 0x4000 };

static struct channel {
  int out, in; /* what the inner kernel writes, and reads; the same for a network slot */
  int theirs[2];
  u8 is_slot, stopped;
} channels[MAX_CHANNELS];
static int channel_count, console_count, by_kvm, control[2];
static int listener = -1, client = -1, inner = -1, inner_pid, mconsole = -1;
static u8 in_bytes[IN_ROOM], out_bytes[OUT_ROOM];
static size in_used, out_start, out_end;
static const char root[] = "/tmp/r";

static void complain(const char *what, long error) {
  char sentence[300];
  struct text text = {sentence, 0, sizeof sentence};
  text_add(&text, what);
  text_add(&text, " failed with error ");
  text_add_number(&text, (u64)-error);
  text_add(&text, "\n");
  sys3(__NR_write, 2, sentence, text.used);
}

static u64 number_of(const char *text) {
  u64 value = 0;
  while (*text >= '0' && *text <= '9') value = value * 10 + (u64)(*text++ - '0');
  return value;
}

static long address_of(struct sockaddr_un *address, const char *name) {
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  struct text text = {address->sun_path + 1, 0, sizeof address->sun_path - 1};
  text_add(&text, "nymph-nest-");
  text_add(&text, name);
  return (long)(sizeof address->sun_family + 1 + text.used);
}

/* The private view: a temporary file system, in it the host's folder, in that proc, dev and tmp.
 * With KVM there is no folder: the VMM sees nothing but devices. */
static long make_root(const char *host_path, u64 memory_mib) {
  static const char *const made[] = {"/proc", "/dev", "/tmp"};
  static const struct { const char *path; int major, minor; } devices[] = {
      {"/dev/null", 1, 3}, {"/dev/zero", 1, 5}, {"/dev/full", 1, 7}, {"/dev/urandom", 1, 9},
      {"/dev/kvm", 10, 232}};
  char path[64], options[64];
  long error = sys1(__NR_unshare, CLONE_NEWNS);
  if (!error) error = sys5(__NR_mount, NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
  sys3(__NR_mkdirat, AT_FDCWD, "/tmp", 01777);
  if (!error) error = sys5(__NR_mount, "none", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0700");
  sys3(__NR_mkdirat, AT_FDCWD, root, 0700);
  const char *type = by_kvm ? "tmpfs" : "hostfs";
  const char *what = by_kvm ? "size=1M" : host_path;
  if (!error) error = sys5(__NR_mount, "none", root, type, MS_NOSUID | MS_NODEV, what);
  if (!error && by_kvm) error = sys5(__NR_fchownat, AT_FDCWD, root, NOBODY, NOBODY, 0);
  if (error) return error;
  for (int i = 0; i < 3; i++) {
    struct text text = {path, 0, sizeof path};
    text_add(&text, root);
    text_add(&text, made[i]);
    sys3(__NR_mkdirat, AT_FDCWD, path, 0755);
    struct text room = {options, 0, sizeof options};
    text_add(&room, i == 2 ? "mode=1777,size=" : "mode=0755,size=");
    text_add_number(&room, i == 2 ? memory_mib + 16 : 1);
    text_add(&room, "M");
    if (i > 0) error = sys5(__NR_mount, "none", path, "tmpfs", MS_NOSUID, options);
    if (error) return error;
  }
  for (int i = 0; i < 4 + by_kvm; i++) {
    struct text text = {path, 0, sizeof path};
    text_add(&text, root);
    text_add(&text, devices[i].path);
    sys4(__NR_mknodat, AT_FDCWD, path, 0020666, devices[i].major << 8 | devices[i].minor);
  }
  return 0;
}

static long make_channels(int consoles, int slots) {
  for (int i = 0; i < consoles + 1 + slots; i++) {
    struct channel *channel = &channels[channel_count++];
    int up[2], down[2];
    channel->is_slot = i > consoles;
    if (channel->is_slot) {
      long error = sys4(__NR_socketpair, AF_UNIX, SEQPACKET | NONBLOCK | CLOEXEC, 0, up);
      if (error) return error;
      channel->out = channel->in = up[0];
      channel->theirs[0] = up[1];
      channel->theirs[1] = up[1];
      continue;
    }
    long error = sys2(__NR_pipe2, down, CLOEXEC | NONBLOCK);
    if (!error) error = sys2(__NR_pipe2, up, CLOEXEC | NONBLOCK);
    if (error) return error;
    channel->in = down[1];
    channel->theirs[0] = down[0];
    channel->out = up[0];
    channel->theirs[1] = up[1];
  }
  return sys4(__NR_socketpair, AF_UNIX, SEQPACKET | NONBLOCK | CLOEXEC, 0, control);
}

/* No capability, and the user whom the folder belongs to: only that one may use what is in it. */
static void drop_rights(void) {
  u32 about[64];
  for (int capability = 0; capability < 64; capability++)
    sys5(__NR_prctl, 24 /* PR_CAPBSET_DROP */, capability, 0, 0, 0);
  sys5(__NR_prctl, 38 /* PR_SET_NO_NEW_PRIVS */, 1, 0, 0, 0);
  if (sys5(__NR_statx, AT_FDCWD, ".", 0, 0x18 /* STATX_UID | STATX_GID */, about)) exit(126);
  u32 user = about[5], group = about[6];
  if (sys2(__NR_setgroups, 0, NULL) || sys3(__NR_setresgid, group, group, group)) exit(126);
  if (sys3(__NR_setresuid, user, user, user)) exit(126);
}

static void become_vmm(int kvm, struct disks disks, u64 memory_mib, char **line) {
  struct ends ends[MAX_CHANNELS];
  for (int i = 0; i < channel_count; i++)
    ends[i] = (struct ends){FIRST_FD + 2 * i, FIRST_FD + 2 * i + 1};
  struct lines lines = {console_count, channel_count - console_count - 1,
                        FIRST_FD + 2 * channel_count,
                        ends, ends[console_count], ends + console_count + 1, disks, {{0}}};
  exit(vmm(kvm, &lines, memory_mib, line));
}

/* This guest's devices in its kernel's own words, for a moment. */
static void show_devices(int shown) {
  sys3(__NR_mkdirat, AT_FDCWD, SYSFS, 0700);
  if (shown) sys5(__NR_mount, "none", SYSFS, "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  else sys2(__NR_umount2, SYSFS, 0);
}

static struct disks take_disks(char **line) {
  struct disks disks = {0};
  show_devices(1);
  vmm_open_disks(&disks, line);
  show_devices(0);
  return disks;
}

/* A word for the VMM that runs, and the disk if it is of one. */
static void send_word(const u8 *bytes, size count) {
  char word[WORD_MAX + 1];
  if (!by_kvm || count > WORD_MAX) return;
  memcpy(word, bytes, count);
  word[count] = 0;
  struct stretch text = {word, count};
  struct rights rights = {RIGHTS_BYTES, SOL_SOCKET, SCM_RIGHTS, 0, 0};
  struct message message = {NULL, 0, &text, 1, NULL, 0, 0};
  if (starts(word, "disk=")) {
    show_devices(1);
    rights.fd = count > length("disk=0:") ? open_disk(word + length("disk=0:")) : 0;
    show_devices(0);
    if (rights.fd <= 0) return;
    message.rights = &rights;
    message.rights_bytes = sizeof rights;
  }
  sys3(__NR_sendmsg, control[0], &message, NOSIGNAL | DONTWAIT);
  if (rights.fd > 0) sys1(__NR_close, rights.fd);
}

/* The inner kernel, as a child of its namespace's first process. */
static void become_kernel(u64 memory_mib, char **line) {
  static char *const environment[] = {"HOME=/tmp", "TMPDIR=/tmp", NULL};
  int high[2 * MAX_CHANNELS + 1], lines = 2 * channel_count + by_kvm;
  for (int i = 0; i < lines; i++) {
    int theirs = i < 2 * channel_count ? channels[i / 2].theirs[i % 2] : control[1];
    high[i] = (int)sys3(__NR_fcntl, theirs, F_DUPFD, 200);
  }
  for (int i = 0; i < lines; i++) sys3(__NR_dup3, high[i], FIRST_FD + i, 0);
  long null = sys4(__NR_openat, AT_FDCWD, "/tmp/r/dev/null", O_RDWR, 0);
  for (int fd = 0; fd < 3; fd++) sys3(__NR_dup3, null, fd, 0);
  sys3(__NR_close_range, FIRST_FD + lines, ~0u, 0);
  sys5(__NR_mount, "proc", "/tmp/r/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  struct disks disks = {0};
  if (by_kvm) disks = take_disks(line);
  if (sys1(__NR_chdir, root) || sys1(__NR_chroot, ".")) exit(126);
  long kvm = by_kvm ? sys4(__NR_openat, AT_FDCWD, "/dev/kvm", O_RDWR | O_CLOEXEC, 0) : -1;
  drop_rights();
  if (by_kvm) become_vmm((int)kvm, disks, memory_mib, line);
  sys3(__NR_execve, line[0], line, environment);
  exit(127);
}

static void first_process(u64 memory_mib, char **line) {
  int status = 0;
  long kernel = fork();
  if (kernel == 0) become_kernel(memory_mib, line);
  sys3(__NR_close_range, 0, ~0u, 0);
  for (long ended = 0; ended >= 0 && ended != kernel;)
    ended = sys4(__NR_wait4, -1, &status, 0, 0);
  exit(status & 127 ? 128 + (status & 127) : status >> 8 & 255);
}

static int has_room(void) { return out_end - out_start + PAYLOAD + 3 <= OUT_ROOM; }

static void send_frame(u8 channel, const void *bytes, size count) {
  if (client < 0 || count > PAYLOAD || !has_room()) return;
  if (out_end + count + 3 > OUT_ROOM) {
    memmove(out_bytes, out_bytes + out_start, out_end - out_start);
    out_end -= out_start;
    out_start = 0;
  }
  u8 *at = out_bytes + out_end;
  at[0] = channel, at[1] = (u8)count, at[2] = (u8)(count >> 8);
  memcpy(at + 3, bytes, count);
  out_end += count + 3;
}

static void drop_client(void) {
  if (client >= 0) sys1(__NR_close, client);
  client = -1;
  in_used = out_start = out_end = 0;
  for (int i = 0; i < channel_count; i++) channels[i].stopped = 0;
}

/* utime and stime of every process of the inner kernel's session, in ticks; and its memory. */
static void send_stats(void) {
  static char entries[4096], stat[1024];
  char path[64];
  u64 figures[2] = {0, 0};
  u64 statfs[16];
  long proc = sys4(__NR_openat, AT_FDCWD, "/proc", O_DIRECTORY | O_CLOEXEC, 0);
  for (long got; proc >= 0 && (got = sys3(__NR_getdents64, proc, entries, sizeof entries)) > 0;) {
    for (char *at = entries; at < entries + got; at += *(u16 *)(at + 16)) {
      if (at[19] < '0' || at[19] > '9') continue;
      struct text text = {path, 0, sizeof path};
      text_add(&text, at + 19);
      text_add(&text, "/stat");
      if (read_file((int)proc, path, stat, sizeof stat) <= 0) continue;
      char *field = stat;
      for (char *c = stat; *c; c++)
        if (*c == ')') field = c + 1;
      u64 values[24] = {0};
      for (int n = 2; n < 24 && *field; n++) { /* the field after the name is number 3 */
        while (*field == ' ') field++;
        values[n] = number_of(field);
        while (*field && *field != ' ') field++;
      }
      if (values[5] != (u64)inner_pid) continue;
      figures[0] += values[13] + values[14];
      if (by_kvm) figures[1] += values[23] * 4096;
    }
  }
  if (proc >= 0) sys1(__NR_close, proc);
  if (!by_kvm && sys2(__NR_statfs, "/tmp/r/tmp", statfs) == 0)
    figures[1] = (statfs[2] - statfs[3]) * statfs[1];
  send_frame(CH_STATS, figures, sizeof figures);
}

/* SIGSTOP and SIGCONT go to the kernel itself, the first child of its namespace's first process. */
static void freeze(int signal) {
  char path[64], children[64];
  struct text text = {path, 0, sizeof path};
  text_add(&text, "/proc/");
  text_add_number(&text, (u64)inner_pid);
  text_add(&text, "/task/");
  text_add_number(&text, (u64)inner_pid);
  text_add(&text, "/children");
  if (read_file(AT_FDCWD, path, children, sizeof children) > 0)
    sys2(__NR_kill, number_of(children), signal);
}

/* Its management console listens in its own temporary folder, and answers to the name that we have
 * bound: a relative one, which both of us find, each from the inner root as its folder. */
static void ask_mconsole(const u8 *bytes, size count) {
  static const struct sockaddr_un theirs = {AF_UNIX, "/tmp/r/tmp/u/m/mconsole"};
  static const struct sockaddr_un own = {AF_UNIX, "tmp/reply"};
  if (mconsole < 0) {
    mconsole = (int)sys3(__NR_socket, AF_UNIX, DGRAM | NONBLOCK | CLOEXEC, 0);
    sys1(__NR_umask, 0);
    sys1(__NR_chdir, root);
    sys3(__NR_bind, mconsole, &own, sizeof own);
  }
  sys6(__NR_sendto, mconsole, bytes, count, DONTWAIT | NOSIGNAL, &theirs, sizeof theirs);
}

static void take_frame(u8 number, const u8 *bytes, size count) {
  struct channel *channel = number < channel_count ? &channels[number] : NULL;
  if (channel && channel->is_slot)
    sys6(__NR_sendto, channel->in, bytes, count, DONTWAIT | NOSIGNAL, NULL, 0);
  else if (channel) sys3(__NR_write, channel->in, bytes, count);
  else if (number == CH_STATS) send_stats();
  else if (number == CH_KILL) sys2(__NR_kill, inner_pid, 9);
  else if (number == CH_FREEZE && count == 1) freeze(bytes[0] ? 19 : 18);
  else if (number == CH_MCONSOLE) ask_mconsole(bytes, count);
  else if (number == CH_PLUG) send_word(bytes, count);
  else if ((number == CH_STOP || number == CH_GO) && count == 1 && bytes[0] < channel_count)
    channels[bytes[0]].stopped = number == CH_STOP;
}

static void read_client(void) {
  long got = sys3(__NR_read, client, in_bytes + in_used, IN_ROOM - in_used);
  if (got == -EAGAIN || got == -EINTR) return;
  if (got <= 0) return drop_client();
  in_used += (size)got;
  size at = 0;
  while (in_used - at >= 3) {
    size count = get16(in_bytes + at + 1);
    if (count > PAYLOAD) return drop_client();
    if (in_used - at < 3 + count) break;
    take_frame(in_bytes[at], in_bytes + at + 3, count);
    at += 3 + count;
  }
  memmove(in_bytes, in_bytes + at, in_used - at);
  in_used -= at;
}

static void write_client(void) {
  while (client >= 0 && out_start < out_end) {
    long wrote = sys3(__NR_write, client, out_bytes + out_start, out_end - out_start);
    if (wrote == -EAGAIN || wrote == -EINTR) return;
    if (wrote <= 0) return drop_client();
    out_start += (size)wrote;
  }
  out_start = out_end = 0;
}

/* One turn of a channel; 0 when there is no more in it. */
static int read_channel(u8 number) {
  static u8 some[PAYLOAD];
  for (int turns = 0; turns < 16 && has_room(); turns++) {
    long got = sys3(__NR_read, channels[number].out, some, sizeof some);
    if (got <= 0) return 0;
    send_frame(number, some, (size)got);
    if (!channels[number].is_slot) break;
  }
  return 1;
}

static void take_client(void) {
  long fresh = sys4(__NR_accept4, listener, NULL, NULL, NONBLOCK | CLOEXEC);
  if (fresh < 0) return;
  drop_client(); /* the host's program was replaced: the newer one is right */
  client = (int)fresh;
}

/* Behind its last words, as a client takes them; who is away may come back for a while. */
static void say_end(void) {
  int status = 0, said = 0;
  u8 code[4];
  sys4(__NR_wait4, inner_pid, &status, 0, 0);
  put32(code, status & 127 ? 128 + (u32)(status & 127) : (u32)(status >> 8 & 255));
  for (u64 until = now_ms() + LINGER_MS; now_ms() < until && !(said && client < 0);) {
    for (int i = 0; client >= 0 && !said && has_room();) {
      if (i < channel_count) i += !read_channel((u8)i);
      else send_frame(CH_END, code, 4), said = 1;
    }
    write_client();
    if (said && client >= 0 && out_start == out_end) return;
    struct pollfd polled[2] = {{listener, POLLIN, 0}, {client, POLLOUT, 0}};
    struct { long seconds, nanoseconds; } time = {0, 100000000};
    sys5(__NR_ppoll, polled, 2, &time, NULL, 8);
    if (polled[0].revents) take_client();
    if (client >= 0) until = now_ms() + LINGER_MS;
  }
}

static void serve(void) {
  struct pollfd polled[4 + MAX_CHANNELS];
  for (;;) {
    int room = client >= 0 && has_room();
    polled[0] = (struct pollfd){listener, POLLIN, 0};
    polled[1] = (struct pollfd){client, POLLIN | (out_end > out_start ? POLLOUT : 0), 0};
    polled[2] = (struct pollfd){inner, POLLIN, 0};
    polled[3] = (struct pollfd){room ? mconsole : -1, POLLIN, 0};
    for (int i = 0; i < channel_count; i++)
      polled[4 + i] =
          (struct pollfd){room && !channels[i].stopped ? channels[i].out : -1, POLLIN, 0};
    if (sys5(__NR_ppoll, polled, 4 + channel_count, NULL, NULL, 8) < 0) continue;
    if (polled[1].revents & (POLLIN | POLLHUP | POLLERR)) read_client();
    for (int i = 0; i < channel_count; i++)
      if (polled[4 + i].revents) read_channel((u8)i);
    if (polled[3].revents) {
      static u8 reply[PAYLOAD];
      long got = sys3(__NR_read, mconsole, reply, sizeof reply);
      if (got > 0) send_frame(CH_MCONSOLE, reply, (size)got);
    }
    write_client();
    if (polled[0].revents) take_client();
    if (polled[2].revents) return say_end();
  }
}

static int attach(const char *name) {
  static u8 some[PAYLOAD];
  struct sockaddr_un address;
  long used = address_of(&address, name);
  long fd = sys3(__NR_socket, AF_UNIX, STREAM | CLOEXEC, 0);
  if (fd < 0 || sys3(__NR_connect, fd, &address, used)) return 111;
  for (;;) {
    struct pollfd polled[2] = {{0, POLLIN, 0}, {(int)fd, POLLIN, 0}};
    if (sys5(__NR_ppoll, polled, 2, NULL, NULL, 8) < 0) continue;
    for (int i = 0; i < 2; i++) {
      if (!polled[i].revents) continue;
      long got = sys3(__NR_read, polled[i].fd, some, sizeof some);
      if (got <= 0) return 0;
      for (long done = 0; done < got;) {
        long wrote = sys3(__NR_write, i == 0 ? fd : 1, some + done, got - done);
        if (wrote <= 0) return 0;
        done += wrote;
      }
    }
  }
}

static int start_inner(char **words) {
  struct sockaddr_un address;
  u64 consoles = number_of(words[2]), slots = number_of(words[3]);
  if (consoles < 1 || slots < 1 || consoles + 1 + slots > MAX_CHANNELS) return 2;
  console_count = (int)consoles;
  by_kvm = same(words[1], "kvm");
  long used = address_of(&address, words[0]);
  listener = (int)sys3(__NR_socket, AF_UNIX, STREAM | NONBLOCK | CLOEXEC, 0);
  long error = sys3(__NR_bind, listener, &address, used);
  if (!error) error = sys2(__NR_listen, listener, 4);
  if (error) return complain("Making the socket of the inner machine", error), 1;
  error = make_root(words[1], number_of(words[4]));
  if (error) return complain("Mounting the inner machine's folder", error), 1;
  error = make_channels((int)consoles, (int)slots);
  if (error) return complain("Making the inner machine's lines", error), 1;
  long daemon = fork();
  if (daemon) {
    sys1(__NR_close, listener);
    return daemon < 0 ? 1 : attach(words[0]);
  }
  sys0(__NR_setsid);
  sys2(__NR_prctl, 15 /* PR_SET_NAME */, "nymph-nest");
  long null = sys4(__NR_openat, AT_FDCWD, "/dev/null", O_RDWR, 0);
  for (int fd = 0; fd < 3; fd++) sys3(__NR_dup3, null, fd, 0);
  long flags = CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | 17 /* SIGCHLD */;
  inner_pid = (int)sys5(__NR_clone, flags, 0, 0, 0, 0);
  if (inner_pid == 0) {
    sys0(__NR_setsid);
    first_process(number_of(words[4]), words + 5);
  }
  if (inner_pid < 0) return 1;
  for (int i = 0; i < channel_count; i++) {
    sys1(__NR_close, channels[i].theirs[0]);
    if (!channels[i].is_slot) sys1(__NR_close, channels[i].theirs[1]);
  }
  sys1(__NR_close, control[1]);
  inner = (int)sys2(__NR_pidfd_open, inner_pid, 0);
  /* Who goes away while we write to it must not take us along, and the inner machine with us. */
  u64 blocked = 1ul << 12 /* SIGPIPE */;
  sys4(__NR_rt_sigprocmask, 0 /* SIG_BLOCK */, &blocked, NULL, 8);
  serve();
  return 0;
}

int nest(char **argv) {
  int words = 0;
  while (argv[words]) words++;
  sys3(__NR_close_range, 3, ~0u, 0);
  if (words == 3 && same(argv[1], "attach")) return attach(argv[2]);
  if (words >= (same(argv[3], "kvm") ? 14 : 8) && same(argv[1], "start")) return start_inner(argv + 2);
  return 2;
}
