/*
 * The devices of a machine inside a portable machine: virtio-mmio (version 2) with consoles, disks
 * and network cards in the slots that the portable engine uses. The words that it is told:
 * `disk=PLACE:SERIAL`, `nic=SLOT:MAC` (12 hexadecimal digits), `none=SLOT` (of all the slots).
 *
 * The guest is hostile: its addresses go through guest_ram, its queue sizes and chains are bounded.
 * Its other processors run while we do: what is believed is read once. Everything here is called
 * with the devices' lock held.
 */
#include "guest.h"
#include "vmm.h"

#if defined(__riscv)
#include <linux/ioctl.h>

#define DISK_BYTES _IOR(0x12, 114, u64) /* BLKGETSIZE64 */

#define QUEUE_MAX 256
#define PIECES_MAX 130
#define NET_HEADER 12

enum { NONE, NET = 1, BLOCK = 2, CONSOLE = 3 };
enum { CHAIN_NEXT = 1, CHAIN_WRITE = 2, NO_INTERRUPT = 1 };
enum { BLOCK_IN, BLOCK_OUT, BLOCK_FLUSH = 4, BLOCK_GET_ID = 8 };

struct queue {
  u32 size, ready;
  u16 seen;
  u64 descriptors, available, used;
};

struct piece {
  u8 *at;
  u32 count, writable;
};

struct chain {
  struct piece pieces[PIECES_MAX];
  int count;
  u16 head;
};

static struct device {
  int kind, first_console;
  struct ends ends;
  u32 status, features_half, queue, interrupt, sent;
  struct queue queues[2];
  u64 features, sectors;
  const char *serial;
  u8 config[24];
} devices[VIRTIO_SLOTS];

static u8 packet[65536];

/* ---- queues */

static int chain_pop(struct queue *queue, struct chain *chain) {
  u16 *available = guest_ram(queue->available, 4 + 2ul * queue->size);
  u8 *descriptors = guest_ram(queue->descriptors, 16ul * queue->size);
  if (!queue->ready || !queue->size || !available || !descriptors) return 0;
  if (__atomic_load_n(&available[1], __ATOMIC_ACQUIRE) == queue->seen) return 0;
  u16 at = chain->head = available[2 + queue->seen % queue->size];
  chain->count = 0;
  queue->seen++;
  for (;;) {
    struct { u64 address; u32 count; u16 flags, next; } one;
    if (at >= queue->size || chain->count == PIECES_MAX) break;
    memcpy(&one, descriptors + 16 * at, sizeof one);
    u8 *bytes = guest_ram(one.address, one.count);
    if (!bytes) break;
    chain->pieces[chain->count++] = (struct piece){bytes, one.count, one.flags & CHAIN_WRITE};
    if (!(one.flags & CHAIN_NEXT)) return 1;
    at = one.next;
  }
  chain->count = 0; /* a broken chain is returned empty */
  return 1;
}

static void chain_push(struct device *device, struct queue *queue, u16 head, u32 written) {
  u16 *available = guest_ram(queue->available, 4 + 2ul * queue->size);
  u8 *used = guest_ram(queue->used, 4 + 8ul * queue->size);
  if (!available || !used || !queue->size) return;
  u16 *place = (u16 *)(used + 2), index = *place;
  u32 *entry = (u32 *)(used + 4 + 8ul * (index % queue->size));
  entry[0] = head;
  entry[1] = written;
  __atomic_store_n(place, (u16)(index + 1), __ATOMIC_RELEASE);
  __atomic_thread_fence(__ATOMIC_SEQ_CST); /* it may just have asked for an interrupt */
  if (available[0] & NO_INTERRUPT) return;
  device->interrupt |= 1;
  irq_line(VIRTIO_IRQ + (int)(device - devices), 1);
}

/* ---- consoles and cards */

static void note_panic(const u8 *bytes, size count) {
  static const char words[] = "Kernel panic - not syncing";
  static size matched;
  for (size i = 0; i < count && !panicked; i++) {
    matched = bytes[i] == (u8)words[matched] ? matched + 1 : bytes[i] == 'K';
    panicked = matched == sizeof words - 1;
  }
}

