/*
 * Process 1 of every machine, whatever its image: from the boot file system to the image's init.
 *
 * Words on the kernel's command line, all optional (the contract, see src-main/guest/README.md):
 *   nymph.root=/dev/ubda1    the root file system; without it only the agent runs (rescue)
 *   nymph.rootfs=ext4        its type; without it every type that the kernel knows is tried
 *   nymph.rootflags=...      mount options     ro | rw      mount read-only (default: rw)
 *   nymph.init=/sbin/init    else /sbin/init, /etc/init, /bin/init, /bin/sh, as the kernel does
 *   nymph.agent=/dev/ttyS7   the line to the host; without it there is no agent. Of several, parted
 *                            by commas, the first that appears
 *   nymph.hostname=NAME
 * A file /modules/order in the boot file system names kernel modules, loaded before all else.
 * What fails is told in one sentence on the console and to the host; then the machine ends with
 * exit code 3 (User Mode Linux: /proc/exitcode), so that nobody takes it for an orderly stop.
 */
#include "guest.h"
#include <linux/mount.h>
#include <linux/reboot.h>
#include <linux/wait.h>

#define DEVICE_WAIT_MS 5000
#define LINE_WAIT_MS 1000
/* With a newline: older kernels read on behind what was written. */
#define BOOT_EXIT_CODE "3\n"

static char command_line[4096];
static int ready_pipe[2] = {-1, -1};
static long agent_pid;

/* The value of `name` on the command line, or NULL. The result stays good until the next call
 * with the same slot. The last word of a name wins, as in the kernel. */
static const char *word(const char *name, int slot) {
  static char values[6][512];
  const char *found = NULL;
  size n = length(name);
  for (char *at = command_line; *at;) {
    while (*at == ' ' || *at == '\n') at++;
    char *end = at;
    while (*end && *end != ' ' && *end != '\n') end++;
    if (starts(at, name) && (at[n] == '=' || at + n == end)) {
      char *from = at[n] == '=' ? at + n + 1 : end;
      size count = (size)(end - from);
      if (count >= sizeof values[0]) count = sizeof values[0] - 1;
      memcpy(values[slot], from, count);
      values[slot][count] = 0;
      found = values[slot];
    }
    at = end;
  }
  return found;
}

static void fail(const char *what, const char *name, const char *why) {
  char sentence[400];
  struct text text = {sentence, 0, sizeof sentence};
  text_add(&text, what);
  text_add(&text, name);
  text_add(&text, why);
  if (ready_pipe[1] >= 0) sys3(__NR_write, ready_pipe[1], sentence, text.used);
  sys3(__NR_write, 2, "\r\nNymph: ", 9);
  sys3(__NR_write, 2, sentence, text.used);
  sys3(__NR_write, 2, "\r\n", 2);
  sleep_ms(100); /* the agent and the console get their bytes out */
  write_file(place.proc, "exitcode", BOOT_EXIT_CODE);
  sys0(__NR_sync);
  sys4(__NR_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_POWER_OFF, 0);
  exit(1);
}

static long mount(const char *what, const char *where, const char *type, long flags,
                  const char *options) {
  return sys5(__NR_mount, what, where, type, flags, options);
}

static void mount_basics(void) {
  static const char *const made[] = {"/proc", "/sys", "/dev", "/r"};
  for (int i = 0; i < 4; i++) sys3(__NR_mkdirat, AT_FDCWD, made[i], 0755);
  mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  if (mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=0755"))
    fail("This kernel has no devtmpfs", "", ", which Nymph's boot needs.");
  sys3(__NR_mkdirat, AT_FDCWD, "/dev/pts", 0755);
  mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "mode=0620,gid=5,ptmxmode=0666");
  place.proc = (int)sys4(__NR_openat, AT_FDCWD, "/proc", O_DIRECTORY | O_PATH | O_CLOEXEC, 0);
  read_file(place.proc, "cmdline", command_line, sizeof command_line);
}

/* What a distribution's kernel needs for its disks and cards: the files that `order` names, one a
 * line. One that this kernel does not take is left to its driver to be missed. */
