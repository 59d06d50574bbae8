/**
 * Address translation, in W: page walk (Sv39, Sv48, Svnapot, Svpbmt, Svadu), for guests in two
 * stages (Sv39x4, Sv48x4), for a guest's guest in three: each level's hgatp is one more, with
 * tables that the stages after it translate. What it finds goes into the TLB of the present
 * context, combined.
 *
 * A stage returns an address, or -1 with h.walkfault: 1 page fault, 2 access fault, 3 guest-page
 * fault of the stage of level h.walkstage at h.walkgpa, where h.walkinst names the implicit access
 * (Privileged, mtinst). On success h.walkperm holds the rights (1 read, 2 write, 4 fetch) and
 * h.walkbig the page's size.
 *
 * Accesses: 0 read, 1 write, 2 fetch, 3 HLVX (a read where fetches are allowed; never entered).
 */
export const walkSource = `
fn no_page(h: i32, fault: i32): i64 {
  h.walkfault = fault;
  return -1L;
}

fn no_guest_page(h: i32, level: i32, gpa: i64): i64 {
  h.walkgpa = gpa;
  h.walkstage = level;
  h.walkinst = 0;
  return no_page(h, 3);
}

// A table of a level at 'said' in its memory, through the second stages of those around it.
fn through(h: i32, level: i32, said: i64, access: i32): i64 {
  let at = said;
  while (level > 0) {
    level = level - 1;
    at = stage2(h, level, 0, at, access);
    if (at == -1L) {
      if (h.walkinst == 0) h.walkinst = access == 1 ? 0x3020 : 0x3000;
      return -1L;
    }
  }
  return at;
}

// Reads tables in the memory of a level down to a leaf entry; 0 when there is none. Leaves where
// the entry is in h.walkat (as the tables say), h.walkhost, h.walklevel.
fn descend(h: i32, root: i64, va: i64, top: i32, level: i32): i64 {
  let depth = top;
  let table = root;
  let index = va >>> zx(12 + depth * 9);
  loop {
    let said = table + (index << 3L);
    let at = through(h, level, said, 0);
    if (at == -1L) return 0L;
    let offset = at - RAM_PA;
    if (offset >=u load64(M_RAM_BYTES)) { h.walkfault = 2; return 0L; }
    let host = RAM + i32_of(offset);
    let pte = load64(host);
    h.walkfault = 1;
    if ((pte & 1L) == 0L || (pte & 6L) == 4L || (pte & 0x1fc0000000000000L) != 0L) return 0L;
    if ((pte & 0xaL) != 0L) {
      h.walkat = said;
      h.walkhost = host;
      h.walklevel = depth;
      return pte;
    }
    if ((pte & 0xe0000000000000d0L) != 0L || depth == 0) return 0L;
    table = ((pte >>> 10L) & 0xfffffffffffL) << 12L;
    depth = depth - 1;
    index = (va >>> zx(12 + depth * 9)) & 0x1ffL;
  }
  return 0L;
}

// Where a leaf of the last descent points for va.
fn leaf_address(h: i32, pte: i64, va: i64, envcfg: i64): i64 {
  let pbmt = pte & 0x6000000000000000L;
  if (pbmt != 0L && ((envcfg & 0x4000000000000000L) == 0L || pbmt == 0x6000000000000000L))
    return no_page(h, 1);
  let big = 1L << zx(12 + h.walklevel * 9);
  let inside = big - 1L;
  let ppn = (pte >>> 10L) & 0xfffffffffffL;
  if (((ppn << 12L) & inside) != 0L) return no_page(h, 1);
  if (pte < 0L) {
    if (h.walklevel != 0 || (ppn & 15L) != 8L) return no_page(h, 1);
    ppn = (ppn & -16L) | ((va >>> 12L) & 15L);
    big = 65536L;
  }
  h.walkbig = big;
  return (ppn << 12L) | (va & inside);
}

fn needed(access: i32): i32 { return access == 3 ? 1 : 1 << access; }

// The second stage of a level: of a physical address of the guest below it. Only MXR of that
// level and of those around it bear on it (64 and 256 in key).
fn stage2(h: i32, level: i32, key: i32, gpa: i64, access: i32): i64 {
  let hgatp = load64(context_of(h) + (level << 3), 48);
  h.walkperm = 7;
  if ((hgatp >>> 60L) == 0L) return gpa;
  let top = (hgatp >>> 60L) == 9L ? 3 : 2;
  if ((gpa >>> zx(top * 9 + 23)) != 0L) return no_guest_page(h, level, gpa);
  let exec = level ? 320 : 64;
  loop {
    let pte = descend(h, (hgatp & 0xfffffffffffL) << 12L, gpa, top, level);
    if (pte == 0L) {
      if (h.walkfault == 1) return no_guest_page(h, level, gpa);
      return -1L;
    }
    let x = (pte & 8L) != 0L;
    let r = access == 3 ? x : (pte & 2L) != 0L || (x && (key & exec) != 0);
    let perm = r | ((pte & 4L) != 0L) << 1 | x << 2;
    if ((pte & 16L) == 0L || (perm & needed(access)) == 0) return no_guest_page(h, level, gpa);
    let envcfg = envcfg_of(h, level);
    let pa = leaf_address(h, pte, gpa, envcfg);
    if (pa == -1L) return no_guest_page(h, level, gpa);
    let bits = access == 1 ? 0xc0L : 0x40L;
    if ((pte & bits) == bits) {
      h.walkperm = (pte & 0x80L) == 0L ? perm & 5 : perm;
      return pa;
    }
    if ((envcfg & 0x2000000000000000L) == 0L) return no_guest_page(h, level, gpa);
    let host = h.walkhost;
    if (level && through(h, level, h.walkat, 1) == -1L) return -1L;
    atomic_cas64(host, pte, pte | bits);
  }
  return 0L;
}

// The first stage: of a virtual address, whose tables a guest has in its own physical memory.
fn stage1(h: i32, satp: i64, level: i32, key: i32, va: i64, access: i32): i64 {
  let top = (satp >>> 60L) == 9L ? 3 : 2;
  let unused = zx(25 - (top - 2) * 9);
  if (((va << unused) >> unused) != va) return no_page(h, 1);
  let envcfg = envcfg_of(h, level);
  loop {
    let pte = descend(h, (satp & 0xfffffffffffL) << 12L, (va << unused) >>> unused, top, level);
    if (pte == 0L) return -1L;
    let user = (pte & 16L) != 0L;
    let x = (pte & 8L) != 0L;
    let r = access == 3 ? x : (pte & 2L) != 0L || (x && (key & 328) != 0);
    if ((key & 3) == 0 ? !user : (user && (access == 2 || (key & 4) == 0))) return no_page(h, 1);
    let perm = r | ((pte & 4L) != 0L) << 1 | (x && !(user && (key & 3) == 1)) << 2;
    if ((perm & needed(access)) == 0) return no_page(h, 1);
    let pa = leaf_address(h, pte, va, envcfg);
    if (pa == -1L) return -1L;
    let big = h.walkbig;
    let bits = access == 1 ? 0xc0L : 0x40L;
    if ((pte & bits) == bits) {
      h.walkperm = (pte & 0x80L) == 0L ? perm & 5 : perm;
      h.walkbig = big;
      return pa;
    }
    if ((envcfg & 0x2000000000000000L) == 0L) return no_page(h, 1);
    let host = h.walkhost;
    if (level && through(h, level, h.walkat, 1) == -1L) return -1L;
    atomic_cas64(host, pte, pte | bits);
  }
  return 0L;
}

fn fault_address(h: i32, va: i64, access: i32, fault: i32): i32 {
  let kind = access == 2 ? 0 : (access == 1 ? 3 : 1);
  if (fault == 2) { raise(h, access == 2 ? 1 : (access == 1 ? 7 : 5), va); return 0; }
  raise(h, (fault == 3 ? 20 : 12) + kind, va);
  if (fault == 3) {
    h.faultstage = h.walkstage;
    h.faulttval2 = h.walkgpa >>> 2L;
    h.faultinst = h.walkinst;
  }
  return 0;
}

// va → host address for one access, entering it into the TLB. Returns 0 after raising a fault,
// 1 for a device (its address then stands in h.mmiopa).
export fn walk(h: i32, va: i64, access: i32): i32 {
  let c = context_of(h);
  let key = load32(c, 8);
  let mprv = (key & 16) != 0;
  let pa = va;
  let perm = 7;
  if ((key & 3) != 3 && !(mprv && access == 2)) {
    let satp = load64(c);
    let level = key_level(key);
    if ((satp >>> 60L) != 0L) {
      pa = stage1(h, satp, level, key, va, access);
      if (pa == -1L) return fault_address(h, va, access, h.walkfault);
      perm = h.walkperm;
      if (h.walkbig != 4096L) super_range(h, va, h.walkbig);
    }
    while (level > 0) {
      level = level - 1;
      pa = stage2(h, level, key, pa, access);
      if (pa == -1L) return fault_address(h, va, access, h.walkfault);
      perm = perm & h.walkperm;
    }
  }
  let off = pa - RAM_PA;
  if (off >=u load64(M_RAM_BYTES)) {
    if (access >= 2 || pa >=u 0x80000000L) return fault_address(h, va, access, 2);
    h.mmiopa = pa;
    return 1;
  }
  let result = RAM + i32_of(off);
  if (access == 3) return result;
  let frame = i32_of(off >>> 12L);
  if (access == 1) note_store(frame);
  if ((load8u(FRAME_FLAGS + frame) & 3) == 1) perm = perm & 5;
  if (mprv) perm = perm & (1 << access);
  let none = (va & TLB_SLOT) == 0L ? 0x1000L : 0L;
  let page = va & -4096L;
  let e = h.tlb + (i32_of(va >>> 7L) & TLB_MASK);
  let map = load32(h.mapdir + (frame << 2));
  store64(e, (perm & 1) != 0 ? page : none);
  store64(e, (perm & 2) != 0 ? page : none, 8);
  store64(e, (perm & 4) != 0 ? page : none, 16);
  store32(e, result - i32_of(va), 24);
  store32(e, map ? map : EMPTY_MAP, 28);
  return result;
}
`;
