/**
 * Writes the interpreter in W: one function with switches over (opcode, funct3) made from the
 * instruction table. It is the reference that the translator is held against, the dispatcher
 * between translated regions, and it runs what is too rare to translate.
 *
 * Its outer loop stands at every control transfer: faults, mailbox, fuel, page lookup, code map.
 * The next runs straight-line code by host pointer `ip`; pc = delta + ip. Its inner loop is for
 * what needs no call, accesses that the TLB has among it, so that V8 has all in registers there;
 * what it cannot do falls to the loop around it, which can do all.
 */
import { intrinsics } from '../wasm/intrinsics.ts';
import { byKey } from './isa.ts';
import type { Format, Instruction } from './isa.ts';

const immediateSource: Record<Format, string> = {
  I: 'sx(insn >> 20)',
  S: 'sx(((insn >> 25) << 5) | ((insn >>> 7) & 31))',
  B: 'sx(((insn >> 20) & 0xfffff7e0) | ((insn & 0x80) << 4) | ((insn >>> 7) & 0x1e))',
  U: 'sx(insn & 0xfffff000)',
  J: `sx(((insn >> 11) & 0xfff00000) | (insn & 0xff000) | ((insn >>> 9) & 0x800)
    | ((insn >>> 20) & 0x7fe))`,
  H: 'zx((insn >>> 20) & 63)',
  R: '0L',
  N: '0L',
};

const support = `
inline fn r1(h: i32, insn: i32): i64 { return load64(h + ((insn >>> 12) & 0xf8)); }
inline fn r2(h: i32, insn: i32): i64 { return load64(h + ((insn >>> 17) & 0xf8)); }
inline fn g1(h: i32, insn: i32): i64 { return load64(h + ((insn >>> 12) & 0xf8), F); }
inline fn g2(h: i32, insn: i32): i64 { return load64(h + ((insn >>> 17) & 0xf8), F); }
inline fn g3(h: i32, insn: i32): i64 { return load64(h + ((insn >>> 24) & 0xf8), F); }
inline fn wx(h: i32, insn: i32, v: i64) {
  store64(h + ((insn >>> 4) & 0xf8), v);
  store64(h, 0L);
}
inline fn wg(h: i32, insn: i32, v: i64) { store64(h + ((insn >>> 4) & 0xf8), v, F); }
${[1, 2, 4, 8]
  .map((n) => {
    const raw = n === 8 ? 'load64' : n === 4 ? 'load32u64' : n === 2 ? 'load16u64' : 'load8u64';
    const put = n === 8 ? 'store64' : n === 4 ? 'store32l' : n === 2 ? 'store16l' : 'store8l';
    return `
fn load_${n}(h: i32, va: i64): i64 {
  let e = h.tlb + (i32_of(va >>> 7L) & TLB_MASK);
  if ((va - load64(e)) <u ${4097 - n}L) return ${raw}(i32_of(va) + load32(e, 24));
  return slow_load(h, va, ${n});
}
fn store_${n}(h: i32, va: i64, v: i64) {
  let e = h.tlb + (i32_of(va >>> 7L) & TLB_MASK);
  if ((va - load64(e, 8)) <u ${4097 - n}L) ${put}(i32_of(va) + load32(e, 24), v);
  else slow_store(h, va, v, ${n});
}`;
  })
  .join('')}
inline fn ld8u(h: i32, va: i64): i64 { return load_1(h, va); }
inline fn ld16u(h: i32, va: i64): i64 { return load_2(h, va); }
inline fn ld32u(h: i32, va: i64): i64 { return load_4(h, va); }
inline fn ld64(h: i32, va: i64): i64 { return load_8(h, va); }
inline fn ld8s(h: i32, va: i64): i64 { return sx8(load_1(h, va)); }
inline fn ld16s(h: i32, va: i64): i64 { return sx16(load_2(h, va)); }
inline fn ld32s(h: i32, va: i64): i64 { return sx32(load_4(h, va)); }
inline fn st8(h: i32, va: i64, v: i64) { store_1(h, va, v); }
inline fn st16(h: i32, va: i64, v: i64) { store_2(h, va, v); }
inline fn st32(h: i32, va: i64, v: i64) { store_4(h, va, v); }
inline fn st64(h: i32, va: i64, v: i64) { store_8(h, va, v); }

// The 32-bit instruction whose second half stands on the next page.
fn fetch_across(h: i32, pc: i64, low: i32): i32 {
  let next = pc + 2L;
  let p = locate(h, next, 2);
  if (p == 0) return 0;
  return low | (load16u(p) << 16);
}
`;

