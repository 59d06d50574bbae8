/**
 * What each floating-point instruction of the table is to do, by the host's own numbers in their
 * one rounding mode. The other modes and the flags are judged in cpu/float.test.ts and by QEMU.
 *
 * Operands and results are register bits: a single stands in the low half under ones.
 */
const view = new DataView(new ArrayBuffer(8));
const canonical = 0x7ff8_0000_0000_0000n;
const upper = 0xffff_ffff_0000_0000n;

export function double(bits: bigint): number {
  view.setBigUint64(0, bits);
  return view.getFloat64(0);
}
export function bitsOf(value: number): bigint {
  if (Number.isNaN(value)) return canonical;
  view.setFloat64(0, value);
  return view.getBigUint64(0);
}
export function single(bits: bigint): number {
  if (bits >> 32n !== 0xffff_ffffn) return NaN;
  view.setUint32(0, Number(bits & 0xffff_ffffn));
  return view.getFloat32(0);
}
export function singleBits(value: number): bigint {
  if (Number.isNaN(value)) return upper | 0x7fc0_0000n;
  view.setFloat32(0, value);
  return upper | BigInt(view.getUint32(0));
}

type Bits = (a: bigint, b: bigint, c: bigint) => bigint;
const flag = (yes: boolean) => (yes ? 1n : 0n);
const negative = (value: number) => value < 0 || Object.is(value, -0);

/** Of minNum and maxNum: a number wins over a NaN, and −0 is below 0. */
function least(a: number, b: number): number {
  if (Number.isNaN(a)) return b;
  if (Number.isNaN(b)) return a;
  return a < b || (a === b && negative(a)) ? a : b;
}

function classOf(value: number, quiet: boolean, tiny: number): bigint {
  if (Number.isNaN(value)) return quiet ? 1n << 9n : 1n << 8n;
  const size = Math.abs(value);
  const n = size === Infinity ? 0 : size === 0 ? 3 : size < tiny ? 2 : 1;
  return 1n << BigInt(negative(value) ? n : 7 - n);
}

function saturated(value: number, low: bigint, high: bigint): bigint {
  if (Number.isNaN(value)) return high;
  if (value === Infinity || value === -Infinity) return value > 0 ? high : low;
  let whole = Math.round(value);
  // Halves go to the even one.
  if (Math.abs(value % 1) === 0.5 && whole % 2 !== 0) whole -= 1;
  const exact = BigInt(whole);
  return exact < low ? low : exact > high ? high : exact;
}
const limits: [bigint, bigint][] = [
  [-(1n << 31n), (1n << 31n) - 1n],
  [0n, (1n << 32n) - 1n],
  [-(1n << 63n), (1n << 63n) - 1n],
  [0n, (1n << 64n) - 1n],
];
const integerOf = (a: bigint, kind: number) =>
  [BigInt.asIntN(32, a), BigInt.asUintN(32, a), BigInt.asIntN(64, a), a][kind]!;

export interface Floating {
  /** Which registers hold its operands and result: f or x. */
  from: 'f' | 'x';
  to: 'f' | 'x';
  meaning: Bits;
}
export const floats: Record<string, Floating> = {};

