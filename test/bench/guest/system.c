/* Rows that are the kernel's work: system calls, page faults, processes, pipes, file trees, gcc. */
#define _GNU_SOURCE
#include "work.h"
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* syscall: the shortest there is */

enum { CALLS = 200000 };

static uint32_t syscall_run(int copy) {
  (void)copy;
  for (int call = part_of(CALLS); call > 0; call--) syscall(SYS_getppid);
  return CALLS;
}

/* fault: the first write to each page of new memory */

enum { FAULT_BYTES = 16 << 20, PAGE = 4096, FAULT_ROUNDS = 6 };

static uint32_t fault_run(int copy) {
  uint32_t sum = (uint32_t)copy * 0;
  for (int round = 0; round < FAULT_ROUNDS; round++) {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS;
    char *memory = mmap(NULL, FAULT_BYTES, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (memory == MAP_FAILED) fail("mmap");
    madvise(memory, FAULT_BYTES, MADV_NOHUGEPAGE);
    for (int at = 0; at < part_of(FAULT_BYTES); at += PAGE) memory[at] = 1, sum++;
    munmap(memory, FAULT_BYTES);
  }
  return sum;
}

/* fork: fork, exec of this program again, which does nothing, and wait */

enum { FORKS = 60 };

static int run_program(char *const argv[]) {
  int status;
  pid_t pid = fork();
  if (pid == 0) {
    execv(argv[0], argv);
    _exit(127);
  }
  if (pid < 0 || waitpid(pid, &status, 0) != pid) fail("fork");
  return status;
}

static uint32_t fork_run(int copy) {
  uint32_t sum = (uint32_t)copy * 0;
  char *argv[] = { "/proc/self/exe", "nothing", NULL };
  for (int round = 0; round < part_of(FORKS); round++) sum += run_program(argv) == 0;
  return sum;
}

/* pipe: a byte there and back between two processes */

enum { TURNS = 8000 };

static uint32_t pipe_run(int copy) {
  int there[2], back[2];
  uint32_t turns = (uint32_t)copy * 0;
  char byte = 0;
  if (pipe(there) || pipe(back)) fail("pipe");
  pid_t pid = fork();
  if (pid == 0) {
    close(there[1]);
    while (read(there[0], &byte, 1) == 1 && write(back[1], &byte, 1) == 1) {}
    _exit(0);
  }
  close(there[0]);
  for (int turn = 0; turn < part_of(TURNS); turn++)
    turns += write(there[1], &byte, 1) == 1 && read(back[0], &byte, 1) == 1;
  close(there[1]);
  close(back[0]);
  close(back[1]);
  waitpid(pid, NULL, 0);
  return turns;
}

/* tree: walks of folders in memory that hold files, each looked at */

enum { FOLDERS = 40, FILES = 50, WALKS = 6 };

static uint32_t seen;
static char top[64];

static void tree_prepare(int copy) {
  snprintf(top, sizeof top, "%s/tree-%d-%d", word("tmp", "/tmp"), (int)getpid(), copy);
  mkdir(top, 0755);
  for (int folder = 0; folder < FOLDERS; folder++) {
    char path[128];
    snprintf(path, sizeof path, "%s/%d", top, folder);
    mkdir(path, 0755);
    for (int file = 0; file < FILES; file++) {
      snprintf(path, sizeof path, "%s/%d/file-%d", top, folder, file);
      int fd = open(path, O_CREAT | O_WRONLY, 0644);
      if (fd < 0 || write(fd, path, strlen(path)) < 0) fail(path);
      close(fd);
    }
  }
}

static int look(const char *path, const struct stat *about, int kind, struct FTW *place) {
  (void)place;
  if (kind == FTW_F && about->st_size > 0 && path[0] == '/') seen++;
  return 0;
}

static uint32_t tree_run(int copy) {
  seen = (uint32_t)copy * 0;
  for (int walk = 0; walk < WALKS; walk++)
    if (nftw(top, look, 16, FTW_PHYS)) fail("nftw");
  return seen;
}

/* gcc: Debian's compiler proper of this processor, from `tools`, on the file that lies with it */

static uint32_t gcc_run(int copy) {
  const char *tools = word("tools", "/disk/tools");
  char loader[256], libraries[256], compiler[256], source[256];
  snprintf(loader, sizeof loader, "%s/ld.so", tools);
  snprintf(libraries, sizeof libraries, "%s/lib", tools);
  snprintf(compiler, sizeof compiler, "%s/cc1", tools);
  snprintf(source, sizeof source, "%s/large.c", tools);
  char *argv[] = { loader, "--library-path", libraries, compiler, "-quiet", "-fpreprocessed", "-O2",
    "-o", "/dev/null", source, NULL };
  if (run_program(argv)) fail("the compiler");
  return (uint32_t)copy * 0;
}

const struct row system_rows[] = {
  { "syscall", NULL, syscall_run },
  { "fault", NULL, fault_run },
  { "fork", NULL, fork_run },
  { "pipe", NULL, pipe_run },
  { "tree", tree_prepare, tree_run },
  { "gcc", NULL, gcc_run },
  { NULL, NULL, NULL },
};
