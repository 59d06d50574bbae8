/* Rows that are a device's work: a disk past the guest's cache, TCP over a cable. */
#define _GNU_SOURCE
#include "work.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* The disk rows use a file of this size; copies share it, each in a part of its own. */

enum { FILE_BYTES = 32 << 20, SMALL = 4096, LARGE = 1 << 20, REQUESTS = 1500, COPIES_MAX = 4 };

static int file;
static char *buffer;

static void disk_prepare(int copy) {
  const char *path = word("data", "/disk/data");
  (void)copy;
  file = open(path, O_RDWR | O_DIRECT);
  if (file < 0 && errno == EINVAL) file = open(path, O_RDWR);
  if (file < 0) fail(path);
  if (posix_memalign((void **)&buffer, SMALL, LARGE)) fail("buffer");
  memset(buffer, 'x', LARGE);
}

static void request(int is_write, off_t at, size_t bytes) {
  ssize_t done = is_write ? pwrite(file, buffer, bytes, at) : pread(file, buffer, bytes, at);
  if (done != (ssize_t)bytes) fail(is_write ? "write" : "read");
}

/* Two reads, one write. */
static uint32_t random_run(int copy) {
  uint32_t seed = 21;
  const off_t part = FILE_BYTES / COPIES_MAX;
  for (int each = 0; each < REQUESTS; each++) {
    off_t at = (off_t)(next_random(&seed) % (part / SMALL)) * SMALL;
    request(each % 3 == 2, copy % COPIES_MAX * part + at, SMALL);
  }
  fdatasync(file);
  return seed;
}

static uint32_t sequential_run(int copy) {
  const off_t part = FILE_BYTES / COPIES_MAX, from = copy % COPIES_MAX * part;
  for (int pass = 0; pass < 2 * COPIES_MAX; pass++) {
    for (off_t at = 0; at < part; at += LARGE) request(pass & 1, from + at, LARGE);
    if (pass & 1) fdatasync(file);
  }
  return FILE_BYTES;
}

/*
 * lan: one machine sends, the other, at the address `peer`, takes and says when it has all. Copies
 * have ports of their own.
 */

enum { PORT = 5201, STREAM_BYTES = 48 << 20, PIECE = 128 << 10, TRIES_MAX = 600 };

static struct sockaddr_in address_of(const char *text, int port) {
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
  inet_pton(AF_INET, text, &address.sin_addr);
  return address;
}

static void set_up(const char *card) {
  struct ifreq request = { 0 };
  struct sockaddr_in own = address_of(word("own", "127.0.0.1"), 0);
  struct sockaddr_in mask = address_of("255.255.255.0", 0);
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  strncpy(request.ifr_name, card, IFNAMSIZ - 1);
  memcpy(&request.ifr_addr, &own, sizeof own);
  if (ioctl(fd, SIOCSIFADDR, &request)) fail(card);
  memcpy(&request.ifr_netmask, &mask, sizeof mask);
  ioctl(fd, SIOCSIFNETMASK, &request);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (ioctl(fd, SIOCSIFFLAGS, &request)) fail(card);
  close(fd);
}

static int connected(int copy) {
  struct sockaddr_in peer = address_of(word("peer", "127.0.0.1"), PORT + copy);
  for (int attempt = 0; attempt < TRIES_MAX; attempt++) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (!connect(fd, (struct sockaddr *)&peer, sizeof peer)) return fd;
    close(fd);
    usleep(100000);
  }
  fail("nobody to connect to");
}

static int stream;

static void lan_prepare(int copy) {
  if (*word("card", "")) set_up(word("card", ""));
  buffer = calloc(1, PIECE);
  stream = connected(copy);
}

static uint32_t lan_run(int copy) {
  char byte;
  (void)copy;
  for (size_t sent = 0; sent < STREAM_BYTES;) {
    size_t left = STREAM_BYTES - sent;
    ssize_t done = write(stream, buffer, left < PIECE ? left : PIECE);
    if (done <= 0) fail("send");
    sent += (size_t)done;
  }
  if (read(stream, &byte, 1) != 1) fail("receipt");
  return STREAM_BYTES;
}

/* sink: the other side of `lan`; it ends with the connection, as often as there is one. */

static uint32_t sink_run(int copy) {
  struct sockaddr_in own = address_of("0.0.0.0", PORT + copy);
  int door = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  if (*word("card", "")) set_up(word("card", ""));
  setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(door, (struct sockaddr *)&own, sizeof own) || listen(door, 4)) fail("listen");
  buffer = calloc(1, PIECE);
  for (int fd; (fd = accept(door, NULL, NULL)) >= 0; close(fd)) {
    size_t taken = 0;
    for (ssize_t got; (got = read(fd, buffer, PIECE)) > 0;) {
      taken += (size_t)got;
      if (taken % STREAM_BYTES == 0 && write(fd, "k", 1) != 1) fail("receipt");
    }
  }
  return 0;
}

const struct row device_rows[] = {
  { "disk-random", disk_prepare, random_run },
  { "disk-sequential", disk_prepare, sequential_run },
  { "lan", lan_prepare, lan_run },
  { "sink", NULL, sink_run },
  { NULL, NULL, NULL },
};
