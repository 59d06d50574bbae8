/**
 * The hypervisor extension, in W: what is left of it beside levels (levels.ts), traps (trap.ts) and
 * translation (walk.ts). Everything here is behind misa.H.
 *
 * The supervisor's registers in force are always the plain ones (h.stvec, h.satp, those bits of
 * h.mstatus …); those of other levels are in banks (levels.ts), vs* in alt* of the running one's.
 * Translated code therefore knows nothing of V, but for h.fsgate: FS of the levels around it.
 */
export const hypervisorSource = `
fn hypervisor(h: i32): i32 { return (h.misa & 0x80L) != 0L; }

// May HS do what a guest has tried? Then the guest's trap is a virtual instruction.
fn host_may(h: i32, n: i32): i32 {
  let priv = h.priv;
  let virt = h.virt;
  let st = h.mstatus;
  h.priv = 1; h.virt = 0; h.mstatus = st & -1048577L;
  csr_read(h, n);
  let may = h.fault == 0;
  h.fault = 0;
  h.priv = priv; h.virt = virt; h.mstatus = st;
  return may;
}

// Bits of mie or mip as sie and sip have them; a guest's stand one place lower.
fn supervisor_bits(h: i32, bits: i64): i64 {
  return h.virt ? guest_bits(over(h), bits) : bits & h.mideleg & 0x222L;
}

fn guest_bits(b: i32, bits: i64): i64 { return (bits & b.hideleg) >>> 1L; }

fn write_enables(h: i32, b: i32, v: i64, mask: i64) {
  b.mie = (b.mie & ~mask) | (v & mask);
  atomic_or32(h + POKE, 1);
}

fn set_vssip(b: i32, allowed: i64, v: i64) {
  let mask = allowed & 4L;
  b.hvip = (b.hvip & ~mask) | (v & mask);
}

fn set_vstimecmp(h: i32, b: i32, v: i64) {
  b.vstimecmp = v;
  if (b == h) arm_guest_timer(h); else arm_deep_timer(h);
}

fn hgatp_refused(h: i32): i32 {
  if (h.priv == 3 || ((h.virt ? over(h).hstatus : h.mstatus) & 0x100000L) == 0L) return 0;
  refuse(h, h.virt);
  return 1;
}

// Of the level whose bank is b.
fn guest_csr_read(h: i32, b: i32, n: i32): i64 {
  switch (n) {
    case 0x200: return with_sd(b.altstatus);
    case 0x204: return guest_bits(b, b.mie);
    case 0x205: return b.alttvec;
    case 0x240: return b.altscratch;
    case 0x241: return b.altepc;
    case 0x242: return b.altcause;
    case 0x243: return b.alttval;
    case 0x244: return guest_bits(b, pending_of(h, b));
    case 0x24d: return timer_refused(h) ? 0L : b.vstimecmp;
    case 0x280: return b.altsatp;
    case 0x600: return b.hstatus | 0x200000000L;
    case 0x602: return b.hedeleg;
    case 0x603: return b.hideleg;
    case 0x604: return b.mie & 0x1444L;
    case 0x605: return b.htimedelta;
    case 0x606: return b.hcounteren;
    case 0x607: return 0L;
    case 0x60a: return b.henvcfg & (envcfg_of(h, h.virt) | 0xf1L);
    case 0x643: return b.htval;
    case 0x644: return pending_of(h, b) & 0x1444L;
    case 0x645: return b.hvip;
    case 0x64a: return b.htinst;
    case 0x680: return hgatp_refused(h) ? 0L : b.hgatp;
    case 0xe12: return 0L;
  }
  return illegal(h);
}

fn guest_csr_write(h: i32, b: i32, n: i32, v: i64) {
  switch (n) {
    case 0x200:
      b.altstatus = (b.altstatus & -811299L) | (v & 0xc6122L);
      set_context(h);
    case 0x204: write_enables(h, b, v << 1L, b.hideleg);
    case 0x205: if ((v & 2L) == 0L) b.alttvec = v;
    case 0x240: b.altscratch = v;
    case 0x241: b.altepc = v & -2L;
    case 0x242: b.altcause = v;
    case 0x243: b.alttval = v;
    case 0x244: set_vssip(b, b.hideleg, v << 1L); atomic_or32(h + POKE, 1);
    case 0x24d: if (!timer_refused(h)) set_vstimecmp(h, b, v);
    case 0x280: b.altsatp = legal_satp(h, b.altsatp, v); reselect(h);
    case 0x600: b.hstatus = v & (h.nests && b == h ? 0xffcfffc007003c4L : 0x7003c0L);
    case 0x602: b.hedeleg = v & 0xb1ffL;
    case 0x603: b.hideleg = v & 0x444L; atomic_or32(h + POKE, 1);
    case 0x604: write_enables(h, b, v, 0x1444L);
    case 0x605: b.htimedelta = v; arm_guest_timer(h);
    case 0x606: b.hcounteren = v & 0xffffffffL;
    case 0x60a:
      if (((b.henvcfg ^ v) & 0x6000000000000000L) != 0L) fence_guest(h, h.virt, -1);
      b.henvcfg = legal_envcfg(v, 0xe0000000000000f1L);
      arm_guest_timer(h);
    case 0x643: b.htval = v;
    case 0x644: set_vssip(b, 4L, v); atomic_or32(h + POKE, 1);
    case 0x645: b.hvip = v & 0x444L; atomic_or32(h + POKE, 1);
    case 0x64a: b.htinst = v;
    case 0x680:
      if (hgatp_refused(h)) return;
      b.hgatp = legal_satp(h, b.hgatp, v) & -864691128455135236L;
      reselect(h);
  }
}

fn hfence(h: i32, insn: i32): i32 {
  let guest = (insn >>> 25) >= 0x31;
  if (!hypervisor(h) || (insn & 0x7f80) != 0) return refuse(h, 0);
  let b = own_bank(h);
  if (h.priv == 0 || b == 0) return refuse(h, h.virt);
  if (guest && hgatp_refused(h)) return 0;
  let rs2 = (insn >>> 20) & 31;
  if (guest) fence_guest(h, h.virt, rs2 ? i32_of(load64(h + (rs2 << 3))) & 0x3fff : -1);
  else fence_first(h, insn, space_below(h.virt, b.hgatp));
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
  let b = own_bank(h);
  if (b == 0) return refuse(h, 1);
  if (h.priv == 0 && (b.hstatus & 0x200L) == 0L) return refuse(h, h.virt);
  let va = load64(h + ((insn >>> 12) & 0xf8));
  let v = 0L;
  select_context(h, mode_key(h, i32_of(b.hstatus >>> 8L) & 1, previous(h, b)));
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