static void load_modules(void) {
  static char order[4096], path[300] = "/modules/";
  int folder = (int)sys4(__NR_openat, AT_FDCWD, "/modules", O_DIRECTORY | O_PATH | O_CLOEXEC, 0);
  if (folder < 0) return;
  read_file(folder, "order", order, sizeof order);
  for (char *at = order; *at;) {
    size n = 9;
    while (*at && *at != '\n' && n < sizeof path - 1) path[n++] = *at++;
    path[n] = 0;
    while (*at && *at++ != '\n') {}
    int fd = (int)sys4(__NR_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) continue;
    sys3(__NR_finit_module, fd, "", 0);
    sys1(__NR_close, fd);
    sys3(__NR_unlinkat, AT_FDCWD, path, 0); /* its memory is the guest's again */
  }
  sys1(__NR_close, folder);
}

static int hung_up(int fd) {
  struct { long seconds, nanoseconds; } none = {0, 0};
  struct pollfd polled = {fd, 0, 0};
  sys5(__NR_ppoll, &polled, 1, &none, NULL, 8);
  return polled.revents & POLLHUP;
}

/* A port of virtio-serial appears a moment after its driver, and its far end a moment later. */
static long open_any_line(const char *devices) {
  char device[64];
  long fd = -ENOENT;
  for (;;) {
    size n = 0;
    while (devices[n] && devices[n] != ',' && n < sizeof device - 1) {
      device[n] = devices[n];
      n++;
    }
    device[n] = 0;
    for (int waited = 0; waited <= LINE_WAIT_MS; waited += 5) {
      if (fd < 0) fd = open_line(device);
      if (fd >= 0 && !hung_up((int)fd)) return fd;
      if (devices[n] != ',') return fd; /* nothing else to turn to: as it is */
      sleep_ms(5);
    }
    if (fd >= 0) sys1(__NR_close, fd);
    fd = -ENOENT;
    devices += n + 1;
  }
}

static void start_agent(char **argv) {
  const char *device = word("nymph.agent", 0);
  if (!device || !device[0]) return;
  if (sys2(__NR_pipe2, ready_pipe, O_CLOEXEC | O_NONBLOCK)) return;
  /* Opened before the fork: the agent may run only after /dev has moved to the real root. */
  long fd = open_any_line(device);
  long null = sys4(__NR_openat, AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC, 0);
  agent_pid = fork();
  if (agent_pid != 0) {
    sys1(__NR_close, ready_pipe[0]);
    if (fd >= 0) sys1(__NR_close, fd);
    if (null >= 0) sys1(__NR_close, null);
    return;
  }
  sys1(__NR_close, ready_pipe[1]);
  sys0(__NR_setsid);
  for (int at = 0; at < 3 && null >= 0; at++) sys3(__NR_dup3, null, at, 0);
  if (null > 2) sys1(__NR_close, null);
  /* '@' spares us at systemd's shutdown; the room is that of "/init", which is shorter. */
  if (length(argv[0]) >= 5) memcpy(argv[0], "@nymp", 5);
  sys2(__NR_prctl, 15 /* PR_SET_NAME */, "nymph-agent");
  if (fd < 0) exit(1);
  place.real = 1;
  place.booted = 0;
  place.ready = ready_pipe[0];
  line_open((int)fd, (int)fd);
  agent();
  exit(0);
}

static int device_is_there(const char *path) {
  return sys3(__NR_faccessat, AT_FDCWD, path, 0) == 0;
}

/* Tries each type in a list parted by commas, or each that the kernel knows. */
static long mount_root(const char *device, const char *types, const char *options, long flags) {
  static char known[2048];
  long error = -ENODEV;
  if (!types || !types[0] || same(types, "auto")) {
    long count = read_file(place.proc, "filesystems", known, sizeof known);
    /* Lines are `nodev<tab>name` or `<tab>name`; only the latter live on devices. */
    size used = 0;
    for (char *at = known; count > 0 && *at;) {
      char *name = *at == '\t' ? at + 1 : NULL;
      while (*at && *at != '\n') {
        if (name && at >= name) known[used++] = *at;
        at++;
      }
      if (*at) at++;
      if (name) known[used++] = ',';
    }
    known[used] = 0;
    types = known;
  }
  while (*types) {
    char type[32];
    size n = 0;
    while (*types && *types != ',' && n < sizeof type - 1) type[n++] = *types++;
    while (*types && *types != ',') types++;
    if (*types) types++;
    type[n] = 0;
    error = mount(device, "/r", type, flags, options);
    if (error != -EINVAL && error != -ENODEV) return error;
  }
  return error;
}

