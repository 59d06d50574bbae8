/**
 * The software TLB, its contexts and the fences, in W.
 *
 * A TLB entry is 32 bytes: tag for reads, tag for writes, tag for fetches (i64 each; the page's
 * address, or a page that cannot stand in this slot), then `host - va` and the frame's code map
 * (i32 each). An access of n bytes hits when `va - tag <u 4097 - n`.
 *
 * A context is one such table and says whose it is, which is all that `walk` goes by:
 *    0 satp    8 key    12 gen    16 two ranges that hold superpages    48 hgatp of level 0, 1
 * Key: 0–1 privilege, 2 SUM and 3 MXR of the first stage, 4 MPRV (fetches are M's), 5 V, 6 HS's
 * MXR; of a guest's guest also 7, 8 MXR of the guest around it, and from 10 on that one's bank.
 * Switching never flushes. A fence makes contexts stale (`gen`), and a stale one is emptied when
 * it is next selected.
 */
export const mmuSource = `
fn raise(h: i32, cause: i32, tval: i64) {
  h.fault = cause + 1;
  h.ftval = tval;
  h.faultgva = key_level(load32(context_of(h), 8));
}

fn tlb_clear(t: i32) {
  memory_fill(t, 0, TLB_BYTES);
  store64(t, 0x1000L); store64(t, 0x1000L, 8); store64(t, 0x1000L, 16);
}

fn context_of(h: i32): i32 {
  return h + CTX + (((h.tlb - h - TLBS) /u TLB_BYTES) << 6);
}

fn key_level(key: i32): i32 { return ((key >>> 5) & 1) + ((key >>> 7) & 1); }

fn mode_key(h: i32, priv: i32, level: i32): i32 {
  let key = priv | (i32_of(status_of(h, level) >>> 16L) & 0xc);
  if (level == 0) return key;
  key = key | 32 | (i32_of(status_of(h, 0) >>> 13L) & 64);
  if (level == 1) return key;
  let bank = (i32_of(h.hstatus >>> 50L) & 0x3ff) << 10;
  return key | 128 | (i32_of(status_of(h, 1) >>> 11L) & 256) | bank;
}

// Points h.tlb at the table for the present satp, privilege, V, SUM, MXR and MPRV.
fn set_context(h: i32) {
  let st = h.mstatus;
  let mpp = i32_of(st >>> 11L) & 3;
  if (h.priv == 3 && (st & 0x20000L) != 0L && mpp != 3)
    select_context(h, mode_key(h, mpp, i32_of(st >>> 39L) & 1) | 16);
  else select_context(h, mode_key(h, h.priv, h.virt));
}

// A guest's bank comes to this hart: what other harts have fenced for it since is not known here.
fn settle_bank(h: i32) {
  let b = guest_bank(h);
  let here = zx(h.hartid) + 1L;
  if (h.deepbank == b && b.bankhart == here) return;
  memory_fill(h + CTX_FAST, 0, 1024);
  h.deepbank = b;
  b.bankused = 1L;
  if (b.bankhart == here) return;
  b.bankhart = here;
  let i = 0;
  while (i < CTX_COUNT) {
    let c = h + CTX + (i << 6);
    if (load32(c, 12) != 0 && (load32(c, 8) & 128) != 0) store32(c, -1, 12);
    i = i + 1;
  }
}

fn select_context(h: i32, key: i32) {
  let level = key_level(key);
  if (level == 2) settle_bank(h);
  let fast = h + CTX_FAST + ((key & 255) << 2);
  let t = (key & 256) ? 0 : load32(fast);
  if (t) { h.tlb = t; return; }
  let satp = satp_of(h, level);
  let hgatp = level ? h.hgatp : 0L;
  let deep = level == 2 ? guest_bank(h).hgatp : 0L;
  let i = 0;
  let c = 0;
  let found = -1;
  while (i < CTX_COUNT) {
    c = h + CTX + (i << 6);
    if (load64(c) == satp && load32(c, 8) == key && load32(c, 12) != 0
      && load64(c, 48) == hgatp && load64(c, 56) == deep) {
      found = i;
      break;
    }
    i = i + 1;
  }
  if (found < 0) {
    found = h.ctxnext;
    // Not the one in force: by the table changing, running code knows that it must fetch anew.
    if (h + TLBS + found * TLB_BYTES == h.tlb) found = (found + 1) & (CTX_COUNT - 1);
    h.ctxnext = (found + 1) & (CTX_COUNT - 1);
    c = h + CTX + (found << 6);
    memory_fill(h + CTX_FAST, 0, 1024);
    store64(c, satp);
    store32(c, key, 8);
    store32(c, 0, 12);
    store64(c, hgatp, 48);
    store64(c, deep, 56);
  }
  t = h + TLBS + found * TLB_BYTES;
  if (load32(c, 12) != h.gen) {
    tlb_clear(t);
    store32(c, h.gen, 12);
    store64(c, -1L, 16); store64(c, 0L, 24); store64(c, -1L, 32); store64(c, 0L, 40);
  }
  if ((key & 256) == 0) store32(fast, t);
  h.tlb = t;
}

fn reselect(h: i32) {
  memory_fill(h + CTX_FAST, 0, 1024);
  set_context(h);
}

export fn flush_all(h: i32) {
  h.unwind = 1;
  h.gen = h.gen + 1;
  if (h.gen == 0) h.gen = 1;
  reselect(h);
}

fn drop_entry(t: i32, va: i64) {
  let e = t + (i32_of(va >>> 7L) & TLB_MASK);
  let page = va & -4096L;
  if (load64(e) == page || load64(e, 8) == page || load64(e, 16) == page) {
    let none = (va & TLB_SLOT) == 0L ? 0x1000L : 0L;
    store64(e, none); store64(e, none, 8); store64(e, none, 16);
  }
}

// Whose translations a fence is about: those with V=0 are of space -1, a guest's of its VMID, and
// those of a guest's guest of its VMID among all such.
fn vmid_of(hgatp: i64): i32 { return i32_of(hgatp >>> 44L) & 0x3fff; }

fn space_below(level: i32, hgatp: i64): i32 { return vmid_of(hgatp) | level << 14; }

fn space_of(c: i32): i32 {
  let level = key_level(load32(c, 8)) - 1;
  return level < 0 ? -1 : space_below(level, load64(c + (level << 3), 48));
}

fn present_space(h: i32): i32 {
  return h.virt ? space_below(h.virt - 1, over(h).hgatp) : -1;
}

fn concerns(c: i32, space: i32, asid: i32): i32 {
  if (asid >= 0 && (i32_of(load64(c) >>> 44L) & 0xffff) != asid) return 0;
  return space_of(c) == space;
}

// One page of one space; asid < 0 means all of them. A page of a superpage empties its context.
export fn fence_page(h: i32, va: i64, asid: i32, space: i32) {
  h.unwind = 1;
  let i = 0;
  let stale = 0;
  while (i < CTX_COUNT) {
    let c = h + CTX + (i << 6);
    if (load32(c, 12) == h.gen && concerns(c, space, asid)) {
      let lo = va < 0L ? load64(c, 32) : load64(c, 16);
      let hi = va < 0L ? load64(c, 40) : load64(c, 24);
      if (va >=u lo && va <u hi) { store32(c, -1, 12); stale = 1; }
      else drop_entry(h + TLBS + i * TLB_BYTES, va);
    }
    i = i + 1;
  }
  if (stale) reselect(h);
}

// Everything of one space and, where asid >= 0, one address space in it.
export fn fence_space(h: i32, asid: i32, space: i32) {
  h.unwind = 1;
  let i = 0;
  while (i < CTX_COUNT) {
    let c = h + CTX + (i << 6);
    if (load32(c, 12) != 0 && concerns(c, space, asid)) store32(c, -1, 12);
    i = i + 1;
  }
  reselect(h);
}

// hfence.gvma of a level: what all stages before it made of its second one. vmid < 0 means all.
export fn fence_guest(h: i32, level: i32, vmid: i32) {
  h.unwind = 1;
  let i = 0;
  while (i < CTX_COUNT) {
    let c = h + CTX + (i << 6);
    let own = vmid_of(load64(c + (level << 3), 48));
    if (key_level(load32(c, 8)) > level && load32(c, 12) != 0 && (vmid < 0 || vmid == own))
      store32(c, -1, 12);
    i = i + 1;
  }
  reselect(h);
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
  let c = context_of(h) + (va < 0L ? 16 : 0);
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
`;
