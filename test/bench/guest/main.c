/*
 * Runs rows in turn and says on its console when each begins and ends, for the host to time:
 *
 *   @ready                          once, at the start
 *   @begin ROW … @end ROW ANSWER CPU TIME    each time a row runs; in microseconds, by the kernel
 *                                            that runs it
 *   @failed WHAT, @done
 *
 * Its words are `rows=a,b copies=N repeats=N` and what rows ask for: on the host its arguments, and
 * as a machine's first program the kernel's command line. `copies` of a row run at once, each in a
 * process of its own; all are set up before the time begins and none has ended when it stops.
 */
#define _GNU_SOURCE
#include "work.h"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WORDS_MAX = 64, LINE_MAX_BYTES = 4096 };

static char *words[WORDS_MAX + 1];
static char line[LINE_MAX_BYTES];

void fail(const char *what) {
  printf("@failed %s: %m\n", what);
  fflush(stdout);
  _exit(1);
}

const char *word(const char *key, const char *otherwise) {
  size_t length = strlen(key);
  for (char **each = words; *each; each++)
    if (!strncmp(*each, key, length) && (*each)[length] == '=') return *each + length + 1;
  return otherwise;
}

int part_of(int whole) { return whole / atoi(word("part", "1")); }

static void split_line(void) {
  int fd = open("/proc/cmdline", O_RDONLY);
  ssize_t length = fd < 0 ? -1 : read(fd, line, sizeof line - 1);
  if (length < 0) fail("the command line");
  close(fd);
  int count = 0;
  for (char *each = strtok(line, " \n"); each && count < WORDS_MAX; each = strtok(NULL, " \n"))
    words[count++] = each;
}

/* In the order of their names, which is that of their dependencies. */
static void load_modules(void) {
  struct dirent **files;
  int count = scandir("/modules", &files, NULL, alphasort);
  for (int at = 0; at < count; at++) {
    char path[300];
    snprintf(path, sizeof path, "/modules/%s", files[at]->d_name);
    int fd = open(path, O_RDONLY);
    if (files[at]->d_name[0] != '.' && syscall(SYS_finit_module, fd, "", 0)) fail(path);
    close(fd);
  }
}

/* What an init does. The disk, when there is one, is under its name with this kernel's driver. */
static void settle(void) {
  mkdir("/proc", 0755);
  mkdir("/tmp", 0755);
  mkdir("/disk", 0755);
  mount("proc", "/proc", "proc", 0, NULL);
  mount("dev", "/dev", "devtmpfs", 0, NULL);
  mount("tmp", "/tmp", "tmpfs", 0, NULL);
  split_line();
  load_modules();
  const char *disk = word("disk", "");
  if (*disk && mount(disk, "/disk", "ext4", 0, NULL)) fail("the disk");
}

static const struct row *find_row(const char *name, size_t length) {
  const struct row *tables[] = { compute_rows, bytes_rows, system_rows, device_rows };
  for (size_t table = 0; table < sizeof tables / sizeof *tables; table++)
    for (const struct row *row = tables[table]; row->name; row++)
      if (strlen(row->name) == length && !strncmp(row->name, name, length)) return row;
  return NULL;
}

static long long used_us(int who) {
  struct rusage use;
  getrusage(who, &use);
  return (use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1000000LL + use.ru_utime.tv_usec
    + use.ru_stime.tv_usec;
}

static long long now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

/* What a copy tells when it is set up, and after each run. */
struct report {
  uint32_t answer;
  long long us;
};

static void copy_of(const struct row *row, int copy, int repeats, int go, int said) {
  struct report report = { 0, 0 };
  char byte;
  if (row->prepare) row->prepare(copy);
  for (int repeat = 0; repeat <= repeats; repeat++) {
    if (write(said, &report, sizeof report) != sizeof report) _exit(1);
    if (repeat == repeats || read(go, &byte, 1) != 1) break;
    report.us = -used_us(RUSAGE_SELF) - used_us(RUSAGE_CHILDREN);
    report.answer = row->run(copy);
    report.us += used_us(RUSAGE_SELF) + used_us(RUSAGE_CHILDREN);
  }
  _exit(0);
}

/* The answer of one copy is as good as any: they all do the same. */
static struct report hear(int said, int copies) {
  struct report one, all = { 0, 0 };
  for (int copy = 0; copy < copies; copy++) {
    if (read(said, &one, sizeof one) != sizeof one) fail("a copy has ended");
    all = (struct report){ one.answer, all.us + one.us };
  }
  return all;
}

static void run_row(const struct row *row, int copies, int repeats) {
  int go[2], said[2];
  if (pipe(go) || pipe(said)) fail("pipe");
  fflush(stdout);
  for (int copy = 0; copy < copies; copy++) {
    if (fork()) continue;
    /* Also where the bench kills us. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(go[1]);
    close(said[0]);
    copy_of(row, copy, repeats, go[0], said[1]);
  }
  close(go[0]);
  close(said[1]);
  hear(said[0], copies);
  for (int repeat = 0; repeat < repeats; repeat++) {
    printf("@begin %s\n", row->name);
    long long began_us = now_us();
    for (int copy = 0; copy < copies; copy++)
      if (write(go[1], "g", 1) != 1) fail("go");
    struct report report = hear(said[0], copies);
    long long took_us = now_us() - began_us;
    printf("@end %s %u %lld %lld\n", row->name, report.answer, report.us, took_us);
  }
  close(go[1]);
  close(said[0]);
  while (wait(NULL) > 0) {}
}

int main(int argc, char **argv) {
  if (argc == 2 && !strcmp(argv[1], "nothing")) return 0;
  /* Where nobody listens for each word, none is on its way while a row runs. */
  setvbuf(stdout, NULL, getpid() == 1 ? _IOLBF : _IOFBF, 1 << 16);
  printf("@ready\n");
  if (getpid() == 1) settle();
  else for (int each = 1; each < argc && each <= WORDS_MAX; each++) words[each - 1] = argv[each];
  int copies = atoi(word("copies", "1")), repeats = atoi(word("repeats", "1"));
  for (const char *name = word("rows", ""); *name;) {
    size_t length = strcspn(name, ",");
    const struct row *row = find_row(name, length);
    if (row) run_row(row, copies, repeats);
    else printf("@failed no such row: %.*s\n", (int)length, name);
    name += length + (name[length] == ',');
  }
  printf("@done\n");
  while (getpid() == 1) pause();
  return 0;
}
