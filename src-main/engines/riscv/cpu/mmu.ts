/**
 * Address translation, in W: page walk (Sv39, Sv48, Svnapot, Svpbmt, Svadu), the software TLB with
 * its contexts, fences, and the slow path of every guest load and store.
 *
 * A TLB entry is 32 bytes: tag for reads, tag for writes, tag for fetches (i64 each; the page's
 * address, or a page that cannot stand in this slot), then `host - va` and the frame's code map
 * (i32 each). An access of n bytes hits when `va - tag <u 4097 - n`.
 *
 * A context is one such table, kept for one (satp, mode bits); switching never flushes. A fence
 * makes contexts stale (`gen`), and a stale one is emptied when it is next selected.
 */
export const mmuSource = `
import fn mmio_load(h: i32, pa: i32, size: i32): i32;
import fn mmio_store(h: i32, pa: i32, size: i32, value: i32);

fn raise(h: i32, cause: i32, tval: i64) {
  h.fault = cause + 1;
  h.ftval = tval;
}

fn tlb_clear(t: i32) {
  memory_fill(t, 0, TLB_BYTES);
  store64(t, 0x1000L); store64(t, 0x1000L, 8); store64(t, 0x1000L, 16);
}

// Points h.tlb at the table for the present satp, privilege, SUM, MXR and MPRV.
fn set_context(h: i32) {
  let st = h.mstatus;
  let key = h.priv | (i32_of(st >>> 16L) & 0xc);
  if ((st & 0x20000L) != 0L && h.priv == 3) key = key | 16 | ((i32_of(st >>> 11L) & 3) << 5);
  let fast = h + CTX_FAST + (key << 2);
  let t = load32(fast);
  if (t) { h.tlb = t; return; }
  let i = 0;
  let c = 0;
  let found = -1;
  while (i < CTX_COUNT) {
    c = h + CTX + (i << 6);
    if (load64(c) == h.satp && load32(c, 8) == key && load32(c, 12) != 0) { found = i; break; }
    i = i + 1;
  }
  if (found < 0) {
    found = h.ctxnext;
    h.ctxnext = (found + 1) & (CTX_COUNT - 1);
    c = h + CTX + (found << 6);
    memory_fill(h + CTX_FAST, 0, 512);
    store64(c, h.satp);
    store32(c, key, 8);
    store32(c, 0, 12);
  }
  t = h + TLBS + found * TLB_BYTES;
  if (load32(c, 12) != h.gen) {
    tlb_clear(t);
    store32(c, h.gen, 12);
    store64(c, -1L, 16); store64(c, 0L, 24); store64(c, -1L, 32); store64(c, 0L, 40);
  }
  store32(fast, t);
  h.tlb = t;
}

export fn flush_all(h: i32) {
  h.gen = h.gen + 1;
  if (h.gen == 0) h.gen = 1;
  memory_fill(h + CTX_FAST, 0, 512);
  set_context(h);
}

fn drop_entry(t: i32, va: i64) {
  let e = t + (i32_of(va >>> 7L) & TLB_MASK);
  let page = va & -4096L;
  if (load64(e) == page || load64(e, 8) == page || load64(e, 16) == page) {
    let none = (va & TLB_SLOT) == 0L ? 0x1000L : 0L;
    store64(e, none); store64(e, none, 8); store64(e, none, 16);
  }
}

// sfence.vma; asid < 0 means all address spaces. A page of a superpage empties its context.
export fn fence_page(h: i32, va: i64, asid: i32) {
  let i = 0;
  let stale = 0;
  while (i < CTX_COUNT) {
    let c = h + CTX + (i << 6);
    if (load32(c, 12) == h.gen && (asid < 0 || (i32_of(load64(c) >>> 44L) & 0xffff) == asid)) {
      let lo = va < 0L ? load64(c, 32) : load64(c, 16);
      let hi = va < 0L ? load64(c, 40) : load64(c, 24);
      if (va >=u lo && va <u hi) { store32(c, -1, 12); stale = 1; }
      else drop_entry(h + TLBS + i * TLB_BYTES, va);
    }
    i = i + 1;
  }
  if (stale) { memory_fill(h + CTX_FAST, 0, 512); set_context(h); }
}

export fn fence_asid(h: i32, asid: i32) {
  let i = 0;
  while (i < CTX_COUNT) {
    let c = h + CTX + (i << 6);
    if ((i32_of(load64(c) >>> 44L) & 0xffff) == asid && load32(c, 12) != 0) store32(c, -1, 12);
    i = i + 1;
  }
  memory_fill(h + CTX_FAST, 0, 512);
  set_context(h);
}

// A frame has got its first translation: no table may still write it unseen or fetch it unmapped.
export fn purge_frame(h: i32, host: i32) {
  let i = 0;
  while (i < CTX_COUNT) {
    let c = h + CTX + (i << 6);
    if (load32(c, 12) == h.gen) {
      let t = h + TLBS + i * TLB_BYTES;
      let end = t + TLB_BYTES;
      let none = 0x1000L;
      while (t <u end) {
        let w = load64(t, 8);
        if (w != none && i32_of(w) + load32(t, 24) == host) store64(t, none, 8);
        let x = load64(t, 16);
        if (x != none && i32_of(x) + load32(t, 24) == host) store64(t, none, 16);
        none = 0L;
        t = t + 32;
      }
    }
    i = i + 1;
  }
}

fn super_range(h: i32, va: i64, size: i64) {
  let c = h + CTX + (((h.tlb - h - TLBS) / TLB_BYTES) << 6) + (va < 0L ? 16 : 0);
  let from = va & (0L - size);
  if (from <u load64(c, 16)) store64(c, from, 16);
  if (from + size >u load64(c, 24)) store64(c, from + size, 24);
}

// A store to a frame with translated code is seen once per fence.i: it marks the frame dirty.
export fn note_store(frame: i32) {
  let flag = FRAME_FLAGS + frame;
  if ((load8u(flag) & 3) == 1) {
    store8(flag, load8u(flag) | 2);
    let n = atomic_add32(M_DIRTY, 1);
    store32(DIRTY_LOG + ((n & 1023) << 2), frame);
  }
}

fn fault_page(h: i32, va: i64, access: i32): i32 {
  raise(h, access == 2 ? 12 : (access == 1 ? 15 : 13), va);
  return 0;
}

fn fault_access(h: i32, va: i64, access: i32): i32 {
  raise(h, access == 2 ? 1 : (access == 1 ? 7 : 5), va);
  return 0;
}

// va → host address for one access (0 read, 1 write, 2 fetch), entering it into the TLB.
// Returns 0 after raising a fault, 1 for a device (its address then stands in h.mmiopa).
export fn walk(h: i32, va: i64, access: i32): i32 {
  let st = h.mstatus;
  let mprv = h.priv == 3 && (st & 0x20000L) != 0L;
  let priv = h.priv;
  if (mprv && access != 2) priv = i32_of(st >>> 11L) & 3;
  let satp = h.satp;
  let pa = va;
  let r = 1; let w = 1; let x = 1;
  let big = 4096L;
  if (priv != 3 && (satp >>> 60L) != 0L) {
    let level = (satp >>> 60L) == 9L ? 3 : 2;
    let top = level == 3 ? 16L : 25L;
    if (((va << top) >> top) != va) return fault_page(h, va, access);
    let table = (satp & 0xfffffffffffL) << 12L;
    let pte = 0L;
    let host = 0;
    loop {
      let at = table + (((va >>> zx(12 + level * 9)) & 0x1ffL) << 3L) - RAM_PA;
      if (at >=u RAM_BYTES) return fault_access(h, va, access);
      host = RAM + i32_of(at);
      pte = load64(host);
      if ((pte & 1L) == 0L || (pte & 6L) == 4L || (pte & 0x1fc0000000000000L) != 0L)
        return fault_page(h, va, access);
      if ((pte & 0xaL) != 0L) break;
      if ((pte & 0xe0000000000000d0L) != 0L || level == 0) return fault_page(h, va, access);
      table = ((pte >>> 10L) & 0xfffffffffffL) << 12L;
      level = level - 1;
    }
    let user = (pte & 16L) != 0L;
    if (priv == 0 ? !user : (user && (access == 2 || (st & 0x40000L) == 0L)))
      return fault_page(h, va, access);
    r = (pte & 2L) != 0L || ((st & 0x80000L) != 0L && (pte & 8L) != 0L);
    w = (pte & 4L) != 0L;
    x = (pte & 8L) != 0L && !(user && priv == 1);
    if (!(access == 0 ? r : (access == 1 ? w : x))) return fault_page(h, va, access);
    if ((pte & 0x6000000000000000L) != 0L) {
      let pbmt = pte & 0x6000000000000000L;
      if ((h.menvcfg & 0x4000000000000000L) == 0L || pbmt == 0x6000000000000000L)
        return fault_page(h, va, access);
    }
    big = 1L << zx(12 + level * 9);
    let ppn = (pte >>> 10L) & 0xfffffffffffL;
    if (((ppn << 12L) & (big - 1L)) != 0L) return fault_page(h, va, access);
    if (pte < 0L) {
      if (level != 0 || (ppn & 15L) != 8L) return fault_page(h, va, access);
      ppn = (ppn & -16L) | ((va >>> 12L) & 15L);
      big = 65536L;
    }
    let bits = access == 1 ? 0xc0L : 0x40L;
    if ((pte & bits) != bits) {
      if ((h.menvcfg & 0x2000000000000000L) == 0L) return fault_page(h, va, access);
      if (atomic_cas64(host, pte, pte | bits) != pte) return walk(h, va, access);
      pte = pte | bits;
    }
    if ((pte & 0x80L) == 0L) w = 0;
    pa = (ppn << 12L) | (va & (level == 0 ? 4095L : big - 1L));
  }
  let off = pa - RAM_PA;
  if (off >=u RAM_BYTES) {
    if (access == 2 || pa >=u 0x80000000L) return fault_access(h, va, access);
    h.mmiopa = pa;
    return 1;
  }
  let frame = i32_of(off >>> 12L);
  if (access == 1) note_store(frame);
  if ((load8u(FRAME_FLAGS + frame) & 3) == 1) w = 0;
  let none = (va & TLB_SLOT) == 0L ? 0x1000L : 0L;
  let page = va & -4096L;
  let e = h.tlb + (i32_of(va >>> 7L) & TLB_MASK);
  if (mprv) { r = r && access == 0; w = w && access == 1; x = x && access == 2; }
  let result = RAM + i32_of(off);
  let map = load32(h.mapdir + (frame << 2));
  store64(e, r ? page : none);
  store64(e, w ? page : none, 8);
  store64(e, x ? page : none, 16);
  store32(e, result - i32_of(va), 24);
  store32(e, map ? map : EMPTY_MAP, 28);
  if (big != 4096L) super_range(h, va, big);
  return result;
}

// Host address for an access within one page, from the TLB when it is there.
inline fn locate(h: i32, va: i64, access: i32): i32 {
  let e = h.tlb + (i32_of(va >>> 7L) & TLB_MASK);
  return load64(e + (access << 3)) == (va & -4096L)
    ? i32_of(va) + load32(e, 24) : walk(h, va, access);
}

fn locate_read(h: i32, va: i64): i32 { return locate(h, va, 0); }
fn locate_write(h: i32, va: i64): i32 { return locate(h, va, 1); }

fn device_load(h: i32, size: i32): i64 {
  let pa = i32_of(h.mmiopa);
  if ((pa & (size - 1)) != 0) return 0L;
  if (size == 8) return zx(mmio_load(h, pa, 4)) | (zx(mmio_load(h, pa + 4, 4)) << 32L);
  return zx(mmio_load(h, pa, size));
}

// The slow half of every load: pages that the TLB does not hold, devices, page crossings.
export fn slow_load(h: i32, va: i64, size: i32): i64 {
  if ((i32_of(va) & 4095) + size > 4096) {
    let value = 0L;
    let i = 0;
    while (i < size) {
      let p = locate_read(h, va + zx(i));
      if (p == 0) return 0L;
      if (p == 1) { raise(h, 5, va); return 0L; }
      value = value | (load8u64(p) << zx(i << 3));
      i = i + 1;
    }
    return value;
  }
  let p = walk(h, va, 0);
  if (p == 0) return 0L;
  if (p == 1) return device_load(h, size);
  if (size == 8) return load64(p);
  if (size == 4) return load32u64(p);
  if (size == 2) return load16u64(p);
  return load8u64(p);
}

export fn slow_store(h: i32, va: i64, value: i64, size: i32) {
  if ((i32_of(va) & 4095) + size > 4096) {
    let last = va + zx(size - 1);
    let a = locate_write(h, va);
    if (a == 0) return;
    let b = locate_write(h, last & -4096L);
    if (b == 0) return;
    if (a == 1 || b == 1) { raise(h, 7, va); return; }
    let i = 0;
    let first = 4096 - (i32_of(va) & 4095);
    while (i < size) {
      store8l(i < first ? a + i : b + i - first, value >>> zx(i << 3));
      i = i + 1;
    }
    return;
  }
  let p = walk(h, va, 1);
  if (p == 0) return;
  if (p == 1) {
    let pa = i32_of(h.mmiopa);
    if ((pa & (size - 1)) != 0) return;
    mmio_store(h, pa, size == 8 ? 4 : size, i32_of(value));
    if (size == 8) mmio_store(h, pa + 4, 4, i32_of(value >>> 32L));
    return;
  }
  if (size == 8) store64(p, value);
  else if (size == 4) store32l(p, value);
  else if (size == 2) store16l(p, value);
  else store8l(p, value);
}

// lr, sc and amo. 'op' is funct5; size 4 or 8. Device memory takes no atomics.
export fn amo(h: i32, op: i32, va: i64, value: i64, size: i32): i64 {
  let write = op != 2;
  if ((i32_of(va) & (size - 1)) != 0) { raise(h, write ? 6 : 4, va); return 0L; }
  let p = write ? locate_write(h, va) : locate_read(h, va);
  if (p == 0) return 0L;
  if (p == 1) { raise(h, write ? 7 : 5, va); return 0L; }
  if (size == 4) {
    let v = i32_of(value);
    switch (op) {
      case 2:
        let got = atomic_load32(p);
        h.resaddr = p; h.resvalue = sx(got);
        return sx(got);
      case 3:
        let mine = h.resaddr == p;
        h.resaddr = 0;
        if (!mine) return 1L;
        return zx(atomic_cas32(p, i32_of(h.resvalue), v) != i32_of(h.resvalue));
      case 0: return sx(atomic_add32(p, v));
      case 1: return sx(atomic_swap32(p, v));
      case 4: return sx(atomic_xor32(p, v));
      case 8: return sx(atomic_or32(p, v));
      case 12: return sx(atomic_and32(p, v));
    }
    loop {
      let old = atomic_load32(p);
      let less = op < 24 ? old < v : old <u v;
      let next = (op & 4) != 0 ? (less ? v : old) : (less ? old : v);
      if (atomic_cas32(p, old, next) == old) return sx(old);
    }
  }
  switch (op) {
    case 2:
      let got = atomic_load64(p);
      h.resaddr = p; h.resvalue = got;
      return got;
    case 3:
      let mine = h.resaddr == p;
      h.resaddr = 0;
      if (!mine) return 1L;
      return zx(atomic_cas64(p, h.resvalue, value) != h.resvalue);
    case 0: return atomic_add64(p, value);
    case 1: return atomic_swap64(p, value);
    case 4: return atomic_xor64(p, value);
    case 8: return atomic_or64(p, value);
    case 12: return atomic_and64(p, value);
  }
  loop {
    let old = atomic_load64(p);
    let less = op < 24 ? old < value : old <u value;
    let next = (op & 4) != 0 ? (less ? value : old) : (less ? old : value);
    if (atomic_cas64(p, old, next) == old) return old;
  }
  return 0L;
}

// cbo.zero on one 64-byte block; cbo.clean, flush, inval only check the address.
export fn cbo(h: i32, op: i32, va: i64) {
  let p = locate_write(h, va & -64L);
  if (p == 0) { h.ftval = va; return; }
  if (p != 1 && op == 4) memory_fill(p, 0, 64);
}
`;
