/**
 * What each instruction of the table is to do, written down once more in plain TypeScript from the
 * manual: values are unsigned 64-bit, results are cut to that. `every-instruction.test.ts` holds
 * the engines against it and fails for an instruction that has no meaning here.
 */
export type Integer = (a: bigint, b: bigint) => bigint;

const s = (a: bigint) => BigInt.asIntN(64, a);
const w = (a: bigint) => BigInt.asIntN(32, a);
const u = (a: bigint) => BigInt.asUintN(64, a);
const uw = (a: bigint) => BigInt.asUintN(32, a);
const flag = (yes: boolean) => (yes ? 1n : 0n);
const by = (b: bigint) => b & 63n;
const byW = (b: bigint) => b & 31n;
const width = (a: bigint, bits: number) => bits - (a === 0n ? 0 : a.toString(2).length);
const ones = (a: bigint) => BigInt(a.toString(2).replaceAll('0', '').length);
const trailing = (a: bigint, bits: number) =>
  BigInt(a === 0n ? bits : /0*$/.exec(a.toString(2))![0].length);
const bytes = (a: bigint, change: (bytes: string[]) => string[]) =>
  BigInt(`0x${change(a.toString(16).padStart(16, '0').match(/../g)!).join('')}`);
const turn = (a: bigint, n: bigint, bits: bigint) => (a << n) | (a >> ((bits - n) % bits));
const quotient = (a: bigint, b: bigint) => (b === 0n ? -1n : a / b);
const rest = (a: bigint, b: bigint) => (b === 0n ? a : a % b);

/** rd from rs1 and rs2, or from rs1 and an immediate for those that end in i. */
export const integers: Record<string, Integer> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  sll: (a, b) => a << by(b),
  slt: (a, b) => flag(s(a) < s(b)),
  sltu: (a, b) => flag(a < b),
  xor: (a, b) => a ^ b,
  srl: (a, b) => a >> by(b),
  sra: (a, b) => s(a) >> by(b),
  or: (a, b) => a | b,
  and: (a, b) => a & b,
  addw: (a, b) => w(a + b),
  subw: (a, b) => w(a - b),
  sllw: (a, b) => w(a << byW(b)),
  srlw: (a, b) => w(uw(a) >> byW(b)),
  sraw: (a, b) => w(a) >> byW(b),
  mul: (a, b) => a * b,
  mulh: (a, b) => (s(a) * s(b)) >> 64n,
  mulhsu: (a, b) => (s(a) * b) >> 64n,
  mulhu: (a, b) => (a * b) >> 64n,
  div: (a, b) => quotient(s(a), s(b)),
  divu: (a, b) => quotient(a, b),
  rem: (a, b) => rest(s(a), s(b)),
  remu: (a, b) => rest(a, b),
  mulw: (a, b) => w(a * b),
  divw: (a, b) => w(quotient(w(a), w(b))),
  divuw: (a, b) => w(quotient(uw(a), uw(b))),
  remw: (a, b) => w(rest(w(a), w(b))),
  remuw: (a, b) => w(rest(uw(a), uw(b))),
  'add.uw': (a, b) => uw(a) + b,
  sh1add: (a, b) => (a << 1n) + b,
  sh2add: (a, b) => (a << 2n) + b,
  sh3add: (a, b) => (a << 3n) + b,
  'sh1add.uw': (a, b) => (uw(a) << 1n) + b,
  'sh2add.uw': (a, b) => (uw(a) << 2n) + b,
  'sh3add.uw': (a, b) => (uw(a) << 3n) + b,
  andn: (a, b) => a & ~b,
  orn: (a, b) => a | ~b,
  xnor: (a, b) => ~(a ^ b),
  max: (a, b) => (s(a) > s(b) ? a : b),
  maxu: (a, b) => (a > b ? a : b),
  min: (a, b) => (s(a) < s(b) ? a : b),
  minu: (a, b) => (a < b ? a : b),
  rol: (a, b) => turn(a, by(b), 64n),
  ror: (a, b) => turn(a, (64n - by(b)) % 64n, 64n),
  rolw: (a, b) => w(turn(uw(a), byW(b), 32n)),
  rorw: (a, b) => w(turn(uw(a), (32n - byW(b)) % 32n, 32n)),
  bclr: (a, b) => a & ~(1n << by(b)),
  bext: (a, b) => (a >> by(b)) & 1n,
  binv: (a, b) => a ^ (1n << by(b)),
  bset: (a, b) => a | (1n << by(b)),
  'czero.eqz': (a, b) => (b === 0n ? 0n : a),
  'czero.nez': (a, b) => (b !== 0n ? 0n : a),
};

