/*
 * Process 1 of Tiny Linux: login prompts, network cards, orderly end. Built with ../sys.c.
 *
 * busybox has an init, a getty and a uevent daemon; they cost 0.2 s until the prompt (every start
 * of busybox takes some hundred page faults, its getty sleeps 0.1 s) and each stays in memory.
 * This one forks a prompt per terminal and starts busybox only when somebody logs in.
 *
 *   signals (as busybox init): USR2 or INT (Ctrl-Alt-Del) poweroff, TERM reboot, USR1 halt
 *   /etc/nymph/consoles        terminals with a prompt, one per line
 *   /etc/nymph/network CARD    run with ACTION=add or remove for every Ethernet card
 *   /etc/nymph/start           run once if it is there: the place for a user's own start-up
 */
#include "../sys.h"
#include <linux/mount.h>
#include <linux/netlink.h>
#include <linux/reboot.h>
#include <linux/utsname.h>
#include <linux/wait.h>

#define MAX_CONSOLES 8
#define END_WAIT_MS 2000
#define POLLIN 1

static struct console {
  char tty[16];
  int pid;
  u64 started_ms;
} consoles[MAX_CONSOLES];
static int console_count;
static char *own_name;
static char environment_path[] =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
static char environment_home[] = "HOME=/root", environment_term[] = "TERM=xterm-256color";

static long open_path(const char *path, int flags) {
  return sys4(__NR_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0);
}

static void say(int fd, const char *text) { sys3(__NR_write, fd, text, length(text)); }

static void allow_signals(void) {
  u64 none = 0;
  sys4(__NR_rt_sigprocmask, 2 /* SIG_SETMASK */, &none, NULL, 8);
}

/* The line settings that a shell expects: another program may have left others. */
static void make_sane(int fd) {
  struct termios line;
  static const u8 keys[] = {3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22};
  if (sys3(__NR_ioctl, fd, TCGETS, &line)) return;
  line.c_iflag = ICRNL | IXON | IUTF8;
  line.c_oflag = OPOST | ONLCR;
  line.c_lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN;
  line.c_cflag |= CREAD | CLOCAL;
  memcpy(line.c_cc, keys, sizeof keys);
  sys3(__NR_ioctl, fd, TCSETS, &line);
}

/* /etc/issue with \n the host name, \r the kernel's release, \l the terminal; then the prompt. */
static void greet(const char *tty, int with_issue) {
  static char issue[1024];
  struct new_utsname names;
  memset(&names, 0, sizeof names);
  sys1(__NR_uname, &names);
  static char shown[2048];
  struct text text = {shown, 0, sizeof shown};
  shown[0] = 0;
  if (with_issue && read_file(AT_FDCWD, "/etc/issue", issue, sizeof issue) > 0) {
    text_add(&text, "\n");
    for (char *c = issue; *c; c++) {
      char one[2] = {*c, 0};
      if (*c == '\\' && c[1]) {
        c++;
        if (*c == 'r') text_add(&text, names.release);
        if (*c == 'l') text_add(&text, tty);
        if (*c == 'n') text_add(&text, names.nodename);
      } else {
        text_add(&text, one);
      }
    }
  }
  text_add(&text, names.nodename);
  text_add(&text, " login: ");
  sys3(__NR_write, 1, shown, text.used);
}

static void login(const char *tty) {
  static char name[64];
  for (int first = 1;; first = 0) {
    greet(tty, first);
    long got = sys3(__NR_read, 0, name, sizeof name - 1);
    if (got <= 0) exit(1);
    size used = 0;
    while (used < (size)got && (name[used] > ' ' && name[used] < 127)) used++;
    name[used] = 0;
    if (!used || name[0] == '-') continue;
    char *argv[] = {"login", "--", name, NULL};
    char *envp[] = {environment_path, environment_term, NULL};
    sys3(__NR_execve, "/bin/login", argv, envp);
    say(1, "There is no /bin/login.\n");
    exit(1);
  }
}

