/**
 * Traps, interrupts and the privileged instructions, in W.
 *
 * `h.irq` is the mailbox half of mip: other threads or bits into it and then set `h.poke`, which
 * running code looks at on every loop. `h.mipsoft` holds the bits that firmware writes itself.
 * A fault is pending in h.fault (cause + 1), h.ftval, h.faultgva and, for guest-page faults,
 * h.faulttval2 and h.faultinst, until `deliver_fault`.
 */
export const trapSource = `
import fn now(): f64;
import fn sbi_call(h: i32);
import fn code_changed(h: i32);

fn time_now(): i64 { return s64_f64(now()); }

fn vectored(tv: i64, interrupt: i32, cause: i64): i64 {
  return (tv & -4L) + ((tv & 1L) != 0L && interrupt ? cause << 2L : 0L);
}

// Takes a trap to HS of a level or, where that is -1, to M.
fn trap(h: i32, cause: i64, interrupt: i32, tval: i64, to: i32) {
  let from = h.virt;
  let told = !interrupt && ((0xb0b0fbL >>> cause) & 1L) != 0L;
  let guest = !interrupt && ((0xb00000L >>> cause) & 1L) != 0L;
  let top = interrupt ? -9223372036854775808L : 0L;
  let gva = told && h.faultgva > (to < 0 ? 0 : to);
  h.resaddr = 0;
  if (to >= 0) {
    let b = bank_of(h, to);
    if (b != BANKS) {
      b.hstatus = (b.hstatus & -197L) | zx(gva << 6) | zx((from > to) << 7)
        | zx((from > to + 1) << 2);
      if (from > to) b.hstatus = (b.hstatus & -257L) | zx(h.priv << 8);
      b.htval = guest ? h.faulttval2 : 0L;
      b.htinst = guest ? zx(h.faultinst) : 0L;
    }
    set_virt(h, to);
    let st = h.mstatus;
    h.scause = cause | top; h.sepc = h.pc; h.stval = tval;
    h.mstatus = (st & -291L) | ((st & 2L) << 4L) | (zx(h.priv) << 8L);
    h.priv = 1;
    h.pc = vectored(h.stvec, interrupt, cause);
  } else {
    h.mtval2 = guest ? h.faulttval2 : 0L;
    h.mtinst = guest ? zx(h.faultinst) : 0L;
    set_virt(h, 0);
    let st = h.mstatus;
    h.mcause = cause | top; h.mepc = h.pc; h.mtval = tval;
    h.mstatus = (st & -824633727113L) | ((st & 8L) << 4L) | (zx(h.priv) << 11L)
      | (zx(gva) << 38L) | (zx(from != 0) << 39L);
    h.priv = 3;
    h.pc = vectored(h.mtvec, interrupt, cause);
  }
  set_context(h);
}

// Which level a fault goes to; -1 is M. A guest-page fault goes to the level whose second stage it
// was, all else to the running level or the one around it. What is above that is M to a guest.
fn fault_level(h: i32, cause: i32): i32 {
  if (h.priv == 3 || ((h.medeleg >>> zx(cause)) & 1L) == 0L) return -1;
  if (h.virt == 0) return 0;
  if (cause == 20 || cause == 21 || cause == 23)
    return h.faultstage < h.virt ? h.faultstage : h.virt;
  return h.virt - (((over(h).hedeleg >>> zx(cause)) & 1L) == 0L);
}

export fn deliver_fault(h: i32) {
  let cause = h.fault - 1;
  h.fault = 0;
  if (cause == 9 && h.sbi) {
    sbi_call(h);
    h.pc = h.pc + 4L;
    return;
  }
  trap(h, zx(cause), 0, h.ftval, fault_level(h, cause));
}

fn pending(h: i32): i64 {
  return h.mipsoft | h.hvip | zx(atomic_load32(h + IRQ));
}

// What is due and enabled, without a timer's bit that its deadline does not bear out any more.
fn due_now(h: i32): i64 {
  let due = pending(h) & h.mie;
  if ((due & 0x60L) == 0L) return due;
  let time = time_now();
  if (h.stimecmp >u time) atomic_and32(h + IRQ, ~0x20);
  if (h.vsdeadline >u time) atomic_and32(h + IRQ, ~0x40);
  return pending(h) & h.mie;
}

// The most urgent of these.
fn most_urgent(take: i64): i64 {
  if ((take & 0x800L) != 0L) return 11L;
  if ((take & 8L) != 0L) return 3L;
  if ((take & 0x80L) != 0L) return 7L;
  if ((take & 0x200L) != 0L) return 9L;
  if ((take & 2L) != 0L) return 1L;
  if ((take & 0x20L) != 0L) return 5L;
  if ((take & 0x400L) != 0L) return 10L;
  return (take & 4L) != 0L ? 2L : 6L;
}

// Takes the most urgent interrupt that is enabled, outer levels first; 1 when one was taken.
export fn take_interrupt(h: i32): i32 {
  let due = due_now(h);
  let deep = deep_due(h);
  if ((due | deep) == 0L) return 0;
  let st = h.mstatus;
  let take = due & ~h.mideleg;
  if (take != 0L && (h.priv < 3 || (st & 8L) != 0L)) {
    trap(h, most_urgent(take), 1, 0L, -1);
    return 1;
  }
  if (h.priv == 3) return 0;
  let open = h.priv < 1 || (st & 2L) != 0L;
  let handed = 0L;
  due = due & h.mideleg;
  let level = 0;
  while (level <= h.virt) {
    let b = bank_of(h, level);
    let down = due & b.hideleg;
    take = handed | (due & ~down);
    if (take != 0L && (level < h.virt || open)) {
      trap(h, most_urgent(take), 1, 0L, level);
      return 1;
    }
    handed = down >>> 1L;
    due = level ? 0L : deep;
    level = level + 1;
  }
  return 0;
}

fn set_stimecmp(h: i32, value: i64) {
  atomic_store64(h + STIMECMP, value);
  if (value <=u time_now()) atomic_or32(h + IRQ, 0x20);
  else {
    atomic_and32(h + IRQ, ~0x20);
    timer_moved(h);
  }
}
import fn timer_moved(h: i32);

fn illegal(h: i32): i64 {
  raise(h, 2, zx(h.raw));
  return 0L;
}

// What HS may do and a guest may not (chapter H, trap cause codes).
fn virtual_instruction(h: i32): i64 {
  raise(h, 22, zx(h.raw));
  return 0L;
}

fn refuse(h: i32, virtual: i32): i32 {
  if (virtual) virtual_instruction(h); else illegal(h);
  return 0;
}

// All of opcode SYSTEM. Returns 1 when h.pc is already the next pc; a fault may be pending.
fn system(h: i32, insn: i32): i32 {
  let f3 = (insn >>> 12) & 7;
  if (f3 == 4) return guest_access(h, insn);
  if (f3 != 0) return csr_op(h, insn, f3);
  switch (insn >>> 25) {
    case 9, 0xb: return fence_vma(h, insn);
    case 0x11, 0x13, 0x31, 0x33: return hfence(h, insn);
  }
  if ((insn & 0xf8f80) != 0) return refuse(h, 0);
  switch (insn >>> 20) {
    case 0: raise(h, h.virt && h.priv ? 10 : 8 + h.priv, 0L); return 0;
    case 1: raise(h, 3, h.pc); return 0;
    case 0x102: return sret(h);
    case 0x302: return mret(h);
    case 0x105: return wfi(h);
    case 0x180, 0x181:
      if (h.priv == 0) refuse(h, h.virt);
      return 0;
    case 0xd, 0x1d: return 0;
  }
  return refuse(h, 0);
}

// In translated code, whose page h.pc names: a CSR, a fence or a wait; 1 when that code has to be
// left behind it, as its page may be another now. sstatus may exchange the TLB too, by SUM and MXR,
// but that is no matter of fetches.
export fn system_inside(h: i32, insn: i32, fuel: i32): i32 {
  let t = h.tlb;
  h.raw = insn;
  h.fuel = fuel;
  system(h, insn);
  let moved = h.tlb != t && !((insn & 0x3000) != 0 && (insn >>> 20) == 0x100);
  let e = h.tlb + (i32_of(h.pc >>> 7L) & TLB_MASK);
  let dropped = h.tlb == t && load64(e, 16) != (h.pc & -4096L);
  return moved | dropped | (load32(h + POKE) != 0);
}

// In translated code, which is left: a trap, or the way back from one, at h.pc. The new fuel; a
// trap costs some and retires nothing, as in 'run'.
export fn system_out(h: i32, insn: i32, fuel: i32): i32 {
  h.raw = insn;
  h.fuel = fuel;
  system(h, insn);
  if (h.fault == 0) return fuel;
  deliver_fault(h);
  h.fueltop = h.fueltop - 1L;
  return h.fuel - 1;
}

// An interrupt may be allowed from now on. One that comes later pokes by itself.
fn allow_interrupts(h: i32) {
  if (wanted(h)) atomic_or32(h + POKE, 1);
}

fn sret(h: i32): i32 {
  let st = h.mstatus;
  if (h.priv == 0) return refuse(h, h.virt);
  if (h.virt && (over(h).hstatus & 0x400000L) != 0L) return refuse(h, 1);
  if (!h.virt && h.priv == 1 && (st & 0x400000L) != 0L) return refuse(h, 0);
  h.priv = i32_of(st >>> 8L) & 1;
  h.mstatus = (st & -131363L) | 0x20L | ((st >>> 4L) & 2L);
  h.pc = h.sepc;
  let b = bank_of(h, h.virt);
  if (b != BANKS && (b.hstatus & 0x80L) != 0L) {
    let level = previous(h, b);
    b.hstatus = b.hstatus & -133L;
    set_virt(h, level);
  }
  set_context(h);
  allow_interrupts(h);
  return 1;
}

fn mret(h: i32): i32 {
  let st = h.mstatus;
  if (h.priv != 3) return refuse(h, 0);
  h.priv = i32_of(st >>> 11L) & 3;
  let virt = h.priv == 3 ? 0 : i32_of(st >>> 39L) & 1;
  st = (st & -549755820169L) | 0x80L | ((st >>> 4L) & 8L);
  if (h.priv != 3) st = st & -131073L;
  h.mstatus = st;
  h.pc = h.mepc;
  set_virt(h, virt);
  set_context(h);
  allow_interrupts(h);
  return 1;
}

fn wfi(h: i32): i32 {
  if (h.priv < 3 && (h.mstatus & 0x200000L) != 0L) return refuse(h, 0);
  if (h.priv == 0) return refuse(h, h.virt);
  if (h.virt && (over(h).hstatus & 0x200000L) != 0L) return refuse(h, 1);
  if (!wanted(h)) { h.waiting = 1; atomic_or32(h + POKE, 4); }
  return 0;
}

fn fence_vma(h: i32, insn: i32): i32 {
  if ((insn & 0x7f80) != 0) return refuse(h, 0);
  if (h.priv == 0) return refuse(h, h.virt);
  if (h.virt && (over(h).hstatus & 0x100000L) != 0L) return refuse(h, 1);
  if (!h.virt && h.priv == 1 && (h.mstatus & 0x100000L) != 0L) return refuse(h, 0);
  fence_first(h, insn, present_space(h));
  return 0;
}

// rs1 and rs2 of sfence.vma and hfence.vvma, for one space.
fn fence_first(h: i32, insn: i32, space: i32) {
  let rs1 = (insn >>> 15) & 31;
  let rs2 = (insn >>> 20) & 31;
  let asid = rs2 ? i32_of(load64(h + (rs2 << 3))) & 0xffff : -1;
  if (rs1) fence_page(h, load64(h + (rs1 << 3)), asid, space);
  else fence_space(h, asid, space);
}

fn fence_i(h: i32) {
  if (atomic_load32(M_DIRTY) != h.seendirty) code_changed(h);
}
`;
