/*
 * A machine inside a portable machine, over /dev/kvm: one processor, RAM, an interrupt controller
 * (PLIC, one context), a clock (goldfish) and virtio devices (virtio.c). SBI, timer and FPU are the
 * kernel's affair.
 *
 * Words: KERNEL INITRAMFS TREE (their sizes), INITRAMFS_AT TREE_AT (addresses), BOOT (a serial),
 * then disks and cards, see virtio.c. Disks are disks that the host has plugged into
 * this guest; the one called BOOT holds kernel, initramfs and tree, each from a 4 KiB border on.
 *
 * One thread: a line that has something to say sends SIGIO, which ends KVM_RUN. The signal's
 * handler sets immediate_exit too, so that one which comes just before KVM_RUN is not lost.
 */
#include "vmm.h"

#if defined(__riscv)
#include <linux/kvm.h>

#define PLIC_BASE 0xc000000ul
#define PLIC_SIZE 0x4000000ul
#define CLOCK_BASE 0x101000ul
#define KERNEL_AT (RAM_BASE + 0x200000ul)
#define SIGIO 29

enum { POWER_OFF, RESET, FAILED };
/* Places in struct kvm_riscv_core, whose header this program cannot have without a libc. */
enum { REG_PC = 0, REG_A0 = 10, REG_A1 = 11 };

static u8 *ram;
static u64 ram_bytes;
static struct kvm_run idle, *run = &idle;
static volatile int woken;
static int vcpu, line_is_high;
int panicked;

static struct { u64 level, enabled, claimed; } plic;

void *guest_ram(u64 address, u64 count) {
  u64 offset = address - RAM_BASE;
  return offset <= ram_bytes && count <= ram_bytes - offset ? ram + offset : NULL;
}

void irq_line(int source, int high) {
  if (high) plic.level |= 1ul << source;
  else plic.level &= ~(1ul << source);
}

static u64 plic_due(void) { return plic.level & plic.enabled & ~plic.claimed; }

/* Priorities are all one and the threshold is zero: Linux uses it so. */
static u32 plic_read(u64 offset) {
  if (offset == 0x1000 || offset == 0x1004) return (u32)(plic.level >> (offset & 4) * 8);
  if (offset == 0x2000 || offset == 0x2004) return (u32)(plic.enabled >> (offset & 4) * 8);
  if (offset != 0x200004) return 0;
  u64 due = plic_due();
  for (int source = 1; source < 64; source++) {
    if (!(due >> source & 1)) continue;
    plic.claimed |= 1ul << source;
    return (u32)source;
  }
  return 0;
}

static void plic_write(u64 offset, u32 value) {
  if (offset == 0x2000) plic.enabled = (plic.enabled & ~0xfffffffful) | value;
  if (offset == 0x2004) plic.enabled = (plic.enabled & 0xfffffffful) | (u64)value << 32;
  if (offset == 0x200004) plic.claimed &= ~(1ul << (value & 63));
}

/* Nanoseconds since 1970; reading the low half holds the high one. */
static u32 clock_read(u64 offset) {
  static u64 held;
  struct { u64 seconds, nanoseconds; } now;
  if (offset == 4) return (u32)(held >> 32);
  if (offset != 0 || sys2(__NR_clock_gettime, 0, &now)) return 0;
  held = now.seconds * 1000000000 + now.nanoseconds;
  return (u32)held;
}

static void mmio(void) {
  u64 at = run->mmio.phys_addr, value = 0;
  u32 size = run->mmio.len;
  if (size > 8) return;
  int in_plic = at - PLIC_BASE < PLIC_SIZE;
  int in_virtio = at - VIRTIO_BASE < VIRTIO_SLOTS * 0x1000ul;
  if (run->mmio.is_write) {
    memcpy(&value, run->mmio.data, size);
    if (in_plic) plic_write(at - PLIC_BASE, (u32)value);
    else if (in_virtio) virtio_write(at - VIRTIO_BASE, (u32)value);
    return;
  }
  if (in_plic) value = plic_read(at - PLIC_BASE);
  else if (in_virtio) value = virtio_read(at - VIRTIO_BASE, size);
  else if (at - CLOCK_BASE < 8) value = clock_read(at - CLOCK_BASE);
  memcpy(run->mmio.data, &value, size);
}

