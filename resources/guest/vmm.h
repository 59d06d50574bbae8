/*
 * What the two halves of the machine inside a portable machine say to each other: vmm.c runs the
 * processor over /dev/kvm and is the interrupt controller; virtio.c is its devices.
 */
#ifndef NYMPH_VMM_H
#define NYMPH_VMM_H

#include "sys.h"

/* The lines that it was given: `in` is read, `out` written; the same for a socket. */
struct ends {
  int in, out;
};
#define DISKS_MAX 8
struct disks {
  int boot, place[DISKS_MAX]; /* open block devices; none is 0 */
};
struct lines {
  int consoles, nics;
  struct ends *console, agent, *nic;
  struct disks disks;
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
/* Console 0 has said that its kernel panics. */
extern int panicked;

void devices_reset(const struct lines *lines, char **words);
u32 virtio_read(u64 offset, u32 size);
void virtio_write(u64 offset, u32 value);
/* Something may have come in, or a line may have room again. */
void devices_woken(void);

/* Finds the disks that the words name by their serials; as root, with the view still open. */
void vmm_open_disks(struct disks *disks, char **words);
/* Runs until the guest powers off: an exit code. `kvm` is /dev/kvm, open. */
int vmm(int kvm, const struct lines *lines, u64 memory_mib, char **words);

#endif