static void console_output(struct device *device) {
  static struct chain chain;
  struct queue *queue = &device->queues[1];
  while (chain_pop(queue, &chain)) {
    u32 before = 0;
    for (int i = 0; i < chain.count; i++) {
      struct piece *piece = &chain.pieces[i];
      while (device->sent < before + piece->count) {
        u32 skip = device->sent - before;
        long wrote = sys3(__NR_write, device->ends.out, piece->at + skip, piece->count - skip);
        if (wrote == -EAGAIN) {
          queue->seen--; /* the line is full: the rest when it has room */
          return;
        }
        if (wrote <= 0) wrote = piece->count - skip;
        if (device->first_console) note_panic(piece->at + skip, (size)wrote);
        device->sent += (u32)wrote;
      }
      before += piece->count;
    }
    device->sent = 0;
    chain_push(device, queue, chain.head, 0);
  }
}

static void console_input(struct device *device) {
  static struct chain chain;
  struct queue *queue = &device->queues[0];
  while (chain_pop(queue, &chain)) {
    struct piece *piece = &chain.pieces[0];
    long got = 0;
    if (chain.count && piece->writable)
      got = sys3(__NR_read, device->ends.in, piece->at, piece->count);
    if (got < 0 || (got == 0 && chain.count)) {
      queue->seen--;
      return;
    }
    chain_push(device, queue, chain.head, (u32)got);
  }
}

static void card_output(struct device *device) {
  static struct chain chain;
  while (chain_pop(&device->queues[1], &chain)) {
    u32 count = 0;
    for (int i = 0; i < chain.count; i++) {
      struct piece *piece = &chain.pieces[i];
      if (piece->count > sizeof packet - count) break;
      memcpy(packet + count, piece->at, piece->count);
      count += piece->count;
    }
    if (count > NET_HEADER)
      sys3(__NR_write, device->ends.out, packet + NET_HEADER, count - NET_HEADER);
    chain_push(device, &device->queues[1], chain.head, 0);
  }
}

static void card_input(struct device *device) {
  static struct chain chain;
  struct queue *queue = &device->queues[0];
  while (chain_pop(queue, &chain)) {
    long got = sys3(__NR_read, device->ends.in, packet + NET_HEADER, sizeof packet - NET_HEADER);
    if (got <= 0) {
      queue->seen--;
      return;
    }
    memset(packet, 0, NET_HEADER);
    packet[10] = 1; /* one buffer holds it */
    u32 left = (u32)got + NET_HEADER, done = 0;
    for (int i = 0; i < chain.count && left; i++) {
      struct piece *piece = &chain.pieces[i];
      u32 part = left < piece->count ? left : piece->count;
      if (!piece->writable) continue;
      memcpy(piece->at, packet + done, part);
      done += part, left -= part;
    }
    chain_push(device, queue, chain.head, done);
  }
}

/* ---- disks */

/* All of a piece from or to the disk; 0 when it cannot be. */
static int transfer(long call, int fd, const struct piece *piece, u64 offset) {
  for (u32 done = 0; done < piece->count;) {
    long moved = sys4(call, fd, piece->at + done, piece->count - done, offset + done);
    if (moved == -EINTR) continue;
    if (moved <= 0) return 0;
    done += (u32)moved;
  }
  return 1;
}