static long set_register(u64 number, u64 value) {
  struct kvm_one_reg reg = {KVM_REG_RISCV | KVM_REG_SIZE_U64 | KVM_REG_RISCV_CORE | number,
                            (u64)&value};
  return sys3(__NR_ioctl, vcpu, KVM_SET_ONE_REG, &reg);
}

static void on_signal(int signal) {
  (void)signal;
  woken = 1;
  run->immediate_exit = 1;
}

static void wake_on(int fd) {
  sys3(__NR_fcntl, fd, F_SETOWN, sys0(__NR_getpid));
  sys3(__NR_fcntl, fd, F_SETFL, O_NONBLOCK | FASYNC | O_RDWR);
}

static void listen_to(const struct lines *lines) {
  struct { void (*handler)(int); u64 flags, mask; } action = {on_signal, 0, 0};
  sys4(__NR_rt_sigaction, SIGIO, &action, NULL, 8);
  for (int i = 0; i < lines->consoles; i++) {
    wake_on(lines->console[i].in);
    wake_on(lines->console[i].out);
  }
  for (int i = 0; i < lines->nics; i++) wake_on(lines->nic[i].in);
  wake_on(lines->agent.in);
  wake_on(lines->agent.out);
  wake_on(lines->control);
}

/* What has been plugged or unplugged meanwhile. */
static void take_words(struct lines *lines) {
  for (;;) {
    char word[WORD_MAX + 1];
    struct stretch text = {word, WORD_MAX};
    struct rights rights = {0};
    struct message message = {NULL, 0, &text, 1, &rights, sizeof rights, 0};
    long got = sys3(__NR_recvmsg, lines->control, &message, 0);
    if (got <= 0) return;
    word[got] = 0;
    int has_fd = message.rights_bytes >= RIGHTS_BYTES && rights.type == SCM_RIGHTS;
    device_word(lines, word, has_fd ? rights.fd : 0);
  }
}

static u64 number_of(const char *text) {
  u64 value = 0;
  while (*text >= '0' && *text <= '9') value = value * 10 + (u64)(*text++ - '0');
  return value;
}

/* Kernel, initramfs and device tree into fresh memory, and the processor before the kernel. */
static int load(int boot, char **words) {
  u64 from = 0, at[3] = {KERNEL_AT, number_of(words[3]), number_of(words[4])};
  for (int i = 0; i < 3; i++) {
    u64 bytes = number_of(words[i]);
    u8 *into = guest_ram(at[i], bytes);
    if (!into) return -1;
    for (u64 done = 0; done < bytes;) {
      long got = sys4(__NR_pread64, boot, into + done, bytes - done, from + done);
      if (got <= 0 && got != -EINTR) return -1;
      if (got > 0) done += (u64)got;
    }
    from += (bytes + 4095) & ~4095ul;
  }
  /* Where code of an earlier life may have been, whichever processor we get to run on. */
  sys3(__NR_riscv_flush_icache, 0, 0, 0);
  if (set_register(REG_PC, KERNEL_AT) || set_register(REG_A0, 0)) return -1;
  return (int)set_register(REG_A1, at[2]);
}

static int run_until_end(struct lines *lines) {
  for (;;) {
    run->immediate_exit = 0;
    if (woken) {
      woken = 0;
      take_words(lines);
      devices_woken();
    }
    int high = plic_due() != 0;
    if (high != line_is_high) {
      u32 interrupt = high ? KVM_INTERRUPT_SET : KVM_INTERRUPT_UNSET;
      sys3(__NR_ioctl, vcpu, KVM_INTERRUPT, &interrupt);
      line_is_high = high;
    }
    long error = sys3(__NR_ioctl, vcpu, KVM_RUN, 0);
    if (error == -EINTR || error == -EAGAIN) continue;
    if (error) return FAILED;
    if (run->exit_reason == KVM_EXIT_MMIO) mmio();
    else if (run->exit_reason == KVM_EXIT_SYSTEM_EVENT)
      return run->system_event.type == KVM_SYSTEM_EVENT_RESET ? RESET : POWER_OFF;
    else if (run->exit_reason == KVM_EXIT_RISCV_SBI) run->riscv_sbi.ret[0] = (u64)-2;
    else if (run->exit_reason != KVM_EXIT_INTR) return FAILED;
  }
}

