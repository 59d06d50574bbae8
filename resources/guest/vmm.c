/*
 * A machine inside a portable machine, over /dev/kvm: processors, RAM, an interrupt controller
 * (plic.c), a clock (goldfish) and virtio devices (virtio.c). SBI, timers, the start and stop of
 * processors and their FPUs are the kernel's affair.
 *
 * Words: CPUS, KERNEL INITRAMFS TREE (their sizes), INITRAMFS_AT TREE_AT (addresses), BOOT (a
 * serial), then disks and cards, see virtio.c. Disks are disks that the host has plugged into this
 * guest; the one called BOOT holds kernel, initramfs and tree, each from a 4 KiB border on.
 *
 * One thread for each processor, and one lock round all devices. A line that has something to say
 * sends SIGIO, which ends KVM_RUN of the first. The signal's handler sets immediate_exit too, so
 * that one which comes just before KVM_RUN is not lost.
 */
#include "vmm.h"

#if defined(__riscv)
#include <linux/futex.h>
#include <linux/kvm.h>
#include <linux/sched.h>

#define PLIC_BASE 0xc000000ul
#define PLIC_SIZE 0x4000000ul
#define CLOCK_BASE 0x101000ul
#define KERNEL_AT (RAM_BASE + 0x200000ul)
#define STACK_BYTES 16384

enum { SIGUSR1 = 10, SIGIO = 29 };
enum { GOES_ON, POWER_OFF, RESET, FAILED };
enum { W_CPUS, W_SIZES, W_INITRAMFS_AT = 4, W_TREE_AT, W_BOOT };
/* Places in struct kvm_riscv_core, whose header this program cannot have without a libc. */
enum { REG_PC = 0, REG_A0 = 10, REG_A1 = 11 };

static u8 *ram;
static u64 ram_bytes;
static struct kvm_run idle;
static struct vcpu {
  struct kvm_run *run;
  int fd, line_is_high;
  u32 thread; /* of all but the first; 0 when it has ended */
} vcpus[VCPUS_MAX] = {{.run = &idle}};
static u64 vcpu_count;
static u8 stacks[VCPUS_MAX][STACK_BYTES] __attribute__((aligned(16)));
static volatile int woken, ended;
static struct lines *lines;
int panicked;

void *guest_ram(u64 address, u64 count) {
  u64 offset = address - RAM_BASE;
  return offset <= ram_bytes && count <= ram_bytes - offset ? ram + offset : NULL;
}

/* ---- threads */

/* Runs body(with) on the stack below `top`; `thread` is its number until it has ended. */
long start_thread(void (*body)(void *), void *with, void *top, u32 *thread, u64 flags);
__asm__("start_thread:\n"
        "  addi a2, a2, -16\n  sd a0, 0(a2)\n  sd a1, 8(a2)\n"
        "  mv a0, a4\n  mv a1, a2\n  mv a2, a3\n  mv a4, a3\n  li a3, 0\n  li a7, 220\n  ecall\n"
        "  bnez a0, 1f\n"
        "  ld a1, 0(sp)\n  ld a0, 8(sp)\n  jalr a1\n  li a0, 0\n  li a7, 93\n  ecall\n"
        "1: ret\n");

#define THREAD_FLAGS                                                                        \
  (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | \
   CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)

/* 0 free, 1 held, 2 held and somebody waits. */
static u32 lock_word;