static const char *reason(long error) {
  switch (error) {
    case -EINVAL: return " cannot be mounted: no known file system is on it.";
    case -ENODEV: return " cannot be mounted: this kernel does not know its file system.";
    case -ENXIO: case -ENOENT: return " cannot be mounted: there is no such device.";
    case -EACCES: case -EROFS: return " cannot be mounted: it is read-only.";
    case -EBUSY: return " cannot be mounted: it is in use.";
    default: return " cannot be mounted: reading it failed or the file system is damaged.";
  }
}

static void enter_root(const char *device) {
  const char *options = word("nymph.rootflags", 2);
  long flags = word("ro", 5) && !word("rw", 5) ? MS_RDONLY : 0;
  if (starts(device, "/dev/"))
    for (int waited = 0; !device_is_there(device); waited += 5) {
      if (waited >= DEVICE_WAIT_MS) fail("The disk ", device, " did not appear.");
      sleep_ms(5);
    }
  long error = mount_root(device, word("nymph.rootfs", 1), options, flags);
  if (error == -EROFS || error == -EACCES)
    error = mount_root(device, word("nymph.rootfs", 1), options, flags | MS_RDONLY);
  if (error) fail("The root file system ", device, reason(error));
  static const char *const moved[][2] = {
      {"/dev", "/r/dev"}, {"/proc", "/r/proc"}, {"/sys", "/r/sys"}};
  for (int i = 0; i < 3; i++) {
    sys3(__NR_mkdirat, AT_FDCWD, moved[i][1], 0755);
    if (mount(moved[i][0], moved[i][1], NULL, MS_MOVE, NULL))
      fail("The root file system has no directory ", moved[i][1] + 2, ".");
  }
  sys3(__NR_unlinkat, AT_FDCWD, "/init", 0);
  sys1(__NR_chdir, "/r");
  mount(".", "/", NULL, MS_MOVE, NULL);
  sys1(__NR_chroot, ".");
  sys1(__NR_chdir, "/");
}

static void become_init(char **argv, char **envp) {
  static char *const usual[] = {"/sbin/init", "/etc/init", "/bin/init", "/bin/sh", NULL};
  static char given[512];
  const char *asked = word("nymph.init", 3);
  /* Consoles are shown by a terminal that knows more than the kernel's own `linux` type. */
  for (char **e = envp; *e; e++)
    if (starts(*e, "TERM=")) *e = "TERM=xterm-256color";
  if (asked && asked[0]) {
    memcpy(given, asked, length(asked) + 1);
    argv[0] = given;
    sys3(__NR_execve, given, argv, envp);
    fail("The program ", given, " cannot be started as init.");
  }
  for (int i = 0; usual[i]; i++) {
    argv[0] = usual[i];
    sys3(__NR_execve, usual[i], argv, envp);
  }
  fail("The root file system has no init", "", ": nothing at /sbin/init and no /bin/sh.");
}

void boot(char **argv, char **envp) {
  mount_basics();
  const char *hostname = word("nymph.hostname", 4);
  if (hostname && hostname[0]) sys2(__NR_sethostname, hostname, length(hostname));
  load_modules();
  start_agent(argv);
  const char *root = word("nymph.root", 4);
  if (root && root[0]) {
    enter_root(root);
    become_init(argv, envp);
  }
  const char text[] = "\r\nNymph: no nymph.root= was given; only the agent runs.\r\n";
  sys3(__NR_write, 2, text, sizeof text - 1);
  if (ready_pipe[1] >= 0) sys1(__NR_close, ready_pipe[1]);
  for (;;)
    if (sys4(__NR_wait4, -1, NULL, 0, 0) < 0) sleep_ms(1000);
}