/* From power-on to the guest's own end or restart. */
static int power_on(int kvm, struct lines *lines, char **words) {
  long vm = sys3(__NR_ioctl, kvm, KVM_CREATE_VM, 0);
  if (vm < 0) return FAILED;
  struct kvm_userspace_memory_region region = {0, 0, RAM_BASE, ram_bytes, (u64)ram};
  int end = FAILED;
  long run_bytes = sys3(__NR_ioctl, kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
  if (sys3(__NR_ioctl, vm, KVM_SET_USER_MEMORY_REGION, &region) == 0) {
    vcpu = (int)sys3(__NR_ioctl, vm, KVM_CREATE_VCPU, 0);
    long mapped = sys6(__NR_mmap, 0, run_bytes, 3, 1 /* MAP_SHARED */, vcpu, 0);
    memset(&plic, 0, sizeof plic);
    line_is_high = 0;
    woken = 1;
    if (vcpu >= 0 && mapped > 0) {
      run = (void *)mapped;
      listen_to(lines);
      devices_reset(lines);
      if (load(lines->disks.boot, words) == 0) end = run_until_end(lines);
      run = &idle;
      sys2(__NR_munmap, mapped, run_bytes);
    }
    sys1(__NR_close, vcpu);
  }
  sys1(__NR_close, vm);
  return end;
}

/* The disk of a serial, by way of a node of its own, which is gone at once. */
int open_disk(const char *serial) {
  static const char node[] = "/tmp/r/dev/disk";
  static char entries[2048];
  char path[128], text[64];
  int fd = 0;
  long folder = sys4(__NR_openat, AT_FDCWD, SYSFS "/block", O_DIRECTORY | O_CLOEXEC, 0);
  for (long got; !fd && (got = sys3(__NR_getdents64, folder, entries, sizeof entries)) > 0;) {
    for (char *at = entries; at < entries + got; at += *(u16 *)(at + 16)) {
      struct text name = {path, 0, sizeof path};
      text_add(&name, at + 19);
      text_add(&name, "/serial");
      long count = read_file((int)folder, path, text, sizeof text);
      if (count <= 0 || !starts(text, serial) || text[length(serial)] > ' ') continue;
      name.used -= length("serial");
      text_add(&name, "dev");
      if (read_file((int)folder, path, text, sizeof text) <= 0) continue;
      const char *minor = text;
      while (*minor && *minor != ':') minor++;
      u64 device = number_of(text) << 8 | (*minor ? number_of(minor + 1) : 0);
      sys4(__NR_mknodat, AT_FDCWD, node, 0060600, device);
      long opened = sys4(__NR_openat, AT_FDCWD, node, O_RDWR | O_CLOEXEC, 0);
      sys3(__NR_unlinkat, AT_FDCWD, node, 0);
      if (opened > 0) fd = (int)opened;
    }
  }
  sys1(__NR_close, folder);
  return fd;
}

void vmm_open_disks(struct disks *disks, char **words) {
  disks->boot = open_disk(words[5]);
  for (; *words; words++) {
    u64 place = starts(*words, "disk=") ? number_of(*words + 5) : DISKS_MAX;
    if (place < DISKS_MAX) disks->place[place] = open_disk(*words + length("disk=0:"));
  }
}

int vmm(int kvm, struct lines *lines, u64 memory_mib, char **words) {
  ram_bytes = memory_mib << 20;
  for (char **word = words; *word; word++) {
    int place = starts(*word, "disk=") ? (int)number_of(*word + 5) : DISKS_MAX;
    int fd = place < DISKS_MAX ? lines->disks.place[place] : 0;
    if (place < DISKS_MAX) lines->disks.place[place] = 0;
    device_word(lines, *word, fd);
  }
  for (;;) {
    int kind = 0x4022; /* private, anonymous, no reserve */
    ram = (u8 *)sys6(__NR_mmap, 0, ram_bytes, 3, kind, -1, 0);
    if ((long)ram < 0 && (long)ram > -4096) return 1;
    int end = power_on(kvm, lines, words);
    sys2(__NR_munmap, ram, ram_bytes);
    if (end == POWER_OFF) return 0;
    if (end == FAILED || panicked) return 1;
  }
}

#else
int panicked;
void vmm_open_disks(struct disks *disks, char **words) { (void)disks, (void)words; }
int open_disk(const char *serial) { return (void)serial, 0; }
int vmm(int kvm, struct lines *lines, u64 memory_mib, char **words) {
  (void)kvm, (void)lines, (void)memory_mib, (void)words;
  return 127;
}
#endif