function operands(code: string, n: Instruction): string {
  return code
    .replaceAll(/\brs1\b/g, 'r1(h, insn)')
    .replaceAll(/\brs2\b/g, 'r2(h, insn)')
    .replaceAll(/\bfs1\b/g, 'g1(h, insn)')
    .replaceAll(/\bfs2\b/g, 'g2(h, insn)')
    .replaceAll(/\bfs3\b/g, 'g3(h, insn)')
    .replaceAll(/\braw\b/g, 'insn')
    .replaceAll(/\bimm\b/g, immediateSource[n.format])
    .replaceAll(/\bpc\b/g, '(delta + zx(ip))');
}

function effect(n: Instruction): string {
  const code = operands(n.code, n);
  const write = /^(rd|fd) = (.*);$/.exec(code);
  const leave = 'if (h.fault) { pc = delta + zx(ip); break; }';
  const into = write?.[1] === 'fd' ? 'wg' : 'wx';
  const faults = n.kind === 'mem' || n.kind === 'fpmem';
  const bare = write === null ? `${code} ${faults ? leave : ''}` : '';
  const assign = faults
    ? `let v = ${write?.[2]}; ${leave} ${into}(h, insn, v);`
    : `${into}(h, insn, ${write?.[2]});`;
  const body = write === null ? bare : assign;
  if (n.kind !== 'fp' && n.kind !== 'fpmem') return body;
  const on = 'if (!fp_on(h)) { ILLEGAL }';
  if (!n.rounded) return `${on} ${body}`;
  return `let rm = fp_rm(h, insn); if (rm == 7) { ILLEGAL } ${on} ${body}`;
}

function action(n: Instruction): string {
  switch (n.kind) {
    case 'branch':
      return `if (${operands(n.code, n)}) { pc = delta + zx(ip) + ${immediateSource.B}; break; }`;
    case 'jal':
      return `pc = delta + zx(ip); wx(h, insn, delta + zx(next));
        pc = pc + ${immediateSource.J}; break;`;
    case 'jalr':
      return `pc = (r1(h, insn) + sx(insn >> 20)) & -2L;
        wx(h, insn, delta + zx(next)); break;`;
    case 'system':
      // A CSR instruction is mostly followed by the next; the others may change what that is.
      return `pc = delta + zx(ip); h.pc = pc; h.raw = insn; h.fuel = fuel; here = 1L;
        let t = h.tlb;
        if (system(h, insn)) { pc = h.pc; break; }
        if (h.fault) break;
        pc = delta + zx(next);
        if ((insn & 0x3000) == 0 || h.tlb != t || load32(h + POKE) != 0) break;`;
    case 'fencei':
      return 'pc = delta + zx(next); h.pc = pc; here = 1L; fence_i(h); break;';
    default:
      return effect(n);
  }
}

const quickLoads: Record<string, [word: string, bytes: number]> = {
  ld8s: ['load8s64', 1], ld16s: ['load16s64', 2], ld32s: ['load32s64', 4], ld64: ['load64', 8],
  ld8u: ['load8u64', 1], ld16u: ['load16u64', 2], ld32u: ['load32u64', 4],
}; // prettier-ignore
const quickStores: Record<string, [word: string, bytes: number]> = {
  st8: ['store8l', 1], st16: ['store16l', 2], st32: ['store32l', 4], st64: ['store64', 8],
};
const toSlow = '{ slow = 1; break; }';

