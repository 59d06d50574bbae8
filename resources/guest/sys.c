/* The ground under the guest program; see sys.h. */
#include "sys.h"
#include <linux/time_types.h>

#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n  xor %ebp, %ebp\n  mov %rsp, %rdi\n  and $-16, %rsp\n"
        "  call start\n");

long sys(long number, long a, long b, long c, long d, long e, long f) {
  long result;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}
#elif defined(__riscv) && __riscv_xlen == 64
__asm__(".globl _start\n_start:\n  .option push\n  .option norelax\n"
        "  la gp, __global_pointer$\n  .option pop\n  mv a0, sp\n  andi sp, sp, -16\n"
        "  call start\n");

long sys(long number, long a, long b, long c, long d, long e, long f) {
  register long a0 __asm__("a0") = a;
  register long a1 __asm__("a1") = b;
  register long a2 __asm__("a2") = c;
  register long a3 __asm__("a3") = d;
  register long a4 __asm__("a4") = e;
  register long a5 __asm__("a5") = f;
  register long a7 __asm__("a7") = number;
  __asm__ volatile("ecall"
                   : "+r"(a0)
                   : "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5), "r"(a7)
                   : "memory");
  return a0;
}
#else
#error "The guest program knows x86-64 and riscv64."
#endif

int program(int argc, char **argv, char **envp);

/* The kernel hands over argc, argv, NULL, envp, NULL on the stack. */
__attribute__((used, noreturn)) void start(long *stack) {
  int argc = (int)stack[0];
  char **argv = (char **)(stack + 1);
  exit(program(argc, argv, argv + argc + 1));
}

size length(const char *text) {
  size n = 0;
  while (text[n]) n++;
  return n;
}

int same(const char *a, const char *b) {
  while (*a && *a == *b) a++, b++;
  return *a == *b;
}

int starts(const char *text, const char *with) {
  while (*with && *text == *with) text++, with++;
  return !*with;
}

void *memcpy(void *to, const void *from, size count) {
  u8 *out = to;
  const u8 *in = from;
  while (count--) *out++ = *in++;
  return to;
}

void *memset(void *to, int byte, size count) {
  u8 *out = to;
  while (count--) *out++ = (u8)byte;
  return to;
}

void *memmove(void *to, const void *from, size count) {
  u8 *out = to;
  const u8 *in = from;
  if (out <= in) return memcpy(to, from, count);
  while (count--) out[count] = in[count];
  return to;
}

void text_add(struct text *text, const char *more) {
  while (*more && text->used + 1 < text->room) text->at[text->used++] = *more++;
  text->at[text->used] = 0;
}

void text_add_number(struct text *text, u64 number) {
  char digits[24];
  int at = sizeof digits - 1;
  digits[at] = 0;
  do digits[--at] = (char)('0' + number % 10), number /= 10;
  while (number);
  text_add(text, digits + at);
}

long read_file(int at, const char *path, char *into, size room) {
  long fd = sys4(__NR_openat, at, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
  if (fd < 0) return fd;
  size used = 0;
  while (used + 1 < room) {
    long got = sys3(__NR_read, fd, into + used, room - 1 - used);
    if (got <= 0) break;
    used += (size)got;
  }
  into[used] = 0;
  sys1(__NR_close, fd);
  return (long)used;
}

long write_file(int at, const char *path, const char *content) {
  long fd = sys4(__NR_openat, at, path, O_WRONLY | O_CLOEXEC, 0);
  if (fd < 0) return fd;
  long wrote = sys3(__NR_write, fd, content, length(content));
  sys1(__NR_close, fd);
  return wrote;
}

long fork(void) { return sys5(__NR_clone, 17 /* SIGCHLD */, 0, 0, 0, 0); }

void exit(int code) {
  for (;;) sys1(__NR_exit_group, code);
}

void sleep_ms(long ms) {
  struct __kernel_timespec time = {ms / 1000, (ms % 1000) * 1000000};
  sys2(__NR_nanosleep, &time, 0);
}

u64 now_ms(void) {
  struct __kernel_timespec time = {0, 0};
  sys2(__NR_clock_gettime, 1 /* CLOCK_MONOTONIC */, &time);
  return (u64)time.tv_sec * 1000 + (u64)time.tv_nsec / 1000000;
}
