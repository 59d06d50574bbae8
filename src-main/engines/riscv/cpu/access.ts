/**
 * The slow path of every guest load and store, in W: pages that the TLB does not hold, devices,
 * accesses across a page's end; and all atomics.
 */
export const accessSource = `
import fn mmio_load(h: i32, pa: i32, size: i32): i32;
import fn mmio_store(h: i32, pa: i32, size: i32, value: i32);

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
  let p = locate_read(h, va);
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
  let p = locate_write(h, va);
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

// cbo.zero on one 64-byte block; cbo.clean, flush, inval only check the address: where a load may
// go they may, and where none may they fault as a store (Zicbom 2.5.2).
export fn cbo(h: i32, op: i32, va: i64) {
  let p = op == 4 ? locate_write(h, va & -64L) : locate_read(h, va & -64L);
  if (p == 0) {
    if (op != 4) h.fault = h.fault + 2;
    h.ftval = va;
    return;
  }
  if (p == 1 || op != 4) return;
  // The host's own fill is a call of its own.
  store64(p, 0L); store64(p, 0L, 8); store64(p, 0L, 16); store64(p, 0L, 24);
  store64(p, 0L, 32); store64(p, 0L, 40); store64(p, 0L, 48); store64(p, 0L, 56);
}
`;
