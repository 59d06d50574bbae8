/*
 * What the machine uses, as the kernel tells it: sections `key u8 | count u16 | text`, which the
 * host reads (src-main/guest/stats.ts). The text is the kernel's own, cut where it is longer than
 * its share, so that this program stays small and the reading is done where it can be tested.
 */
#include "guest.h"
#include <linux/utsname.h>

static u8 *out;
static size out_used, out_room;

static void section(u8 key, const char *text, size count) {
  if (out_used + 3 + count > out_room) return;
  out[out_used] = key;
  out[out_used + 1] = (u8)count;
  out[out_used + 2] = (u8)(count >> 8);
  memcpy(out + out_used + 3, text, count);
  out_used += 3 + count;
}

static void file_section(u8 key, int at, const char *path, size most) {
  static char content[4096];
  long count = read_file(at, path, content, most < sizeof content ? most : sizeof content);
  if (count > 0) section(key, content, (size)count);
}

/* /proc/stat ends with counters of every interrupt; only the lines of the processors count. */
static void processors(u8 key) {
  static char content[4096];
  long count = read_file(place.proc, "stat", content, sizeof content);
  size end = 0;
  while (count > 0 && starts(content + end, "cpu")) {
    while (content[end] && content[end] != '\n') end++;
    if (content[end]) end++;
  }
  section(key, content, end);
}

struct ifreq_in {
  char name[16];
  u16 family, port;
  u8 address[4];
  u8 rest[16];
};

/* Lines of `name a.b.c.d`. IPv6 addresses come from /proc/net/if_inet6 as they are. */
static void addresses(u8 key) {
  struct ifreq_in list[32];
  struct {
    int count;
    void *list;
  } ask = {sizeof list, list};
  char lines[2048];
  struct text text = {lines, 0, sizeof lines};
  long fd = sys3(__NR_socket, 2 /* AF_INET */, 2 | O_CLOEXEC /* SOCK_DGRAM */, 0);
  if (fd < 0) return;
  if (sys3(__NR_ioctl, fd, 0x8912 /* SIOCGIFCONF */, &ask) == 0) {
    for (int i = 0; i < ask.count / (int)sizeof list[0]; i++) {
      list[i].name[15] = 0;
      text_add(&text, list[i].name);
      for (int part = 0; part < 4; part++) {
        text_add(&text, part ? "." : " ");
        text_add_number(&text, list[i].address[part]);
      }
      text_add(&text, "\n");
    }
  }
  sys1(__NR_close, fd);
  section(key, lines, text.used);
}

static void root_room(u8 key, long root) {
  struct {
    long type, block, blocks, free, available;
    long rest[16];
  } fs;
  char line[128];
  struct text text = {line, 0, sizeof line};
  memset(&fs, 0, sizeof fs);
  if (sys2(__NR_fstatfs, root, &fs)) return;
  long figures[] = {fs.block, fs.blocks, fs.free, fs.available};
  for (int i = 0; i < 4; i++) {
    text_add_number(&text, (u64)figures[i]);
    text_add(&text, " ");
  }
  section(key, line, text.used);
}

long stats_collect(u8 *into, size room) {
  struct new_utsname names;
  out = into;
  out_used = 0;
  out_room = room;
  file_section(1, place.proc, "meminfo", 2048);
  processors(2);
  file_section(3, place.proc, "loadavg", 128);
  file_section(4, place.proc, "diskstats", 4096);
  file_section(5, place.proc, "self/net/dev", 4096);
  file_section(6, place.proc, "uptime", 128);
  if (sys1(__NR_uname, &names) == 0) section(7, names.nodename, length(names.nodename));
  addresses(8);
  file_section(9, place.proc, "self/net/if_inet6", 2048);
  long root = guest_root();
  if (root >= 0) {
    char content[1024];
    long fd = open_in_guest("/etc/os-release", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    long count = fd < 0 ? 0 : sys3(__NR_read, fd, content, sizeof content);
    if (fd >= 0) sys1(__NR_close, fd);
    if (count > 0) section(10, content, (size)count);
    root_room(11, root);
    sys1(__NR_close, root);
  }
  return (long)out_used;
}