function define(letter: string, get: (bits: bigint) => number, put: (v: number) => bigint): void {
  const tiny = letter === 'd' ? 2 ** -1022 : 2 ** -126;
  const sign = letter === 'd' ? 1n << 63n : 1n << 31n;
  const quiet = letter === 'd' ? 1n << 51n : 1n << 22n;
  const ff = (name: string, meaning: Bits) =>
    (floats[`${name}.${letter}`] = { from: 'f', to: 'f', meaning });
  const fx = (name: string, meaning: Bits) =>
    (floats[`${name}.${letter}`] = { from: 'f', to: 'x', meaning });
  /** Registers that hold no single count as the canonical NaN. */
  const own = (a: bigint) => (letter === 's' && a >> 32n !== 0xffff_ffffn ? put(NaN) : a);
  ff('fadd', (a, b) => put(get(a) + get(b)));
  ff('fsub', (a, b) => put(get(a) - get(b)));
  ff('fmul', (a, b) => put(get(a) * get(b)));
  ff('fdiv', (a, b) => put(get(a) / get(b)));
  ff('fsqrt', (a) => put(Math.sqrt(get(a))));
  // Exact for the operands of the test, which are small whole numbers and what is not finite.
  ff('fma0', (a, b, c) => put(get(a) * get(b) + get(c)));
  ff('fma1', (a, b, c) => put(get(a) * get(b) - get(c)));
  ff('fma2', (a, b, c) => put(-(get(a) * get(b)) + get(c)));
  ff('fma3', (a, b, c) => put(-(get(a) * get(b)) - get(c)));
  ff('fsgnj0', (a, b) => (own(a) & ~sign) | (own(b) & sign));
  ff('fsgnj1', (a, b) => (own(a) & ~sign) | (~own(b) & sign));
  ff('fsgnj2', (a, b) => own(a) ^ (own(b) & sign));
  ff('fminmax0', (a, b) => put(least(get(a), get(b))));
  ff('fminmax1', (a, b) => put(-least(-get(a), -get(b))));
  fx('fcmp0', (a, b) => flag(get(a) <= get(b)));
  fx('fcmp1', (a, b) => flag(get(a) < get(b)));
  fx('fcmp2', (a, b) => flag(get(a) === get(b)));
  fx('fclass', (a) => classOf(get(a), (own(a) & quiet) !== 0n, tiny));
  limits.forEach(([low, high], kind) => {
    fx(`fcvt.int${kind}`, (a) => {
      const value = saturated(get(a), low, high);
      return kind < 2 ? BigInt.asIntN(32, value) : value;
    });
    const meaning: Bits = (a) => put(Number(integerOf(a, kind)));
    floats[`fcvt.${letter}.int${kind}`] = { from: 'x', to: 'f', meaning };
  });
}
define('d', double, bitsOf);
define('s', single, singleBits);

/** Some halves and what they are. */
export const halves: [bits: bigint, value: number][] = [
  [0x3e00n, 1.5], [0x8000n, -0], [0x7c00n, Infinity], [0x7bffn, 65504], [0x0001n, 2 ** -24],
  [0xfbffn, -65504], [0x7e00n, NaN],
]; // prettier-ignore
const boxed = (half: bigint) => half | 0xffff_ffff_ffff_0000n;
const half = (bits: bigint) => halves.find(([known]) => boxed(known) === bits)?.[1] ?? NaN;
const halfBits = (value: number) =>
  boxed(halves.find(([, known]) => Object.is(known, value))?.[0] ?? 0x7e00n);

Object.assign(floats, {
  'fcvt.s.d': { from: 'f', to: 'f', meaning: (a) => singleBits(double(a)) },
  'fcvt.d.s': { from: 'f', to: 'f', meaning: (a) => bitsOf(single(a)) },
  'fcvt.s.h': { from: 'f', to: 'f', meaning: (a) => singleBits(half(a)) },
  'fcvt.d.h': { from: 'f', to: 'f', meaning: (a) => bitsOf(half(a)) },
  'fcvt.h.s': { from: 'f', to: 'f', meaning: (a) => halfBits(single(a)) },
  'fcvt.h.d': { from: 'f', to: 'f', meaning: (a) => halfBits(double(a)) },
  'fmv.x.w': { from: 'f', to: 'x', meaning: (a) => BigInt.asIntN(32, a) },
  'fmv.x.d': { from: 'f', to: 'x', meaning: (a) => a },
  'fmv.x.h': { from: 'f', to: 'x', meaning: (a) => BigInt.asIntN(16, a) },
  'fmv.w.x': { from: 'x', to: 'f', meaning: (a) => upper | BigInt.asUintN(32, a) },
  'fmv.d.x': { from: 'x', to: 'f', meaning: (a) => a },
  'fmv.h.x': { from: 'x', to: 'f', meaning: (a) => boxed(a & 0xffffn) },
} satisfies Record<string, Floating>);

/** Operands: of one or the other precision, or halves. */
export function operandsOf(name: string): [bigint, bigint, bigint][] {
  const numbers = [1.5, -2, 3, 0, -0, Infinity, -Infinity, NaN, 7, -5];
  const put = name.endsWith('.s') ? singleBits : bitsOf;
  if (/\.[sd]\.h$/.test(name)) return halves.map(([bits]) => [boxed(bits), 0n, 0n]);
  if (/\.h\.[sd]$/.test(name)) return halves.map(([, value]) => [put(value), 0n, 0n]);
  const odd: [bigint, bigint, bigint] = [0x1234_5678n, put(2), put(1)];
  const rows = numbers.map((value, n): [bigint, bigint, bigint] => {
    const next = (by: number) => put(numbers[(n * 3 + by) % numbers.length]!);
    return [put(value), next(1), next(5)];
  });
  // A register that holds no single.
  return name.endsWith('.s') ? [...rows, odd] : rows;
}
