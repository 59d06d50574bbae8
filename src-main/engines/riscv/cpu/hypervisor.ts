/**
 * The hypervisor extension, in W: what is left of it beside traps (trap.ts) and translation
 * (walk.ts). Everything here is behind misa.H.
 *
 * The supervisor's registers in force are always the plain ones (h.stvec, h.satp, those bits of
 * h.mstatus …); h.alt* are those of the other value of V, so vs* while V=0 and HS's while V=1.
 * Translated code therefore knows nothing of V, but for h.fsgate: HS's FS while V=1, else open.
 */
export const hypervisorSource = `
fn hypervisor(h: i32): i32 { return (h.misa & 0x80L) != 0L; }

fn set_virt(h: i32, virt: i32) {
  if (h.virt == virt) return;
  h.virt = virt;
  let st = h.mstatus;
  h.mstatus = with_sd((st & -12885813091L) | h.altstatus);
  h.altstatus = st & 0x3000de762L;
  h.fsgate = virt ? h.altstatus : -1L;
  let v = h.stvec; h.stvec = h.alttvec; h.alttvec = v;
  v = h.sscratch; h.sscratch = h.altscratch; h.altscratch = v;
  v = h.sepc; h.sepc = h.altepc; h.altepc = v;
  v = h.scause; h.scause = h.altcause; h.altcause = v;
  v = h.stval; h.stval = h.alttval; h.alttval = v;
  v = h.satp; h.satp = h.altsatp; h.altsatp = v;
}

// May HS do what a guest has tried? Then the guest's trap is a virtual instruction.
fn host_may(h: i32, n: i32): i32 {
  let priv = h.priv;
  let st = h.mstatus;
  h.priv = 1; h.virt = 0; h.mstatus = st & -1048577L;
  csr_read(h, n);
  let may = h.fault == 0;
  h.fault = 0;
  h.priv = priv; h.virt = 1; h.mstatus = st;
  return may;
}

// Bits of mie or mip as sie and sip have them; a guest's stand one place lower.
fn supervisor_bits(h: i32, bits: i64): i64 {
  return h.virt ? guest_bits(h, bits) : bits & h.mideleg & 0x222L;
}

fn guest_bits(h: i32, bits: i64): i64 { return (bits & h.hideleg) >>> 1L; }

fn write_enables(h: i32, v: i64, mask: i64) {
  h.mie = (h.mie & ~mask) | (v & mask);
  atomic_or32(h + POKE, 1);
}

fn write_supervisor_enables(h: i32, v: i64) {
  if (h.virt) write_enables(h, v << 1L, h.hideleg);
  else write_enables(h, v, h.mideleg & 0x222L);
}

fn set_vssip(h: i32, allowed: i64, v: i64) {
  let mask = allowed & 4L;
  h.hvip = (h.hvip & ~mask) | (v & mask);
}

// When vstimecmp is due, in ticks of the machine: a guest's time is time + htimedelta.
fn arm_guest_timer(h: i32) {
  let deadline = -1L;
  let time = time_now();
  if ((h.menvcfg & h.henvcfg) < 0L) {
    let left = h.vstimecmp - time - h.htimedelta;
    if (h.vstimecmp <=u time + h.htimedelta) deadline = time;
    else if (left >= 0L && left < 0x4000000000000000L) deadline = time + left;
  }
  atomic_store64(h + VSDEADLINE, deadline);
  if (deadline == time) atomic_or32(h + IRQ, 0x40); else atomic_and32(h + IRQ, ~0x40);
  atomic_or32(h + POKE, 1);
  if (deadline != -1L) timer_moved(h);
}

fn set_vstimecmp(h: i32, v: i64) {
  h.vstimecmp = v;
  arm_guest_timer(h);
}

fn hgatp_refused(h: i32): i32 {
  if (h.priv == 3 || (h.mstatus & 0x100000L) == 0L) return 0;
  refuse(h, 0);
  return 1;
}

fn guest_csr_read(h: i32, n: i32): i64 {
  switch (n) {
    case 0x200: return with_sd(h.altstatus);
    case 0x204: return guest_bits(h, h.mie);
    case 0x205: return h.alttvec;
    case 0x240: return h.altscratch;
    case 0x241: return h.altepc;
    case 0x242: return h.altcause;
    case 0x243: return h.alttval;
    case 0x244: return guest_bits(h, pending(h));
    case 0x24d: return timer_refused(h) ? 0L : h.vstimecmp;
    case 0x280: return h.altsatp;
    case 0x600: return h.hstatus | 0x200000000L;
    case 0x602: return h.hedeleg;
    case 0x603: return h.hideleg;
    case 0x604: return h.mie & 0x1444L;
    case 0x605: return h.htimedelta;
    case 0x606: return h.hcounteren;
    case 0x607: return 0L;
    case 0x60a: return h.henvcfg & (h.menvcfg | 0xf1L);
    case 0x643: return h.htval;
    case 0x644: return pending(h) & 0x1444L;
    case 0x645: return h.hvip;
    case 0x64a: return h.htinst;
    case 0x680: return hgatp_refused(h) ? 0L : h.hgatp;
    case 0xe12: return 0L;
  }
  return illegal(h);
}

fn guest_csr_write(h: i32, n: i32, v: i64) {
  switch (n) {
    case 0x200:
      h.altstatus = (h.altstatus & -811299L) | (v & 0xc6122L);
      set_context(h);
    case 0x204: write_enables(h, v << 1L, h.hideleg);
    case 0x205: if ((v & 2L) == 0L) h.alttvec = v;
    case 0x240: h.altscratch = v;
    case 0x241: h.altepc = v & -2L;
    case 0x242: h.altcause = v;
    case 0x243: h.alttval = v;
    case 0x244: set_vssip(h, h.hideleg, v << 1L); atomic_or32(h + POKE, 1);
    case 0x24d: if (!timer_refused(h)) set_vstimecmp(h, v);
    case 0x280: h.altsatp = legal_satp(h, h.altsatp, v); reselect(h);
    case 0x600: h.hstatus = v & 0x7003c0L;
    case 0x602: h.hedeleg = v & 0xb1ffL;
    case 0x603: h.hideleg = v & 0x444L; atomic_or32(h + POKE, 1);
    case 0x604: write_enables(h, v, 0x1444L);
    case 0x605: h.htimedelta = v; arm_guest_timer(h);
    case 0x606: h.hcounteren = v & 0xffffffffL;
    case 0x60a:
      if (((h.henvcfg ^ v) & 0x6000000000000000L) != 0L) fence_guest(h, -1);
      h.henvcfg = legal_envcfg(v, 0xe0000000000000f1L);
      arm_guest_timer(h);
    case 0x643: h.htval = v;
    case 0x644: set_vssip(h, 4L, v); atomic_or32(h + POKE, 1);
    case 0x645: h.hvip = v & 0x444L; atomic_or32(h + POKE, 1);
    case 0x64a: h.htinst = v;
    case 0x680:
      if (hgatp_refused(h)) return;
      h.hgatp = legal_satp(h, h.hgatp, v) & -864691128455135236L;
      reselect(h);
  }
}

fn hfence(h: i32, insn: i32): i32 {
  let guest = (insn >>> 25) >= 0x31;
  if (!hypervisor(h) || (insn & 0x7f80) != 0) return refuse(h, 0);
  if (h.virt) return refuse(h, 1);
  if (h.priv == 0 || (guest && h.priv == 1 && (h.mstatus & 0x100000L) != 0L)) return refuse(h, 0);
  let rs2 = (insn >>> 20) & 31;
  if (guest) fence_guest(h, rs2 ? i32_of(load64(h + (rs2 << 3))) & 0x3fff : -1);
  else fence_first(h, insn, vmid_of(h.hgatp));
  return 0;
}

fn fetch_load(h: i32, va: i64, size: i32): i64 {
  let value = 0L;
  let i = 0;
  while (i < size) {
    let p = walk(h, va + zx(i), 3);
    if (p == 0) return 0L;
    value = value | (load8u64(p) << zx(i << 3));
    i = i + 1;
  }
  return value;
}

// HLV, HLVX, HSV: one access as the guest would make it, at the privilege in hstatus.SPVP.
fn guest_access(h: i32, insn: i32): i32 {
  let f7 = insn >>> 25;
  let rs2 = (insn >>> 20) & 31;
  let rd = (insn >>> 7) & 31;
  let size = 1 << ((f7 >>> 1) & 3);
  let stores = f7 & 1;
  let known = stores ? rd == 0 : rs2 == 0 || (rs2 == 1 && size < 8)
    || (rs2 == 3 && (size == 2 || size == 4));
  if (!hypervisor(h) || (f7 & 0x78) != 0x30 || !known) return refuse(h, 0);
  if (h.virt) return refuse(h, 1);
  if (h.priv == 0 && (h.hstatus & 0x200L) == 0L) return refuse(h, 0);
  let va = load64(h + ((insn >>> 12) & 0xf8));
  let v = 0L;
  select_context(h, mode_key(h, i32_of(h.hstatus >>> 8L) & 1, 1));
  if (stores) slow_store(h, va, load64(h + (rs2 << 3)), size);
  else if (rs2 == 3) v = fetch_load(h, va, size);
  else v = slow_load(h, va, size);
  set_context(h);
  if (h.fault || stores || rd == 0) return 0;
  if (rs2 == 0 && size == 1) v = sx8(v);
  if (rs2 == 0 && size == 2) v = sx16(v);
  if (rs2 == 0 && size == 4) v = sx32(v);
  store64(h + (rd << 3), v);
  return 0;
}
`;