/** Where the TLB has it, as `load_8` and `store_8` do it; else it is slow. */
function quickAccess(n: Instruction): string | null {
  const load = /^rd = (ld\w+)\(/.exec(n.code)?.[1];
  const store = /^(st\d+)\(/.exec(n.code)?.[1];
  const [word, bytes] = quickLoads[load ?? ''] ?? quickStores[store ?? ''] ?? [];
  if (word === undefined) return null;
  const look = `let va = r1(h, insn) + ${immediateSource[n.format]};
    let e = h.tlb + (i32_of(va >>> 7L) & TLB_MASK);
    if ((va - load64(e, ${load === undefined ? 8 : 0})) >=u ${4097 - bytes!}L) ${toSlow}
    let at = i32_of(va) + load32(e, 24);`;
  return load === undefined
    ? `${look} ${word}(at, r2(h, insn));`
    : `${look} wx(h, insn, ${word}(at));`;
}

/** Goes on at `to`, a host pointer, by way of the outer loop. */
const leave = (to: string) => `{ pc = h.codedelta + zx(ip) + sx(${to} - ip); break; }`;

/**
 * On at `to`, a host pointer: when that is in the same page, nobody has translated it or wants it
 * to be, and nothing else waits, without the outer loop's help.
 */
const goOn = (to: string) => `
  let to = ${to};
  if (((to ^ ip) & -4096) | load16u(h.codemap + (to & 0xffe)) | h.poke) ${leave('to')}
  let c = h + ((((to >>> 1) ^ (to >>> 13)) & HEAT_MASK) << 1);
  let n = load16u(c, HEAT) + 1;
  if (n >u h.threshold - 1) ${leave('to')}
  if (fuel <= 0) ${leave('to')}
  store16(c, n, HEAT);
  ip = to;
  continue;`;

/** What the inner loop does; null for what takes a call. */
function quickAction(n: Instruction): string | null {
  switch (n.kind) {
    case 'branch':
      return `if (${operands(n.code, n)}) { ${goOn(`ip + i32_of(${immediateSource.B})`)} }`;
    case 'jal':
      return `wx(h, insn, h.codedelta + zx(next)); ${goOn(`ip + i32_of(${immediateSource.J})`)}`;
    case 'jalr':
      return action(n).replaceAll('delta', 'h.codedelta');
    case 'mem':
      return quickAccess(n);
    case 'plain': {
      const words = [...n.code.matchAll(/(\w+)\(/g)].map(([, word]) => word!);
      const simple = words.every((word) => word === 'select' || intrinsics.has(word));
      return simple ? effect(n).replaceAll('delta', 'h.codedelta') : null;
    }
    default:
      return null;
  }
}

const hex = (n: number) => `0x${(n >>> 0).toString(16)}`;
const key = '((insn << 1) & 0xf8) | ((insn >> 12) & 7)';

/** The switch's cases, each for the keys with the same instructions, which try to match in turn. */
function cases(act: (n: Instruction) => string, none: string): string {
  const bodies = new Map<string, number[]>();
  byKey.forEach((group, at) => {
    if (group.length === 0) return;
    let body = '';
    for (const n of group) {
      const opcodeMask = (n.mask & ~0x7f & ~((n.mask & 0x7000) === 0x7000 ? 0x7000 : 0)) >>> 0;
      const test = `(insn & ${hex(opcodeMask)}) == ${hex(n.match & opcodeMask)}`;
      if (opcodeMask === 0) {
        body += `{ ${act(n)} }`;
        break;
      }
      body += `if (${test}) { ${act(n)} } else `;
    }
    if (body.endsWith('else ')) body += `{ ${none} }`;
    bodies.set(body, [...(bodies.get(body) ?? []), at]);
  });
  return [...bodies].map(([body, keys]) => `case ${keys.join(', ')}: ${body}\n`).join('');
}

const illegalSource = `
  h.raw = next == ip + 2 ? load16u(ip) : insn;
  raise(h, 2, zx(h.raw));
  pc = delta + zx(ip);
  break;
`;

/** Why `run` came back. */
export const ran = { fuel: 1, wait: 2, attention: 3 } as const;

const regionCalls = `
// What an empty table slot holds: back to 'run'.
export fn region_stub(h: i32, fuel: i32, room: i32): i32 { return fuel; }

// The first half word of the page behind pc's, -1 when the TLB does not fetch from there.
fn half_behind(h: i32, pc: i64): i32 {
  let va = (pc & -4096L) + 4096L;
  let e = h.tlb + (i32_of(va >>> 7L) & TLB_MASK);
  return load64(e, 16) == va ? load16u(i32_of(va) + load32(e, 24)) : -1;
}

import fn hot(h: i32, ip: i32, behind: i32): i32;
`;

/** At a control transfer: the page, unless it is the same one, then the region if there is one. */
const lookup = `
  if (here != (pc & -4096L)) {
    let e = h.tlb + (i32_of(pc >>> 7L) & TLB_MASK);
    here = pc & -4096L;
    if (load64(e, 16) == here) {
      map = load32(e, 28);
      ip = i32_of(pc) + load32(e, 24);
    } else {
      here = 1L;
      map = EMPTY_MAP;
      ip = walk(h, pc, 2);
      if (ip == 0) continue;
    }
    delta = pc - zx(ip);
  }
  let slot = load16u(map + (i32_of(pc) & 0xffe));
  if (slot) {
    h.pc = pc;
    h.unwind = 0;
    fuel = invoke(slot, h, fuel, CALL_ROOM);
    pc = h.pc;
    translated = 1;
    here = 1L;
    continue;
  }
  ip = i32_of(pc - delta);
  if (h.threshold) {
    let c = h + HEAT + ((((ip >>> 1) ^ (ip >>> 13)) & HEAT_MASK) << 1);
    let n = load16u(c) + 1;
    store16(c, n);
    if (n >= h.threshold) {
      store16(c, 0);
      h.pc = pc;
      here = 1L;
      if (hot(h, ip, half_behind(h, pc))) continue;
    }
  }
`;

/**
 * From `ip` to the next control transfer that needs the outer loop. What is alive in the inner loop
 * fits the host's registers, hence the fields.
 */
function straightLine(): string {
  return `
  translated = 0;
  let end = (ip | 4095) + 1;
  h.codemap = map;
  h.codedelta = delta;
  let slow = 0;
  let insn = 0;
  let next = 0;
  loop {
    loop {
      next = ip + 4;
      insn = load32(ip);
      if ((insn & 3) != 3) {
        insn = load32(EXPAND + ((insn & 0xffff) << 2));
        next = ip + 2;
      } else if ((ip & 4095) == 4094) { slow = 2; break; }
      fuel = fuel - 1;
      switch (${key}) {
        ${cases((n) => quickAction(n) ?? toSlow, 'slow = 1; break;')}
        default: slow = 1; break;
      }
      ip = next;
      if ((ip & 4095) == 0) { pc = h.codedelta + zx(ip); break; }
      if (fuel <= 0) { pc = h.codedelta + zx(ip); break; }
    }
    if (slow == 0) break;
    if (slow == 2) {
      insn = fetch_across(h, delta + zx(ip), insn & 0xffff);
      if (h.fault) { pc = delta + zx(ip); break; }
      fuel = fuel - 1;
    }
    slow = 0;
    switch (${key}) {
      ${cases(action, 'ILLEGAL').replaceAll('ILLEGAL', illegalSource)}
      default: ${illegalSource}
    }
    ip = next;
    if ((ip >=u end) | (fuel <= 0)) { pc = delta + zx(ip); break; }
  }
`;
}

export function interpreterSource(): string {
  return `${support}${regionCalls}
// Runs until the fuel is gone, the hart waits, or the mailbox asks for the host's attention
// (poke bits 8 and up, which stay set). Poke bit 1: look at interrupts; 4: wfi. When the fuel is
// gone, h.intranslated says which engine used the last of it.
export fn run(h: i32): i32 {
  let fuel = h.fuel;
  let pc = h.pc;
  let ip = 0;
  let delta = 0L;
  let translated = 0;
  let here = 1L;
  let map = 0;
  loop {
    if (h.fault) {
      h.pc = pc; h.fuel = fuel;
      deliver_fault(h);
      h.fueltop = h.fueltop - 1L; // costs fuel, as its vector may fault again, and retires nothing
      pc = h.pc; fuel = h.fuel - 1; here = 1L;
    }
    if ((load32(h + POKE) != 0) | (fuel <= 0)) {
      h.pc = pc; h.fuel = fuel;
      if (load32(h + POKE) != 0) {
        let bits = atomic_and32(h + POKE, ~7);
        if (take_interrupt(h)) { pc = h.pc; h.waiting = 0; here = 1L; }
        if ((bits & 0xff8) != 0) return 3;
        if (h.waiting && wanted(h)) h.waiting = 0;
        if (h.waiting) return 2;
      }
      if (fuel <= 0) { h.intranslated = translated; return 1; }
    }
    ${lookup}
    ${straightLine()}
  }
  return 0;
}
`;
}