/* One request, done when this returns: its status. `written` counts what the guest gets. */
static u8 disk_request(struct device *device, const struct chain *chain, u32 *written) {
  enum { DONE, FAILED, UNSUPPORTED };
  u32 header[4];
  memcpy(header, chain->pieces[0].at, sizeof header);
  if (header[0] == BLOCK_FLUSH) return sys1(__NR_fdatasync, device->ends.in) ? FAILED : DONE;
  if (header[0] == BLOCK_GET_ID) {
    const struct piece *piece = &chain->pieces[1];
    if (chain->count != 3 || !piece->writable || piece->count < SERIAL_MAX) return FAILED;
    memcpy(piece->at, device->serial, *written = SERIAL_MAX);
    return DONE;
  }
  if (header[0] != BLOCK_IN && header[0] != BLOCK_OUT) return UNSUPPORTED;
  int reads = header[0] == BLOCK_IN;
  u64 sector = (u64)header[3] << 32 | header[2];
  if (sector > device->sectors) return FAILED;
  u64 offset = sector * 512, left = (device->sectors - sector) * 512;
  for (int i = 1; i < chain->count - 1; i++) {
    const struct piece *piece = &chain->pieces[i];
    if (piece->count > left || !piece->writable != !reads) return FAILED;
    long call = reads ? __NR_pread64 : __NR_pwrite64;
    if (!transfer(call, device->ends.in, piece, offset)) return FAILED;
    if (reads) *written += piece->count;
    offset += piece->count;
    left -= piece->count;
  }
  return DONE;
}

static void disk_work(struct device *device) {
  static struct chain chain;
  while (chain_pop(&device->queues[0], &chain)) {
    struct piece *last = &chain.pieces[chain.count - 1];
    int whole = chain.count >= 2 && chain.pieces[0].count >= 16 && last->writable && last->count;
    u32 written = 0;
    if (whole) *last->at = disk_request(device, &chain, &written);
    chain_push(device, &device->queues[0], chain.head, whole ? written + 1 : 0);
  }
}

/* ---- the registers (virtio 1.2, 4.2.2) */

static void notified(struct device *device, u32 queue) {
  if (device->kind == BLOCK) disk_work(device);
  else if (device->kind == CONSOLE) queue ? console_output(device) : console_input(device);
  else if (device->kind == NET) queue ? card_output(device) : card_input(device);
}

void devices_woken(void) {
  for (int slot = 0; slot < VIRTIO_SLOTS; slot++) {
    struct device *device = &devices[slot];
    if (device->kind != NET) notified(device, 1);
    if (device->kind != BLOCK) notified(device, 0);
  }
}

static void device_init(struct device *device) {
  device->status = device->interrupt = device->queue = device->sent = 0;
  memset(device->queues, 0, sizeof device->queues);
  irq_line(VIRTIO_IRQ + (int)(device - devices), 0);
}

u32 virtio_read(u64 offset, u32 size) {
  struct device *device = &devices[offset / 0x1000];
  struct queue *queue = &device->queues[device->queue & 1];
  u32 value = 0, half = device->features_half;
  offset %= 0x1000;
  if (offset >= 0x100) {
    if (offset - 0x100 <= sizeof device->config - size && size <= 4)
      memcpy(&value, device->config + (offset - 0x100), size);
    return value;
  }
  switch (offset) {
    case 0x00: return 0x74726976;
    case 0x04: return 2;
    case 0x08: return (u32)device->kind;
    case 0x0c: return 0x4e594d48;
    case 0x10: return half < 2 ? (u32)(device->features >> 32 * half) : 0;
    case 0x34: return device->queue < 2 ? QUEUE_MAX : 0;
    case 0x44: return queue->ready;
    case 0x60: return device->interrupt;
    case 0x70: return device->status;
  }
  return 0;
}

static void set_half(u64 *whole, u64 offset, u32 value) {
  int shift = offset & 4 ? 32 : 0;
  *whole = (*whole & ~(0xfffffffful << shift)) | (u64)value << shift;
}

void virtio_write(u64 offset, u32 value) {
  struct device *device = &devices[offset / 0x1000];
  struct queue *queue = &device->queues[device->queue & 1];
  switch (offset % 0x1000) {
    case 0x14: device->features_half = value; break;
    case 0x30: device->queue = value; break;
    case 0x38: queue->size = value <= QUEUE_MAX ? value : 0; break;
    case 0x44: queue->ready = value; break;
    case 0x50: notified(device, value & 1); break;
    case 0x64:
      device->interrupt &= ~value;
      irq_line(VIRTIO_IRQ + (int)(device - devices), device->interrupt != 0);
      break;
    case 0x70:
      if (value == 0) device_init(device);
      device->status = value;
      break;
    case 0x80: case 0x84: set_half(&queue->descriptors, offset, value); break;
    case 0x90: case 0x94: set_half(&queue->available, offset, value); break;
    case 0xa0: case 0xa4: set_half(&queue->used, offset, value); break;
  }
}

