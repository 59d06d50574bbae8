/*
 * For app-vsock.test.ts, in a guest:
 *   vsock-talk listen PORT    sends back what each connection sends, one after another
 *   vsock-talk connect PORT   its input goes to that port of the host, and its answer
 *                             to its output
 */
#include "sys.h"

#define AF_VSOCK 40
#define CID_HOST 2
#define CID_ANY ~0u
#define SOCK_STREAM 1
#define SHUT_WR 1

/* struct sockaddr_vm, whose header wants a libc. */
static struct { u16 family, reserved; u32 port, cid; u8 flags, zero[3]; } name;
static char some[65536];

/* All of it from one to the other; 0 when it has ended in order. */
static long copy(int from, int to) {
  for (;;) {
    long got = sys3(__NR_read, from, some, sizeof some);
    if (got <= 0) return got;
    for (long at = 0; at < got;) {
      long wrote = sys3(__NR_write, to, some + at, got - at);
      if (wrote < 0) return wrote;
      at += wrote;
    }
  }
}

int program(int argc, char **argv, char **envp) {
  (void)envp;
  if (argc != 3) return 2;
  name.family = AF_VSOCK;
  for (const char *at = argv[2]; *at; at++) name.port = name.port * 10 + (u32)(*at - '0');
  int fd = (int)sys3(__NR_socket, AF_VSOCK, SOCK_STREAM, 0);
  if (same(argv[1], "connect")) {
    name.cid = CID_HOST;
    if (sys3(__NR_connect, fd, &name, sizeof name)) return 3;
    if (copy(0, fd) || sys2(__NR_shutdown, fd, SHUT_WR)) return 4;
    return copy(fd, 1) ? 5 : 0;
  }
  name.cid = CID_ANY;
  if (sys3(__NR_bind, fd, &name, sizeof name) || sys2(__NR_listen, fd, 8)) return 3;
  sys3(__NR_write, 1, "listening\n", 10);
  for (;;) {
    int one = (int)sys4(__NR_accept4, fd, NULL, NULL, 0);
    if (one < 0) return 4;
    copy(one, one);
    sys1(__NR_close, one);
  }
}
