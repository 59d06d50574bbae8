/**
 * Control and status registers, in W. Numbers name the register and its right of access:
 * bits 11:10 are 3 for read-only ones, bits 9:8 the level (Privileged 2.1). Those of level 2 and
 * what a guest sees of the supervisor's interrupts are in hypervisor.ts.
 */
export const csrSource = `
fn counter_refused(h: i32, n: i32): i32 {
  let bit = zx(n & 31);
  let refused = 0;
  if (h.priv == 3) return 0;
  if (((counters_of(h, above(h)) >>> bit) & 1L) == 0L) refused = 1;
  else if (h.virt && ((over(h).hcounteren >>> bit) & 1L) == 0L) refused = 2;
  else if (h.priv == 0 && ((h.scounteren >>> bit) & 1L) == 0L) refused = 1 + h.virt;
  if (refused) refuse(h, refused == 2);
  return refused;
}

fn timer_refused(h: i32): i32 {
  if (h.priv == 3) return 0;
  let refused = 0;
  if ((counters_of(h, above(h)) & 2L) == 0L || envcfg_of(h, above(h)) >= 0L) refused = 1;
  else if (h.virt && ((over(h).hcounteren & 2L) == 0L || over(h).henvcfg >= 0L)) refused = 2;
  if (refused) refuse(h, refused == 2);
  return refused;
}

fn satp_refused(h: i32): i32 {
  if (h.priv != 1) return 0;
  if (((h.virt ? over(h).hstatus : h.mstatus) & 0x100000L) == 0L) return 0;
  refuse(h, h.virt);
  return 1;
}

inline fn with_sd(st: i64): i64 {
  return (st & 0x6000L) == 0x6000L ? st | -9223372036854775808L : st & 0x7fffffffffffffffL;
}

// All FS fields that are in force must be on; a change of the state makes all dirty.
fn fs_off(h: i32): i32 { return (h.mstatus & 0x6000L) == 0L || (h.fsgate & 0x6000L) == 0L; }

fn fs_dirty(h: i32) {
  h.mstatus = h.mstatus | 0x8000000000006000L;
  let level = h.virt;
  while (level > 0) {
    level = level - 1;
    let b = bank_of(h, level);
    b.altstatus = b.altstatus | 0x6000L;
    h.fsgate = -1L;
  }
}

fn csr_read(h: i32, n: i32): i64 {
  if ((n >= 0xc00 && n < 0xc20)) {
    if (counter_refused(h, n)) return 0L;
    if (n == 0xc01) return time_of(h, h.virt);
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
    case 0x104: return supervisor_bits(h, (h.virt ? over(h) : h).mie);
    case 0x105: return h.stvec;
    case 0x106: return h.scounteren;
    case 0x10a: return h.senvcfg;
    case 0x140: return h.sscratch;
    case 0x141: return h.sepc;
    case 0x142: return h.scause;
    case 0x143: return h.stval;
    case 0x144: return supervisor_bits(h, h.virt ? pending_of(h, over(h)) : pending(h));
    case 0x14d:
      if (timer_refused(h)) return 0L;
      return h.virt ? over(h).vstimecmp : h.stimecmp;
    case 0x180: return satp_refused(h) ? 0L : h.satp;
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
    case 0x34a: return hypervisor(h) ? h.mtinst : illegal(h);
    case 0x34b: return hypervisor(h) ? h.mtval2 : illegal(h);
    case 0xb00, 0xb02: return h.instretoff + h.fueltop - sx(h.fuel);
    case 0xf11, 0xf12, 0xf13, 0xf15: return 0L;
    case 0xf14: return zx(h.hartid);
    case 0x7a0, 0x7a1, 0x7a2, 0x7a3: return 0L;
  }
  if (((n >>> 8) & 3) == 2) return guest_csr_read(h, own_bank(h), n);
  return illegal(h);
}

// A value for satp or vsatp: one of a mode that is not there changes nothing.
fn legal_satp(h: i32, old: i64, v: i64): i64 {
  let mode = v >>> 60L;
  if (mode == 0L || mode == 8L || (mode == 9L && h.sv48)) return v;
  return old;
}

fn write_status(h: i32, v: i64, mask: i64) {
  let old = h.mstatus;
  let st = (old & ~mask) | (v & mask);
  if ((st & 0x1800L) == 0x1000L) st = (st & -6145L) | (old & 0x1800L);
  h.mstatus = with_sd(st);
  if (((st ^ old) & 0x80000e1800L) != 0L) set_context(h);
  if ((st & ~old & 10L) != 0L) allow_interrupts(h);
}

// SSIP has one home, the mailbox: what M-mode sets in mip, S-mode clears in sip (Privileged 3.1.9).
// Another hart may raise it meanwhile, so an instruction that does not name it leaves it alone.
fn set_ssip(h: i32, v: i64, named: i64) {
  if ((named & 2L) == 0L) return;
  if ((v & 2L) != 0L) atomic_or32(h + IRQ, 2); else atomic_and32(h + IRQ, ~2);
}

// CBIE = 2 is reserved, and reads back as 0 (WARL, Privileged 3.1.18).
fn legal_envcfg(v: i64, mask: i64): i64 {
  return v & mask & ((v & 0x30L) == 0x20L ? -49L : -1L);
}

// Named are the bits that the instruction sets or clears, all of them for csrrw. The poke word is
// shared: only ever or'd or swapped, never stored over by another thread.
fn csr_write(h: i32, n: i32, v: i64, named: i64) {
  switch (n) {
    case 1, 2, 3:
      if (fs_off(h)) { illegal(h); return; }
      fs_dirty(h);
      if (n == 1) h.fflags = i32_of(v) & 31;
      else if (n == 2) h.frm = i32_of(v) & 7;
      else { h.fflags = i32_of(v) & 31; h.frm = (i32_of(v) >>> 5) & 7; }
    case 0x100: write_status(h, v, 0xc6122L);
    case 0x104:
      if (h.virt) write_enables(h, over(h), v << 1L, over(h).hideleg);
      else write_enables(h, h, v, h.mideleg & 0x222L);
    case 0x105: if ((v & 2L) == 0L) h.stvec = v;
    case 0x106: h.scounteren = v & 0xffffffffL;
    case 0x10a: h.senvcfg = legal_envcfg(v, 0xf1L);
    case 0x140: h.sscratch = v;
    case 0x141: h.sepc = v & -2L;
    case 0x142: h.scause = v;
    case 0x143: h.stval = v;
    case 0x144:
      if (h.virt) set_vssip(over(h), over(h).hideleg, v << 1L);
      else if ((h.mideleg & 2L) != 0L) set_ssip(h, v, named);
      atomic_or32(h + POKE, 1);
    case 0x14d:
      if (timer_refused(h)) return;
      if (h.virt) set_vstimecmp(h, over(h), v); else set_stimecmp(h, v);
      atomic_or32(h + POKE, 1);
    case 0x180:
      if (satp_refused(h)) return;
      let next = legal_satp(h, h.satp, v);
      if (next != h.satp) {
        h.satp = next;
        reselect(h);
      }
    case 0x300:
      write_status(h, v, hypervisor(h) ? 0xc0007e79aaL : 0x7e79aaL);
      atomic_or32(h + POKE, 1);
    case 0x301: return;
    case 0x302: h.medeleg = v & (hypervisor(h) ? 0xf0b7ffL : 0xb3ffL);
    case 0x303: h.mideleg = (v & 0x222L) | (hypervisor(h) ? 0x1444L : 0L);
    case 0x304: h.mie = v & (hypervisor(h) ? 0x1eeeL : 0xaaaL); atomic_or32(h + POKE, 1);
    case 0x305: if ((v & 2L) == 0L) h.mtvec = v;
    case 0x306: h.mcounteren = v & 0xffffffffL;
    case 0x30a:
      h.menvcfg = legal_envcfg(v, 0xe0000000000000f1L);
      arm_guest_timer(h);
      flush_all(h);
    case 0x340: h.mscratch = v;
    case 0x341: h.mepc = v & -2L;
    case 0x342: h.mcause = v;
    case 0x343: h.mtval = v;
    case 0x344:
      set_ssip(h, v, named);
      if (hypervisor(h)) set_vssip(h, 4L, v);
      h.mipsoft = v & 0x220L;
      atomic_or32(h + POKE, 1);
    case 0x34a: h.mtinst = v;
    case 0x34b: h.mtval2 = v;
    case 0xb00, 0xb02: h.instretoff = v - (h.fueltop - sx(h.fuel)) - 1L;
    default:
      if (((n >>> 8) & 3) == 2) guest_csr_write(h, own_bank(h), n, v);
  }
}

fn csr_op(h: i32, insn: i32, f3: i32): i32 {
  let n = insn >>> 20;
  let rs1 = (insn >>> 15) & 31;
  let rd = (insn >>> 7) & 31;
  let v = (f3 & 4) != 0 ? zx(rs1) : load64(h + (rs1 << 3));
  let op = f3 & 3;
  let writes = op == 1 || rs1 != 0;
  if (writes && (n >>> 10) == 3) return refuse(h, 0);
  let level = (n >>> 8) & 3;
  if (level == 2 && !hypervisor(h)) return refuse(h, 0);
  if (level >u (level == 2 && h.priv == 1 && own_bank(h) ? 2 : h.priv))
    return refuse(h, h.virt && level < 3 && host_may(h, n));
  let old = 0L;
  if (op != 1 || rd != 0) {
    old = csr_read(h, n);
    if (h.fault) return 0;
  }
  if (writes) {
    let named = op == 1 ? -1L : v;
    let base = old;
    if (n == 0x344) base = h.mipsoft | (h.hvip & 4L) | (zx(atomic_load32(h + IRQ)) & 2L);
    if (op == 2) v = base | v;
    else if (op == 3) v = base & ~v;
    if (op == 1 && rd == 0) {
      csr_read(h, n);
      if (h.fault) return 0;
    }
    csr_write(h, n, v, named);
    if (h.fault) return 0;
  }
  if (rd) store64(h + (rd << 3), old);
  return 0;
}
`;