/** rd from rs1 alone. */
export const unary: Record<string, (a: bigint) => bigint> = {
  clz: (a) => BigInt(width(a, 64)),
  ctz: (a) => trailing(a, 64),
  cpop: ones,
  clzw: (a) => BigInt(width(uw(a), 32)),
  ctzw: (a) => trailing(uw(a), 32),
  cpopw: (a) => ones(uw(a)),
  'sext.b': (a) => BigInt.asIntN(8, a),
  'sext.h': (a) => BigInt.asIntN(16, a),
  'zext.h': (a) => a & 0xffffn,
  'orc.b': (a) => bytes(a, (all) => all.map((byte) => (byte === '00' ? '00' : 'ff'))),
  rev8: (a) => bytes(a, (all) => all.reverse()),
};

/** Immediate forms: which of the above they are, and the immediates to try. */
const small = [0, 1, -1, 2047, -2048, 85];
const shifts = [0, 1, 31, 32, 63];
const shiftsW = [0, 1, 31];
export const immediates: Record<string, [Integer, number[]]> = {
  addi: [integers['add']!, small],
  slti: [integers['slt']!, small],
  sltiu: [integers['sltu']!, small],
  xori: [integers['xor']!, small],
  ori: [integers['or']!, small],
  andi: [integers['and']!, small],
  addiw: [integers['addw']!, small],
  slli: [integers['sll']!, shifts],
  srli: [integers['srl']!, shifts],
  srai: [integers['sra']!, shifts],
  slliw: [integers['sllw']!, shiftsW],
  srliw: [integers['srlw']!, shiftsW],
  sraiw: [integers['sraw']!, shiftsW],
  'slli.uw': [(a, b) => uw(a) << by(b), shifts],
  rori: [integers['ror']!, shifts],
  roriw: [integers['rorw']!, shiftsW],
  bclri: [integers['bclr']!, shifts],
  bexti: [integers['bext']!, shifts],
  binvi: [integers['binv']!, shifts],
  bseti: [integers['bset']!, shifts],
};

export const branches: Record<string, (a: bigint, b: bigint) => boolean> = {
  beq: (a, b) => a === b,
  bne: (a, b) => a !== b,
  blt: (a, b) => s(a) < s(b),
  bge: (a, b) => s(a) >= s(b),
  bltu: (a, b) => a < b,
  bgeu: (a, b) => a >= b,
};

/** What a load makes of the eight bytes at its address. */
export const loads: Record<string, (a: bigint) => bigint> = {
  lb: (a) => BigInt.asIntN(8, a),
  lh: (a) => BigInt.asIntN(16, a),
  lw: w,
  ld: (a) => a,
  lbu: (a) => a & 0xffn,
  lhu: (a) => a & 0xffffn,
  lwu: uw,
  flh: (a) => (a & 0xffffn) | 0xffff_ffff_ffff_0000n,
  flw: (a) => uw(a) | 0xffff_ffff_0000_0000n,
  fld: (a) => a,
};

/** How many bits of a register a store puts over those eight bytes. */
export const stores: Record<string, bigint> = {
  sb: 8n, sh: 16n, sw: 32n, sd: 64n, fsh: 16n, fsw: 32n, fsd: 64n,
}; // prettier-ignore

/** What an AMO leaves in memory, from what was there and rs2; `.w` on the low half. */
const amo: Record<string, Integer> = {
  amoadd: (old, b) => old + b,
  amoswap: (_, b) => b,
  amoxor: (old, b) => old ^ b,
  amoor: (old, b) => old | b,
  amoand: (old, b) => old & b,
  amomin: integers['min']!,
  amomax: integers['max']!,
  amominu: integers['minu']!,
  amomaxu: integers['maxu']!,
};
export const atomics: Record<string, Integer> = {};
for (const [name, change] of Object.entries(amo)) {
  atomics[`${name}.d`] = (old, b) => u(change(old, b));
  atomics[`${name}.w`] = (old, b) => (old & ~0xffff_ffffn) | uw(change(u(w(old)), u(w(b))));
}