/* ---- what there is */

static u64 number_at(const char **at) {
  u64 value = 0;
  while (**at >= '0' && **at <= '9') value = value * 10 + (u64)(*(*at)++ - '0');
  if (**at == ':') ++*at;
  return value;
}

static void add(int slot, int kind, struct ends ends, u64 features) {
  struct device *device = &devices[slot];
  device->kind = kind;
  device->ends = ends;
  device->features = 1ul << 32 | features;
}

static void add_disk(const struct disks *disks, int place) {
  struct device *device = &devices[SLOT_DISKS + place];
  int fd = disks->place[place];
  u64 bytes = 0;
  u32 segments_max = PIECES_MAX - 2;
  if (sys3(__NR_ioctl, fd, DISK_BYTES, &bytes)) return;
  add(SLOT_DISKS + place, BLOCK, (struct ends){fd, fd}, 1 << 2 | 1 << 9);
  device->serial = disks->serial[place];
  device->sectors = bytes / 512;
  memcpy(device->config, &device->sectors, 8);
  memcpy(device->config + 12, &segments_max, 4);
}

static void add_card(const struct lines *lines, int slot) {
  add(SLOT_NICS + slot, NET, lines->nic[slot], 1 << 5);
  for (int i = 0; i < 12; i++) {
    u8 c = (u8)lines->card[slot][i];
    u8 digit = (u8)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10) & 15;
    u8 *byte = &devices[SLOT_NICS + slot].config[i / 2];
    *byte = (u8)(*byte << 4 | digit);
  }
}

static void empty(struct lines *lines, u64 slot) {
  if (slot >= VIRTIO_SLOTS) return;
  irq_line(VIRTIO_IRQ + (int)slot, 0);
  memset(&devices[slot], 0, sizeof devices[slot]);
  if (slot - SLOT_NICS < CARDS_MAX) lines->card[slot - SLOT_NICS][0] = 0;
  if (slot - SLOT_DISKS >= DISKS_MAX) return;
  int *fd = &lines->disks.place[slot - SLOT_DISKS];
  if (*fd > 0) sys1(__NR_close, *fd);
  *fd = 0;
}

void device_word(struct lines *lines, const char *word, int fd) {
  int is_disk = starts(word, "disk="), is_card = starts(word, "nic=");
  if (!is_disk && !is_card && !starts(word, "none=")) return;
  while (*word++ != '=') continue;
  u64 number = number_at(&word);
  if (is_disk && number < DISKS_MAX && fd > 0) {
    empty(lines, SLOT_DISKS + number);
    lines->disks.place[number] = fd;
    char *serial = lines->disks.serial[number];
    memset(serial, 0, SERIAL_MAX);
    memcpy(serial, word, length(word) < SERIAL_MAX ? length(word) : SERIAL_MAX);
    add_disk(&lines->disks, (int)number);
  } else if (is_card && number < (u64)lines->nics && number < CARDS_MAX && length(word) == 12) {
    empty(lines, SLOT_NICS + number);
    memcpy(lines->card[number], word, 12);
    add_card(lines, (int)number);
  } else if (!is_disk && !is_card) empty(lines, number);
}

void devices_reset(const struct lines *lines) {
  memset(devices, 0, sizeof devices);
  panicked = 0;
  add(SLOT_AGENT, CONSOLE, lines->agent, 0);
  for (int i = 0; i < lines->consoles && SLOT_CONSOLES + i < SLOT_DISKS; i++)
    add(SLOT_CONSOLES + i, CONSOLE, lines->console[i], 0);
  devices[SLOT_CONSOLES].first_console = 1;
  for (int i = 0; i < DISKS_MAX; i++)
    if (lines->disks.place[i] > 0) add_disk(&lines->disks, i);
  for (int i = 0; i < CARDS_MAX; i++)
    if (lines->card[i][0]) add_card(lines, i);
}
#endif
