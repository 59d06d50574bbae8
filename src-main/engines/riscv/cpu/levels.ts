/**
 * Machines in machines, in W. The specification knows one guest below its host (V=1). With
 * `h.nests` a guest may be a host in turn, by the same registers and instructions, so that an
 * unmodified KVM runs at each level; without, all is as the specification has it.
 *
 * `h.virt` counts the guests around the running code: 0 is HS, 1 a guest, 2 a guest's guest. A
 * level's hypervisor registers are its bank: level 0's is the hart itself, level 1's one of the
 * pool at `at.banks`, in which they stand as in a hart. While code of level n runs, the plain
 * supervisor registers are its own, and alt* of a bank are those of the next level if that does
 * not run, else those of the bank's own level. So one step down or up is an exchange.
 *
 * Level 0 knows nothing of all this. It runs guests in turn and moves them between harts, so a
 * guest's bank must go with it: bits of hstatus that software has to keep (WPRI) name the bank
 * (50–59), say which of its lives it is (34–47), and stand beside SPV when it was level 2 that was
 * left (2). KVM keeps hstatus with each processor of a guest. A guest gets a bank when it first
 * asks for one, and may lose it to another when it has not run while 1023 others asked.
 */
export const levelsSource = `
// The bank of level 1, or BANKS (nobody's) when it has none.
fn guest_bank(h: i32): i32 {
  let name = i32_of(h.hstatus >>> 50L) & 0x3ff;
  let b = BANKS + (name << 8);
  return name && b.bankserial == ((h.hstatus >>> 34L) & 0x3fffL) ? b : BANKS;
}

fn bank_of(h: i32, level: i32): i32 {
  if (level == 0) return h;
  return level == 1 ? guest_bank(h) : BANKS;
}

// The bank that governs the running guest.
fn over(h: i32): i32 { return bank_of(h, h.virt - 1); }

// The level that is to the running code what M is to HS and its guest.
fn above(h: i32): i32 { return h.virt ? h.virt - 1 : 0; }

// The bank for the hypervisor instructions of the running code; 0 when it is no hypervisor.
fn own_bank(h: i32): i32 {
  if (h.virt == 0) return h;
  let b = bank_of(h, h.virt);
  if (b != BANKS) return b;
  return h.nests && h.virt == 1 && h.priv ? new_bank(h) : 0;
}

fn new_bank(h: i32): i32 {
  let b = BANKS;
  let n = 0;
  let looks = 0;
  while (n == 0) {
    n = atomic_add32(M_BANKS, 1) & 0x3ff;
    b = BANKS + (n << 8);
    looks = looks + 1;
    if (n && b.bankused != 0L && looks < 2048) { b.bankused = 0L; n = 0; }
  }
  let serial = (b.bankserial & 0x3fffL) + 1L;
  if (serial > 0x3fffL) serial = 1L;
  memory_fill(b + BANK_FIELDS, 0, 256);
  b.bankserial = serial;
  b.bankused = 1L;
  b.altstatus = 0x200000000L;
  b.vstimecmp = -1L;
  h.hstatus = (h.hstatus & 0xf0030003ffffffffL) | (zx(n) << 50L) | (serial << 34L);
  return b;
}

fn exchange(h: i32, b: i32) {
  let st = h.mstatus;
  h.mstatus = with_sd((st & -12885813091L) | b.altstatus);
  b.altstatus = st & 0x3000de762L;
  let v = h.stvec; h.stvec = b.alttvec; b.alttvec = v;
  v = h.sscratch; h.sscratch = b.altscratch; b.altscratch = v;
  v = h.sepc; h.sepc = b.altepc; b.altepc = v;
  v = h.scause; h.scause = b.altcause; b.altcause = v;
  v = h.stval; h.stval = b.alttval; b.alttval = v;
  v = h.satp; h.satp = b.altsatp; b.altsatp = v;
}

fn set_virt(h: i32, level: i32) {
  if (h.virt == level) return;
  while (h.virt > level) {
    h.virt = h.virt - 1;
    exchange(h, bank_of(h, h.virt));
  }
  let entered = h.virt < level;
  while (h.virt < level) {
    exchange(h, bank_of(h, h.virt));
    h.virt = h.virt + 1;
  }
  h.fsgate = outer_fs(h);
  if (entered && guest_bank(h) != BANKS) arm_deep_timer(h);
}

// Where hstatus of the running hypervisor says that its guest was, or is to be.
fn previous(h: i32, b: i32): i32 {
  let deep = b == h && (h.hstatus & 4L) != 0L && guest_bank(h) != BANKS;
  return h.virt + 1 + deep;
}

// The supervisor's part of mstatus, and satp, of any level.
fn status_of(h: i32, level: i32): i64 {
  if (level == h.virt) return h.mstatus;
  return bank_of(h, level < h.virt ? level : level - 1).altstatus;
}

fn satp_of(h: i32, level: i32): i64 {
  if (level == h.virt) return h.satp;
  return bank_of(h, level < h.virt ? level : level - 1).altsatp;
}

// FS of the levels around the running one, as one: off if any is, dirty if all are.
fn outer_fs(h: i32): i64 {
  let gate = -1L;
  let level = 0;
  while (level < h.virt) {
    let fs = bank_of(h, level).altstatus & 0x6000L;
    if (fs == 0L) return 0L;
    if (fs != 0x6000L) gate = 0x2000L;
    level = level + 1;
  }
  return gate;
}

// What the hypervisor of a level has been granted, and so may grant.
fn envcfg_of(h: i32, level: i32): i64 {
  let granted = h.menvcfg;
  while (level > 0) {
    level = level - 1;
    granted = granted & bank_of(h, level).henvcfg;
  }
  return granted;
}

fn counters_of(h: i32, level: i32): i64 {
  let granted = h.mcounteren;
  while (level > 0) {
    level = level - 1;
    granted = granted & bank_of(h, level).hcounteren;
  }
  return granted;
}

// time as a level has it.
fn time_of(h: i32, level: i32): i64 {
  let time = time_now();
  while (level > 0) {
    level = level - 1;
    time = time + bank_of(h, level).htimedelta;
  }
  return time;
}

// When a guest's timer is due, in ticks of the machine; its own clock shows time + delta.
fn deadline_of(compare: i64, time: i64, delta: i64): i64 {
  let left = compare - time - delta;
  if (compare <=u time + delta) return time;
  return left >= 0L && left < 0x4000000000000000L ? time + left : -1L;
}

// bit: of IRQ; at: where the timekeeper finds the deadline.
fn set_deadline(h: i32, at: i32, bit: i32, deadline: i64, time: i64) {
  atomic_store64(h + at, deadline);
  if (deadline == time) atomic_or32(h + IRQ, bit); else atomic_and32(h + IRQ, ~bit);
  atomic_or32(h + POKE, 1);
  if (deadline != -1L) timer_moved(h);
}

fn arm_guest_timer(h: i32) {
  let time = time_now();
  let on = envcfg_of(h, 1) < 0L;
  let deadline = on ? deadline_of(h.vstimecmp, time, h.htimedelta) : -1L;
  set_deadline(h, VSDEADLINE, 0x40, deadline, time);
  if (guest_bank(h) != BANKS) arm_deep_timer(h);
}

// Of the guest's guest. That it is due is no bit of mip: the hart looks when IRQ's bit 14 is set.
fn arm_deep_timer(h: i32) {
  let b = guest_bank(h);
  let time = time_now();
  let on = envcfg_of(h, 2) < 0L;
  let deadline = on ? deadline_of(b.vstimecmp, time, h.htimedelta + b.htimedelta) : -1L;
  set_deadline(h, DEEPDEADLINE, 0x4000, deadline, time);
}

// Interrupts of a guest's guest, as hip of level 1 has them.
fn deep_pending(h: i32, b: i32): i64 {
  let timer = envcfg_of(h, 2) < 0L && b.vstimecmp <=u time_of(h, 2);
  return b.hvip | (timer ? 0x40L : 0L);
}

fn pending_of(h: i32, b: i32): i64 { return b == h ? pending(h) : deep_pending(h, b); }

fn deep_due(h: i32): i64 {
  if (h.virt == 0) return 0L;
  let b = guest_bank(h);
  if (b == BANKS) return 0L;
  if ((atomic_load32(h + IRQ) & 0x4000) == 0) return b.hvip & b.mie;
  let now = deep_pending(h, b);
  if ((now & 0x40L) == 0L) arm_deep_timer(h);
  return now & b.mie;
}

// Is any interrupt pending and enabled, be it taken or not?
fn wanted(h: i32): i32 { return ((pending(h) & h.mie) | deep_due(h)) != 0L; }
`;