static void lock(void) {
  u32 seen = 0;
  if (__atomic_compare_exchange_n(&lock_word, &seen, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
    return;
  while (__atomic_exchange_n(&lock_word, 2, __ATOMIC_ACQUIRE))
    sys4(__NR_futex, &lock_word, FUTEX_WAIT_PRIVATE, 2, NULL);
}

static void unlock(void) {
  if (__atomic_exchange_n(&lock_word, 0, __ATOMIC_RELEASE) == 2)
    sys3(__NR_futex, &lock_word, FUTEX_WAKE_PRIVATE, 1);
}

/* All processors leave KVM_RUN, now or before they enter it. */
static void end_as(int how) {
  if (ended == GOES_ON) ended = how;
  for (u64 n = 0; n < vcpu_count; n++) {
    vcpus[n].run->immediate_exit = 1;
    u32 thread = n == 0 ? (u32)sys0(__NR_getpid) : vcpus[n].thread;
    if (thread) sys3(__NR_tgkill, sys0(__NR_getpid), thread, SIGUSR1);
  }
}

/* ---- what a processor meets */

/* Nanoseconds since 1970; reading the low half holds the high one. */
static u32 clock_read(u64 offset) {
  static u64 held;
  struct { u64 seconds, nanoseconds; } now;
  if (offset == 4) return (u32)(held >> 32);
  if (offset != 0 || sys2(__NR_clock_gettime, 0, &now)) return 0;
  held = now.seconds * 1000000000 + now.nanoseconds;
  return (u32)held;
}

static void mmio(struct kvm_run *run) {
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

/* Tells every processor of its interrupt line, which any of them may have moved. */
static void tell_lines(void) {
  for (u64 n = 0; n < vcpu_count; n++) {
    int high = plic_due((int)n);
    if (high == vcpus[n].line_is_high) continue;
    u32 interrupt = high ? KVM_INTERRUPT_SET : KVM_INTERRUPT_UNSET;
    sys3(__NR_ioctl, vcpus[n].fd, KVM_INTERRUPT, &interrupt);
    vcpus[n].line_is_high = high;
  }
}

/* What has been plugged or unplugged meanwhile. */
static void take_words(void) {
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

static void run_until_end(void *own) {
  struct vcpu *vcpu = own;
  struct kvm_run *run = vcpu->run;
  for (;;) {
    run->immediate_exit = 0;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (ended) return;
    if (vcpu == vcpus && woken) {
      woken = 0;
      lock();
      take_words();
      devices_woken();
      tell_lines();
      unlock();
    }
    long error = sys3(__NR_ioctl, vcpu->fd, KVM_RUN, 0);
    if (error == -EINTR || error == -EAGAIN) continue;
    if (error) return end_as(FAILED);
    if (run->exit_reason == KVM_EXIT_MMIO) {
      lock();
      mmio(run);
      tell_lines();
      unlock();
    } else if (run->exit_reason == KVM_EXIT_SYSTEM_EVENT)
      return end_as(run->system_event.type == KVM_SYSTEM_EVENT_RESET ? RESET : POWER_OFF);
    else if (run->exit_reason == KVM_EXIT_RISCV_SBI) run->riscv_sbi.ret[0] = (u64)-2;
    else if (run->exit_reason != KVM_EXIT_INTR) return end_as(FAILED);
  }
}

/* ---- power */

static long set_register(u64 number, u64 value) {
  struct kvm_one_reg reg = {KVM_REG_RISCV | KVM_REG_SIZE_U64 | KVM_REG_RISCV_CORE | number,
                            (u64)&value};
  return sys3(__NR_ioctl, vcpus[0].fd, KVM_SET_ONE_REG, &reg);
}

static void on_signal(int signal) {
  if (signal == SIGIO) woken = 1;
  vcpus[0].run->immediate_exit = 1;
}

static void wake_on(int fd) {
  sys3(__NR_fcntl, fd, F_SETOWN, sys0(__NR_getpid));
  sys3(__NR_fcntl, fd, F_SETFL, O_NONBLOCK | FASYNC | O_RDWR);
}

static void listen(void) {
  struct { void (*handler)(int); u64 flags, mask; } action = {on_signal, 0, 0};
  sys4(__NR_rt_sigaction, SIGIO, &action, NULL, 8);
  sys4(__NR_rt_sigaction, SIGUSR1, &action, NULL, 8);
  for (int i = 0; i < lines->consoles; i++) {
    wake_on(lines->console[i].in);
    wake_on(lines->console[i].out);
  }
  for (int i = 0; i < lines->nics; i++) wake_on(lines->nic[i].in);
  wake_on(lines->agent.in);
  wake_on(lines->agent.out);
  wake_on(lines->control);
}

static u64 number_of(const char *text) {
  u64 value = 0;
  while (*text >= '0' && *text <= '9') value = value * 10 + (u64)(*text++ - '0');
  return value;
}

/* Kernel, initramfs and device tree into fresh memory, and the first processor before the kernel. */
static int load(int boot, char **words) {
  u64 from = 0;
  u64 at[3] = {KERNEL_AT, number_of(words[W_INITRAMFS_AT]), number_of(words[W_TREE_AT])};
  for (int i = 0; i < 3; i++) {
    u64 bytes = number_of(words[W_SIZES + i]);
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

static int make_vcpus(long vm, long run_bytes) {
  for (u64 n = 0; n < vcpu_count; n++) {
    struct vcpu *vcpu = &vcpus[n];
    long fd = sys3(__NR_ioctl, vm, KVM_CREATE_VCPU, n);
    if (fd < 0) return -1;
    long mapped = sys6(__NR_mmap, 0, run_bytes, 3, 1 /* MAP_SHARED */, fd, 0);
    vcpu->fd = (int)fd;
    if (mapped <= 0) return -1;
    vcpu->run = (void *)mapped;
  }
  return 0;
}

static void drop_vcpus(long run_bytes) {
  for (u64 n = 0; n < vcpu_count; n++) {
    struct kvm_run *run = vcpus[n].run;
    vcpus[n].run = &idle;
    if (run != &idle) sys2(__NR_munmap, run, run_bytes);
    if (vcpus[n].fd) sys1(__NR_close, vcpus[n].fd);
  }
}

/* SIGIO is for the first processor's thread alone, which is this one. */
static void run_all(void) {
  u64 only = 1ul << (SIGIO - 1);
  sys4(__NR_rt_sigprocmask, 0 /* SIG_BLOCK */, &only, NULL, 8);
  for (u64 n = 1; n < vcpu_count; n++) {
    u8 *top = stacks[n] + STACK_BYTES;
    if (start_thread(run_until_end, &vcpus[n], top, &vcpus[n].thread, THREAD_FLAGS) < 0)
      end_as(FAILED);
  }
  sys4(__NR_rt_sigprocmask, 1 /* SIG_UNBLOCK */, &only, NULL, 8);
  run_until_end(vcpus);
  for (u64 n = 1; n < vcpu_count; n++)
    for (u32 thread; (thread = __atomic_load_n(&vcpus[n].thread, __ATOMIC_ACQUIRE));)
      sys4(__NR_futex, &vcpus[n].thread, FUTEX_WAIT, thread, NULL);
}

/* From power-on to the guest's own end or restart. */
static int power_on(int kvm, char **words) {
  long vm = sys3(__NR_ioctl, kvm, KVM_CREATE_VM, 0);
  if (vm < 0) return FAILED;
  struct kvm_userspace_memory_region region = {0, 0, RAM_BASE, ram_bytes, (u64)ram};
  long run_bytes = sys3(__NR_ioctl, kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
  long error = sys3(__NR_ioctl, vm, KVM_SET_USER_MEMORY_REGION, &region);
  for (u64 n = 0; n < vcpu_count; n++) vcpus[n] = (struct vcpu){.run = &idle};
  ended = GOES_ON;
  if (!error) error = make_vcpus(vm, run_bytes);
  plic_reset();
  woken = 1;
  listen();
  devices_reset(lines);
  if (!error) error = load(lines->disks.boot, words);
  if (!error) run_all();
  drop_vcpus(run_bytes);
  sys1(__NR_close, vm);
  return error ? FAILED : ended;
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
      u64 low = *minor ? number_of(minor + 1) : 0;
      u64 device = (low & ~255ul) << 12 | number_of(text) << 8 | (low & 255);
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
  disks->boot = open_disk(words[W_BOOT]);
  for (; *words; words++) {
    u64 place = starts(*words, "disk=") ? number_of(*words + 5) : DISKS_MAX;
    if (place < DISKS_MAX) disks->place[place] = open_disk(*words + length("disk=0:"));
  }
}

int vmm(int kvm, struct lines *given, u64 memory_mib, char **words) {
  lines = given;
  ram_bytes = memory_mib << 20;
  vcpu_count = number_of(words[W_CPUS]);
  if (vcpu_count < 1 || vcpu_count > VCPUS_MAX) return 1;
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
    int end = power_on(kvm, words);
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