static void start_prompt(struct console *console) {
  u64 now = now_ms();
  /* One that ended at once (a terminal with nothing behind it) is not started in a rush. */
  int rest = console->started_ms && now - console->started_ms < 500;
  console->started_ms = now;
  console->pid = (int)fork();
  if (console->pid) return;
  allow_signals();
  sys0(__NR_setsid);
  if (rest) sleep_ms(2000);
  char path[32] = "";
  struct text text = {path, 0, sizeof path};
  text_add(&text, "/dev/");
  text_add(&text, console->tty);
  long fd = open_path(path, O_RDWR);
  if (fd < 0) exit(1);
  sys3(__NR_ioctl, fd, TIOCSCTTY, 1);
  for (int at = 0; at < 3; at++) {
    if (fd == at) sys3(__NR_fcntl, fd, F_SETFD, 0);
    else sys3(__NR_dup3, fd, at, 0);
  }
  make_sane(0);
  /* What `ps` shows; the room is that of "/sbin/init". */
  struct text shown = {own_name, 0, length(own_name) + 1};
  text_add(&shown, "login ");
  text_add(&shown, console->tty);
  while (shown.used + 1 < shown.room) own_name[shown.used++] = 0;
  sys2(__NR_prctl, 15 /* PR_SET_NAME */, "login");
  login(console->tty);
}

static void read_consoles(void) {
  static char list[512];
  if (read_file(AT_FDCWD, "/etc/nymph/consoles", list, sizeof list) <= 0) memcpy(list, "tty0\n", 6);
  for (char *at = list; *at && console_count < MAX_CONSOLES;) {
    struct console *console = &consoles[console_count];
    size used = 0;
    while (*at && *at != '\n' && used < sizeof console->tty - 1) console->tty[used++] = *at++;
    while (*at && *at != '\n') at++;
    if (*at) at++;
    console->tty[used] = 0;
    if (used) console_count++;
  }
}

/* Runs a program of the system's own, with nothing on its standard streams but the console. */
static void run(const char *program, const char *action, const char *card) {
  char say_action[32] = "", path[64] = "";
  struct text a = {say_action, 0, sizeof say_action}, p = {path, 0, sizeof path};
  if (fork()) return;
  allow_signals();
  sys0(__NR_setsid);
  long null = open_path("/dev/null", O_RDWR);
  if (null >= 0) sys3(__NR_dup3, null, 0, 0);
  text_add(&a, "ACTION=");
  text_add(&a, action);
  text_add(&p, program);
  char *argv[] = {path, (char *)card, NULL};
  char *envp[] = {environment_path, environment_home, environment_term, say_action, NULL};
  sys3(__NR_execve, path, argv, envp);
  exit(127);
}

/* Ethernet cards only (type 1), and not the pretended ones. */
static int is_card(const char *name) {
  char path[80] = "", type[16] = "";
  struct text text = {path, 0, sizeof path};
  if (starts(name, "dummy") || starts(name, "lo") || starts(name, ".")) return 0;
  text_add(&text, "/sys/class/net/");
  text_add(&text, name);
  text_add(&text, "/type");
  return read_file(AT_FDCWD, path, type, sizeof type) > 0 && same(type, "1\n");
}

struct entry {
  u64 inode;
  long offset;
  u16 size;
  u8 type;
  char name[];
};

typedef void visitor(const char *name, void *with);

static void each_name(const char *directory, visitor *visit, void *with) {
  static char buffer[4096] __attribute__((aligned(8)));
  long fd = open_path(directory, O_RDONLY | O_DIRECTORY);
  if (fd < 0) return;
  for (;;) {
    long got = sys3(__NR_getdents64, fd, buffer, sizeof buffer);
    if (got <= 0) break;
    for (long at = 0; at < got;) {
      struct entry *entry = (struct entry *)(buffer + at);
      visit(entry->name, with);
      at += entry->size;
    }
  }
  sys1(__NR_close, fd);
}

static void card_is_there(const char *name, void *with) {
  (void)with;
  if (is_card(name)) run("/etc/nymph/network", "add", name);
}

static void raise_loopback(void) {
  struct {
    char name[16];
    short flags;
    char rest[22];
  } ask = {"lo", 0x41 /* IFF_UP | IFF_RUNNING */, {0}};
  long fd = sys3(__NR_socket, 2, 2 | O_CLOEXEC, 0);
  if (fd >= 0) sys3(__NR_ioctl, fd, 0x8914 /* SIOCSIFFLAGS */, &ask);
  if (fd >= 0) sys1(__NR_close, fd);
}

/* The kernel's own words about devices that come and go: `NAME=value` texts, each with a NUL. */
static void hear_kernel(int fd) {
  static char words[4096];
  long got = sys3(__NR_read, fd, words, sizeof words - 1);
  const char *action = "", *subsystem = "", *card = "";
  if (got <= 0) return;
  words[got] = 0;
  for (char *at = words; at < words + got; at += length(at) + 1) {
    if (starts(at, "ACTION=")) action = at + 7;
    if (starts(at, "SUBSYSTEM=")) subsystem = at + 10;
    if (starts(at, "INTERFACE=")) card = at + 10;
  }
  if (!same(subsystem, "net")) return;
  if (same(action, "remove") || (same(action, "add") && is_card(card)))
    run("/etc/nymph/network", action, card);
}

