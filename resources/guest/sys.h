/*
 * The ground under the guest program: system calls, strings and numbers, no C library.
 *
 * Why no libc: the program is in the memory of every machine and runs before anything else.
 * A static libc costs some sixty page faults before main, and a page fault in a User Mode Linux
 * guest takes about 0.1 ms; without it the whole program is one 20 kB file.
 * Only calls that x86-64 and riscv64 both have are used (openat, clone, ppoll, dup3...), so the
 * two short blocks of assembly below are all that an architecture has to bring.
 * Every call returns the kernel's own answer: a negative errno is a failure.
 */
#ifndef NYMPH_SYS_H
#define NYMPH_SYS_H

#include <asm/termios.h>
#include <asm/unistd.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/types.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef unsigned long size;

#define NULL ((void *)0)

long sys(long number, long a, long b, long c, long d, long e, long f);
#define sys0(n) sys(n, 0, 0, 0, 0, 0, 0)
#define sys1(n, a) sys(n, (long)(a), 0, 0, 0, 0, 0)
#define sys2(n, a, b) sys(n, (long)(a), (long)(b), 0, 0, 0, 0)
#define sys3(n, a, b, c) sys(n, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define sys4(n, a, b, c, d) sys(n, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define sys6(n, a, b, c, d, e, f) \
  sys(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define sys5(n, a, b, c, d, e) sys(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)

size length(const char *text);
int same(const char *a, const char *b);
int starts(const char *text, const char *with);
void *memcpy(void *to, const void *from, size count);
void *memset(void *to, int byte, size count);
void *memmove(void *to, const void *from, size count);

/* Text that is put together in a fixed buffer: it is cut at the end and always ends with NUL. */
struct text {
  char *at;
  size used;
  size room;
};
void text_add(struct text *text, const char *more);
void text_add_number(struct text *text, u64 number);

/* Reads a whole small file below `at`; returns its length (cut at room), or a negative errno. */
long read_file(int at, const char *path, char *into, size room);
long write_file(int at, const char *path, const char *content);
long fork(void);
void exit(int code) __attribute__((noreturn));
void sleep_ms(long ms);
u64 now_ms(void);

#endif
