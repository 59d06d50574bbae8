/*
 * The interrupt controller of a machine inside a portable machine: a PLIC with one context for each
 * processor. Call everything with the devices' lock held. Priorities are used as Linux does: 0 is
 * off, everything else the same; any threshold shuts a context.
 */
#include "sys.h"
#include "vmm.h"

#if defined(__riscv)
static struct {
  u64 level, claimed, usable;
  struct { u64 enabled; u32 threshold; } context[VCPUS_MAX];
} plic;

void plic_reset(void) { memset(&plic, 0, sizeof plic); }

void irq_line(int source, int high) {
  if (high) plic.level |= 1ul << source;
  else plic.level &= ~(1ul << source);
}

static u64 due(u64 context) {
  if (plic.context[context].threshold) return 0;
  return plic.level & plic.usable & ~plic.claimed & plic.context[context].enabled;
}

int plic_due(int context) { return due((u64)context) != 0; }

static u32 claim(u64 context) {
  u64 sources = due(context);
  for (int source = 1; source < 64; source++) {
    if (!(sources >> source & 1)) continue;
    plic.claimed |= 1ul << source;
    return (u32)source;
  }
  return 0;
}

u32 plic_read(u64 offset) {
  u64 half = (offset & 4) * 8;
  if (offset < 0x100) return plic.usable >> offset / 4 & 1;
  if ((offset & ~4ul) == 0x1000) return (u32)(plic.level >> half);
  u64 context = (offset - 0x2000) / 0x80;
  if (offset >= 0x2000 && context < VCPUS_MAX && offset % 0x80 < 8)
    return (u32)(plic.context[context].enabled >> half);
  context = (offset - 0x200000) / 0x1000;
  if (offset < 0x200000 || context >= VCPUS_MAX) return 0;
  if (offset % 0x1000 == 4) return claim(context);
  return offset % 0x1000 == 0 ? plic.context[context].threshold : 0;
}

static void set_half(u64 *whole, u64 offset, u32 value) {
  u64 shift = (offset & 4) * 8;
  *whole = (*whole & ~(0xfffffffful << shift)) | (u64)value << shift;
}

void plic_write(u64 offset, u32 value) {
  if (offset < 0x100) {
    u64 bit = 1ul << offset / 4;
    plic.usable = value ? plic.usable | bit : plic.usable & ~bit;
    return;
  }
  u64 context = (offset - 0x2000) / 0x80;
  if (offset >= 0x2000 && context < VCPUS_MAX && offset % 0x80 < 8)
    set_half(&plic.context[context].enabled, offset, value);
  context = (offset - 0x200000) / 0x1000;
  if (offset < 0x200000 || context >= VCPUS_MAX) return;
  if (offset % 0x1000 == 4) plic.claimed &= ~(1ul << (value & 63));
  else if (offset % 0x1000 == 0) plic.context[context].threshold = value;
}
#endif