static void count_process(const char *name, void *with) {
  char path[64] = "", link[8], comm[32] = "";
  struct text text = {path, 0, sizeof path};
  if (name[0] < '0' || name[0] > '9' || same(name, "1")) return;
  text_add(&text, "/proc/");
  text_add(&text, name);
  size base = text.used;
  text_add(&text, "/exe");
  /* Kernel threads run no file; the host's agent stays until the very end. */
  if (sys4(__NR_readlinkat, AT_FDCWD, path, link, sizeof link) <= 0) return;
  text.used = base;
  text_add(&text, "/comm");
  read_file(AT_FDCWD, path, comm, sizeof comm);
  if (!same(comm, "nymph-agent\n")) ++*(int *)with;
}

static void end(u32 how) {
  say(1, "\r\nStopping.\r\n");
  sys2(__NR_kill, -1, 15 /* SIGTERM */);
  sys2(__NR_kill, -1, 1 /* SIGHUP: what an interactive shell listens to */);
  sys2(__NR_kill, -1, 18 /* SIGCONT */);
  for (int waited = 0; waited < END_WAIT_MS; waited += 10) {
    int left = 0;
    while (sys4(__NR_wait4, -1, NULL, WNOHANG, 0) > 0) {}
    each_name("/proc", count_process, &left);
    if (!left) break;
    if (waited == END_WAIT_MS - 10) sys2(__NR_kill, -1, 9);
    sleep_ms(10);
  }
  sys0(__NR_sync);
  sys5(__NR_mount, NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL);
  sys4(__NR_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, how, 0);
}

static void hear_signal(int fd) {
  struct {
    u32 signal;
    u8 rest[124];
  } info;
  if (sys3(__NR_read, fd, &info, sizeof info) != sizeof info) return;
  if (info.signal == 2 || info.signal == 12) end(LINUX_REBOOT_CMD_POWER_OFF);
  if (info.signal == 15) end(LINUX_REBOOT_CMD_RESTART);
  if (info.signal == 10) end(LINUX_REBOOT_CMD_HALT);
  for (;;) {
    long pid = sys4(__NR_wait4, -1, NULL, WNOHANG, 0);
    if (pid <= 0) return;
    for (int i = 0; i < console_count; i++)
      if (consoles[i].pid == pid) start_prompt(&consoles[i]);
  }
}

int program(int argc, char **argv, char **envp) {
  (void)argc;
  (void)envp;
  own_name = argv[0];
  if (sys0(__NR_getpid) != 1) {
    say(2, "init: this is process 1's program; see poweroff, reboot, halt.\n");
    return 1;
  }
  u64 heard = 1ul << 16 | 1ul << 14 | 1ul << 11 | 1ul << 9 | 1ul << 1; /* CHLD TERM USR2 USR1 INT */
  sys4(__NR_rt_sigprocmask, 2, &heard, NULL, 8);
  long signals = sys4(__NR_signalfd4, -1, &heard, 8, O_CLOEXEC);
  /* Ctrl-Alt-Del comes to us as SIGINT instead of a reboot on the spot. */
  sys4(__NR_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_CAD_OFF, 0);
  read_consoles();
  for (int i = 0; i < console_count; i++) start_prompt(&consoles[i]);
  sys5(__NR_mount, "tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=25%");
  sys3(__NR_mkdirat, AT_FDCWD, "/dev/shm", 01777);
  sys5(__NR_mount, "tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777");
  raise_loopback();
  struct sockaddr_nl address = {16 /* AF_NETLINK */, 0, 0, 1 /* what the kernel itself says */};
  long kernel = sys3(__NR_socket, 16, 2 | O_CLOEXEC, 15 /* NETLINK_KOBJECT_UEVENT */);
  if (kernel >= 0) sys3(__NR_bind, kernel, &address, sizeof address);
  each_name("/sys/class/net", card_is_there, NULL);
  if (sys3(__NR_faccessat, AT_FDCWD, "/etc/nymph/start", 1) == 0)
    run("/etc/nymph/start", "start", NULL);
  for (;;) {
    struct { int fd; short events, revents; } polled[] = {
        {(int)signals, POLLIN, 0}, {(int)kernel, POLLIN, 0}};
    sys5(__NR_ppoll, polled, 2, NULL, NULL, 8);
    if (polled[0].revents) hear_signal((int)signals);
    if (polled[1].revents) hear_kernel((int)kernel);
  }
}
