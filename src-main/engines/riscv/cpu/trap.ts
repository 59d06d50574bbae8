/**
 * Traps, interrupts, CSRs and the privileged instructions, in W.
 *
 * `h.irq` is the mailbox half of mip: other threads or bits into it and then set `h.poke`, which
 * running code looks at on every loop. `h.mipsoft` holds the bits that firmware writes itself.
 * A fault is a pending pair (h.fault = cause + 1, h.ftval) until `deliver_fault`.
 */
export const trapSource = `
import fn now(): f64;
import fn sbi_call(h: i32);
import fn code_changed(h: i32);

fn time_now(): i64 { return s64_f64(now()); }

fn trap(h: i32, cause: i64, interrupt: i32, tval: i64) {
  let deleg = interrupt ? h.mideleg : h.medeleg;
  let st = h.mstatus;
  let code = interrupt ? cause | -9223372036854775808L : cause;
  let vector = interrupt ? cause << 2L : 0L;
  h.resaddr = 0;
  if (h.priv <u 2 && ((deleg >>> cause) & 1L) != 0L) {
    h.scause = code; h.sepc = h.pc; h.stval = tval;
    h.mstatus = (st & -291L) | ((st & 2L) << 4L) | (zx(h.priv) << 8L);
    h.priv = 1;
    let tv = h.stvec;
    h.pc = (tv & -4L) + ((tv & 1L) != 0L ? vector : 0L);
  } else {
    h.mcause = code; h.mepc = h.pc; h.mtval = tval;
    h.mstatus = (st & -6281L) | ((st & 8L) << 4L) | (zx(h.priv) << 11L);
    h.priv = 3;
    let tv = h.mtvec;
    h.pc = (tv & -4L) + ((tv & 1L) != 0L ? vector : 0L);
  }
  set_context(h);
}

export fn deliver_fault(h: i32) {
  let cause = h.fault - 1;
  h.fault = 0;
  if (cause == 9 && h.sbi) {
    sbi_call(h);
    h.pc = h.pc + 4L;
    return;
  }
  trap(h, zx(cause), 0, h.ftval);
}

fn pending(h: i32): i64 {
  return h.mipsoft | zx(atomic_load32(h + IRQ));
}

// Takes the most urgent interrupt that is enabled; 1 when one was taken.
export fn take_interrupt(h: i32): i32 {
  let due = pending(h) & h.mie;
  if (due == 0L) return 0;
  let st = h.mstatus;
  let take = 0L;
  if (h.priv < 3 || (st & 8L) != 0L) take = due & ~h.mideleg;
  if (take == 0L && (h.priv < 1 || (h.priv == 1 && (st & 2L) != 0L))) take = due & h.mideleg;
  if (take == 0L) return 0;
  let cause = 5L;
  if ((take & 0x800L) != 0L) cause = 11L;
  else if ((take & 8L) != 0L) cause = 3L;
  else if ((take & 0x80L) != 0L) cause = 7L;
  else if ((take & 0x200L) != 0L) cause = 9L;
  else if ((take & 2L) != 0L) cause = 1L;
  else if (h.stimecmp >u time_now() && (h.mipsoft & 0x20L) == 0L) {
    atomic_and32(h + IRQ, ~0x20);
    return 0;
  }
  trap(h, cause, 1, 0L);
  return 1;
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

fn counter_allowed(h: i32, n: i32): i32 {
  if (h.priv == 3) return 1;
  if (((h.mcounteren >>> zx(n & 31)) & 1L) == 0L) return 0;
  return h.priv == 1 || ((h.scounteren >>> zx(n & 31)) & 1L) != 0L;
}

inline fn with_sd(st: i64): i64 {
  return (st & 0x6000L) == 0x6000L ? st | -9223372036854775808L : st & 0x7fffffffffffffffL;
}

fn fs_off(h: i32): i32 { return (h.mstatus & 0x6000L) == 0L; }

fn csr_read(h: i32, n: i32): i64 {
  if ((n >= 0xc00 && n < 0xc20)) {
    if (!counter_allowed(h, n)) return illegal(h);
    if (n == 0xc01) return time_now();
    if (n == 0xc00 || n == 0xc02) return h.instretoff + h.fueltop - sx(h.fuel);
    return 0L;
  }
  if (n >= 0xb03 && n < 0xb20) return 0L;
  if (n >= 0x323 && n < 0x340) return 0L;
  if (n >= 0x3a0 && n < 0x3f0) return 0L;
  switch (n) {
    case 1: return fs_off(h) ? illegal(h) : zx(h.fflags);
    case 2: return fs_off(h) ? illegal(h) : zx(h.frm);
    case 3: return fs_off(h) ? illegal(h) : zx(h.fflags | (h.frm << 5));
    case 0x100: return h.mstatus & 0x80000003000de762L;
    case 0x104: return h.mie & h.mideleg;
    case 0x105: return h.stvec;
    case 0x106: return h.scounteren;
    case 0x10a: return h.senvcfg;
    case 0x140: return h.sscratch;
    case 0x141: return h.sepc;
    case 0x142: return h.scause;
    case 0x143: return h.stval;
    case 0x144: return pending(h) & h.mideleg;
    case 0x14d:
      if (h.priv == 1 && ((h.mcounteren & 2L) == 0L || h.menvcfg >= 0L)) return illegal(h);
      return h.stimecmp;
    case 0x180:
      if (h.priv == 1 && (h.mstatus & 0x100000L) != 0L) return illegal(h);
      return h.satp;
    case 0x300: return h.mstatus;
    case 0x301: return h.misa;
    case 0x302: return h.medeleg;
    case 0x303: return h.mideleg;
    case 0x304: return h.mie;
    case 0x305: return h.mtvec;
    case 0x306: return h.mcounteren;
    case 0x30a: return h.menvcfg;
    case 0x320: return 0L;
    case 0x340: return h.mscratch;
    case 0x341: return h.mepc;
    case 0x342: return h.mcause;
    case 0x343: return h.mtval;
    case 0x344: return pending(h);
    case 0xb00, 0xb02: return h.instretoff + h.fueltop - sx(h.fuel);
    case 0xf11, 0xf12, 0xf13, 0xf15: return 0L;
    case 0xf14: return zx(h.hartid);
    case 0x7a0, 0x7a1, 0x7a2, 0x7a3: return 0L;
  }
  return illegal(h);
}

fn legal_satp(h: i32, v: i64): i64 {
  let mode = v >>> 60L;
  if (mode == 0L || mode == 8L || (mode == 9L && h.sv48)) return v;
  return h.satp;
}

fn write_status(h: i32, v: i64, mask: i64) {
  let old = h.mstatus;
  let st = (old & ~mask) | (v & mask);
  if ((st & 0x1800L) == 0x1000L) st = (st & -6145L) | (old & 0x1800L);
  h.mstatus = with_sd(st);
  if (((st ^ old) & 0xe1800L) != 0L) set_context(h);
  if ((st & ~old & 10L) != 0L) atomic_or32(h + POKE, 1);
}

// SSIP has one home, the mailbox: what M-mode sets in mip, S-mode clears in sip (Privileged 3.1.9).
fn set_ssip(h: i32, v: i64) {
  if ((v & 2L) != 0L) atomic_or32(h + IRQ, 2); else atomic_and32(h + IRQ, ~2);
}

// The poke word is shared: only ever or'd or swapped, never stored over by another thread.
fn csr_write(h: i32, n: i32, v: i64) {
  switch (n) {
    case 1, 2, 3:
      if (fs_off(h)) { illegal(h); return; }
      h.mstatus = h.mstatus | 0x8000000000006000L;
      if (n == 1) h.fflags = i32_of(v) & 31;
      else if (n == 2) h.frm = i32_of(v) & 7;
      else { h.fflags = i32_of(v) & 31; h.frm = (i32_of(v) >>> 5) & 7; }
    case 0x100: write_status(h, v, 0xc6122L);
    case 0x104: h.mie = (h.mie & ~h.mideleg) | (v & h.mideleg); atomic_or32(h + POKE, 1);
    case 0x105: if ((v & 2L) == 0L) h.stvec = v;
    case 0x106: h.scounteren = v & 0xffffffffL;
    case 0x10a: h.senvcfg = v & 0xf1L;
    case 0x140: h.sscratch = v;
    case 0x141: h.sepc = v & -2L;
    case 0x142: h.scause = v;
    case 0x143: h.stval = v;
    case 0x144:
      if ((h.mideleg & 2L) != 0L) set_ssip(h, v);
      atomic_or32(h + POKE, 1);
    case 0x14d:
      if (h.priv == 1 && ((h.mcounteren & 2L) == 0L || h.menvcfg >= 0L)) { illegal(h); return; }
      set_stimecmp(h, v);
      atomic_or32(h + POKE, 1);
    case 0x180:
      if (h.priv == 1 && (h.mstatus & 0x100000L) != 0L) { illegal(h); return; }
      let next = legal_satp(h, v);
      if (next != h.satp) {
        h.satp = next;
        memory_fill(h + CTX_FAST, 0, 512);
        set_context(h);
      }
    case 0x300: write_status(h, v, 0x7e79aaL); atomic_or32(h + POKE, 1);
    case 0x301: return;
    case 0x302: h.medeleg = v & 0xb3ffL;
    case 0x303: h.mideleg = v & 0x222L;
    case 0x304: h.mie = v & 0xaaaL; atomic_or32(h + POKE, 1);
    case 0x305: if ((v & 2L) == 0L) h.mtvec = v;
    case 0x306: h.mcounteren = v & 0xffffffffL;
    case 0x30a: h.menvcfg = v & 0xe0000000000000f1L; flush_all(h);
    case 0x340: h.mscratch = v;
    case 0x341: h.mepc = v & -2L;
    case 0x342: h.mcause = v;
    case 0x343: h.mtval = v;
    case 0x344:
      set_ssip(h, v);
      h.mipsoft = v & 0x220L;
      atomic_or32(h + POKE, 1);
    case 0xb00, 0xb02: h.instretoff = v - (h.fueltop - sx(h.fuel)) - 1L;
    default:
      return;
  }
}

// All of opcode SYSTEM. Returns 1 when h.pc is already the next pc; a fault may be pending.
fn system(h: i32, insn: i32): i32 {
  let f3 = (insn >>> 12) & 7;
  if (f3 != 0) return csr_op(h, insn, f3);
  let rs1 = (insn >>> 15) & 31;
  if ((insn >>> 25) == 9 || (insn >>> 25) == 11) return fence_vma(h, insn, rs1);
  if ((insn & 0xf8f80) != 0) { illegal(h); return 0; }
  switch (insn >>> 20) {
    case 0: raise(h, 8 + h.priv, 0L); return 0;
    case 1: raise(h, 3, h.pc); return 0;
    case 0x102:
      let st = h.mstatus;
      if (h.priv == 0 || (h.priv == 1 && (st & 0x400000L) != 0L)) { illegal(h); return 0; }
      h.priv = i32_of(st >>> 8L) & 1;
      h.mstatus = (st & -131363L) | 0x20L | ((st >>> 4L) & 2L);
      h.pc = h.sepc;
      set_context(h);
      atomic_or32(h + POKE, 1);
      return 1;
    case 0x302:
      let ms = h.mstatus;
      if (h.priv != 3) { illegal(h); return 0; }
      h.priv = i32_of(ms >>> 11L) & 3;
      ms = (ms & -6281L) | 0x80L | ((ms >>> 4L) & 8L);
      if (h.priv != 3) ms = ms & -131073L;
      h.mstatus = ms;
      h.pc = h.mepc;
      set_context(h);
      atomic_or32(h + POKE, 1);
      return 1;
    case 0x105:
      if (h.priv == 0 || (h.priv == 1 && (h.mstatus & 0x200000L) != 0L)) { illegal(h); return 0; }
      if ((pending(h) & h.mie) == 0L) { h.waiting = 1; atomic_or32(h + POKE, 4); }
      return 0;
    case 0x180: 
      if (h.priv == 0) illegal(h);
      return 0;
    case 0x181:
      if (h.priv == 0) illegal(h);
      return 0;
    case 0xd, 0x1d: return 0;
  }
  illegal(h);
  return 0;
}

fn fence_vma(h: i32, insn: i32, rs1: i32): i32 {
  if (h.priv == 0 || (h.priv == 1 && (h.mstatus & 0x100000L) != 0L)) { illegal(h); return 0; }
  if ((insn & 0x7f80) != 0) { illegal(h); return 0; }
  let rs2 = (insn >>> 20) & 31;
  let asid = i32_of(load64(h + (rs2 << 3))) & 0xffff;
  if (rs1) fence_page(h, load64(h + (rs1 << 3)), rs2 ? asid : -1);
  else if (rs2) fence_asid(h, asid);
  else flush_all(h);
  return 0;
}

fn csr_op(h: i32, insn: i32, f3: i32): i32 {
  let n = insn >>> 20;
  let rs1 = (insn >>> 15) & 31;
  let rd = (insn >>> 7) & 31;
  let v = (f3 & 4) != 0 ? zx(rs1) : load64(h + (rs1 << 3));
  let op = f3 & 3;
  let writes = op == 1 || rs1 != 0;
  if (op == 0 || ((n >>> 8) & 3) >u h.priv || (writes && (n >>> 10) == 3)) { illegal(h); return 0; }
  let old = 0L;
  if (op != 1 || rd != 0) {
    old = csr_read(h, n);
    if (h.fault) return 0;
  }
  if (writes) {
    let base = old;
    if (n == 0x344) base = h.mipsoft | (zx(atomic_load32(h + IRQ)) & 2L);
    if (op == 2) v = base | v;
    else if (op == 3) v = base & ~v;
    if (op == 1 && rd == 0) {
      csr_read(h, n);
      if (h.fault) return 0;
    }
    csr_write(h, n, v);
    if (h.fault) return 0;
  }
  if (rd) store64(h + (rd << 3), old);
  return 0;
}

fn fence_i(h: i32) {
  if (atomic_load32(M_DIRTY) != h.seendirty) code_changed(h);
}
`;
