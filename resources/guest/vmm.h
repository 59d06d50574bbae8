/*
 * What the parts of the machine inside a portable machine say to each other: vmm.c runs processors
 * over /dev/kvm, plic.c is the interrupt controller, virtio.c the devices.
 */
#ifndef NYMPH_VMM_H
#define NYMPH_VMM_H

#include "sys.h"

/* The lines that it was given: `in` is read, `out` written; the same for a socket. */
struct ends {
  int in, out;
};
#define DISKS_MAX 8
#define CARDS_MAX 4
#define VCPUS_MAX 8
#define SERIAL_MAX 20
#define WORD_MAX 64
struct disks {
  int boot, place[DISKS_MAX]; /* open block devices; none is 0 */
  char serial[DISKS_MAX][SERIAL_MAX];
};
struct lines {
  int consoles, nics, control;
  struct ends *console, agent, *nic;
  struct disks disks;
  char card[CARDS_MAX][12]; /* hardware addresses in hexadecimal; none begins with 0 */
};

/* The address map is that of the portable engine's board (engines/riscv/board.ts). */
#define RAM_BASE 0x80000000ul
#define VIRTIO_BASE 0x10001000ul
#define VIRTIO_SLOTS 24
#define VIRTIO_IRQ 16
enum { SLOT_AGENT = 1, SLOT_CONSOLES = 2, SLOT_DISKS = 9, SLOT_NICS = 17 };

/* A stretch of the guest's memory, or NULL when it is not all RAM. */
void *guest_ram(u64 address, u64 count);
/* Sets or clears the line of one interrupt source. */
void irq_line(int source, int high);
/* Whether a processor is to be interrupted. */
int plic_due(int context);
void plic_reset(void);
u32 plic_read(u64 offset);
void plic_write(u64 offset, u32 value);
/* Console 0 has said that its kernel panics. */
extern int panicked;

void devices_reset(const struct lines *lines);
/* One of the words that say what is in a slot, see virtio.c; a disk is open already. */
void device_word(struct lines *lines, const char *word, int fd);
u32 virtio_read(u64 offset, u32 size);
void virtio_write(u64 offset, u32 value);
/* Something may have come in, or a line may have room again. */
void devices_woken(void);

/* The disk of a serial, 0 if there is none; as root, with sysfs at SYSFS. */
#define SYSFS "/tmp/s"
int open_disk(const char *serial);
/* Opens the disks that the words name. */
void vmm_open_disks(struct disks *disks, char **words);
/* Runs until the guest powers off: an exit code. `kvm` is /dev/kvm, open. What comes over
 * lines->control is more words while it runs, a disk's with the open disk (SCM_RIGHTS). */
int vmm(int kvm, struct lines *lines, u64 memory_mib, char **words);

/* A message of a socket: struct msghdr, iovec, and cmsghdr with room for one descriptor. */
struct stretch {
  void *at;
  u64 count;
};
struct rights {
  u64 count;
  int level, type, fd, padding;
};
struct message {
  void *name;
  u64 name_bytes;
  struct stretch *stretches;
  u64 stretch_count;
  struct rights *rights;
  u64 rights_bytes;
  int flags;
};
enum { SOL_SOCKET = 1, SCM_RIGHTS = 1, RIGHTS_BYTES = 20 };

#endif
