/**
 * The instruction table: for each instruction its encoding, its immediate format and what it does,
 * in W over the names rd, rs1, rs2, rs3, fd, fs1…, imm, pc, rm, raw (its bits) and the guest memory
 * words. Interpreter and translator are both made from it, so an instruction is described once.
 *
 * `kind` says what else an engine must do: 'plain' cannot fault; 'mem' may leave h.fault set, and
 * then rd is not written; 'fp' needs the FPU switched on (and may take a rounding mode); 'branch'
 * is a condition; 'jal', 'jalr', 'system', 'fencei' are the engines' own affair.
 */
export type Kind =
  | 'plain' | 'mem' | 'fp' | 'fpmem' | 'branch' | 'jal' | 'jalr' | 'system'
  | 'fencei'; // prettier-ignore
export type Format = 'R' | 'I' | 'S' | 'B' | 'U' | 'J' | 'H' | 'N';

export interface Instruction {
  /** Its place in the table, for what others know of it. */
  index: number;
  name: string;
  match: number;
  mask: number;
  format: Format;
  kind: Kind;
  code: string;
  /** A static or dynamic rounding mode in funct3 takes part. */
  rounded: boolean;
}

const list: Instruction[] = [];

function put(
  name: string, match: number, mask: number, format: Format, kind: Kind, code: string,
  rounded = false,
): void { // prettier-ignore
  const index = list.length;
  list.push({ index, name, match: match >>> 0, mask: mask >>> 0, format, kind, code, rounded });
}

const f3 = (n: number) => n << 12;
const f7 = (n: number) => n << 25;
const maskR = 0xfe00707f;
const maskI = 0x707f;

function r(name: string, opcode: number, funct3: number, funct7: number, code: string): void {
  put(name, opcode | f3(funct3) | f7(funct7), maskR, 'R', 'plain', `rd = ${code};`);
}
function i(name: string, opcode: number, funct3: number, code: string): void {
  put(name, opcode | f3(funct3), maskI, 'I', 'plain', `rd = ${code};`);
}
/** Shift by immediate: 'H' takes bits 25:20; the word forms need bit 25 clear. */
function sh(name: string, opcode: number, funct3: number, top: number, code: string): void {
  const mask = opcode === 0x1b ? 0xfe00707f : 0xfc00707f;
  put(name, opcode | f3(funct3) | (top << 26), mask, 'H', 'plain', `rd = ${code};`);
}
/** One operand; everything but rd and rs1 is fixed. */
function u(name: string, opcode: number, funct3: number, imm12: number, code: string): void {
  put(name, opcode | f3(funct3) | (imm12 << 20), 0xfff0707f, 'R', 'plain', `rd = ${code};`);
}

put('lui', 0x37, 0x7f, 'U', 'plain', 'rd = imm;');
put('auipc', 0x17, 0x7f, 'U', 'plain', 'rd = pc + imm;');
put('jal', 0x6f, 0x7f, 'J', 'jal', '');
put('jalr', 0x67, maskI, 'I', 'jalr', '');
put('beq', 0x63 | f3(0), maskI, 'B', 'branch', 'rs1 == rs2');
put('bne', 0x63 | f3(1), maskI, 'B', 'branch', 'rs1 != rs2');
put('blt', 0x63 | f3(4), maskI, 'B', 'branch', 'rs1 < rs2');
put('bge', 0x63 | f3(5), maskI, 'B', 'branch', 'rs1 >= rs2');
put('bltu', 0x63 | f3(6), maskI, 'B', 'branch', 'rs1 <u rs2');
put('bgeu', 0x63 | f3(7), maskI, 'B', 'branch', 'rs1 >=u rs2');

const loads = ['ld8s', 'ld16s', 'ld32s', 'ld64', 'ld8u', 'ld16u', 'ld32u'];
['lb', 'lh', 'lw', 'ld', 'lbu', 'lhu', 'lwu'].forEach((name, n) =>
  put(name, 0x03 | f3(n), maskI, 'I', 'mem', `rd = ${loads[n]}(h, rs1 + imm);`),
);
['sb', 'sh', 'sw', 'sd'].forEach((name, n) =>
  put(name, 0x23 | f3(n), maskI, 'S', 'mem', `st${8 << n}(h, rs1 + imm, rs2);`),
);

i('addi', 0x13, 0, 'rs1 + imm');
i('slti', 0x13, 2, 'zx(rs1 < imm)');
i('sltiu', 0x13, 3, 'zx(rs1 <u imm)');
i('xori', 0x13, 4, 'rs1 ^ imm');
i('ori', 0x13, 6, 'rs1 | imm');
i('andi', 0x13, 7, 'rs1 & imm');
sh('slli', 0x13, 1, 0, 'rs1 << imm');
sh('srli', 0x13, 5, 0, 'rs1 >>> imm');
sh('srai', 0x13, 5, 0x10, 'rs1 >> imm');
i('addiw', 0x1b, 0, 'sx(i32_of(rs1) + i32_of(imm))');
sh('slliw', 0x1b, 1, 0, 'sx(i32_of(rs1) << i32_of(imm))');
sh('srliw', 0x1b, 5, 0, 'sx(i32_of(rs1) >>> i32_of(imm))');
sh('sraiw', 0x1b, 5, 0x10, 'sx(i32_of(rs1) >> i32_of(imm))');
r('add', 0x33, 0, 0, 'rs1 + rs2');
r('sub', 0x33, 0, 0x20, 'rs1 - rs2');
r('sll', 0x33, 1, 0, 'rs1 << rs2');
r('slt', 0x33, 2, 0, 'zx(rs1 < rs2)');
r('sltu', 0x33, 3, 0, 'zx(rs1 <u rs2)');
r('xor', 0x33, 4, 0, 'rs1 ^ rs2');
r('srl', 0x33, 5, 0, 'rs1 >>> rs2');
r('sra', 0x33, 5, 0x20, 'rs1 >> rs2');
r('or', 0x33, 6, 0, 'rs1 | rs2');
r('and', 0x33, 7, 0, 'rs1 & rs2');
r('addw', 0x3b, 0, 0, 'sx(i32_of(rs1) + i32_of(rs2))');
r('subw', 0x3b, 0, 0x20, 'sx(i32_of(rs1) - i32_of(rs2))');
r('sllw', 0x3b, 1, 0, 'sx(i32_of(rs1) << i32_of(rs2))');
r('srlw', 0x3b, 5, 0, 'sx(i32_of(rs1) >>> i32_of(rs2))');
r('sraw', 0x3b, 5, 0x20, 'sx(i32_of(rs1) >> i32_of(rs2))');

// M
r('mul', 0x33, 0, 1, 'rs1 * rs2');
r('mulh', 0x33, 1, 1, 'mulh(rs1, rs2)');
r('mulhsu', 0x33, 2, 1, 'mulhsu(rs1, rs2)');
r('mulhu', 0x33, 3, 1, 'mulhu(rs1, rs2)');
r('div', 0x33, 4, 1, 'div64(rs1, rs2)');
r('divu', 0x33, 5, 1, 'divu64(rs1, rs2)');
r('rem', 0x33, 6, 1, 'rem64(rs1, rs2)');
r('remu', 0x33, 7, 1, 'remu64(rs1, rs2)');
r('mulw', 0x3b, 0, 1, 'sx(i32_of(rs1) * i32_of(rs2))');
r('divw', 0x3b, 4, 1, 'sx32(div64(sx32(rs1), sx32(rs2)))');
r('divuw', 0x3b, 5, 1, 'sx32(divu64(rs1 & 0xffffffffL, rs2 & 0xffffffffL))');
r('remw', 0x3b, 6, 1, 'sx32(rem64(sx32(rs1), sx32(rs2)))');
r('remuw', 0x3b, 7, 1, 'sx32(remu64(rs1 & 0xffffffffL, rs2 & 0xffffffffL))');

// A
const amos: [string, number][] = [
  ['amoadd', 0], ['amoswap', 1], ['sc', 3], ['amoxor', 4], ['amoor', 8], ['amoand', 12],
  ['amomin', 16], ['amomax', 20], ['amominu', 24], ['amomaxu', 28],
]; // prettier-ignore
for (const [size, letter] of [[4, 'w'], [8, 'd']] as const) {
  const match = 0x2f | f3(size === 4 ? 2 : 3);
  put(`lr.${letter}`, match | (2 << 27), 0xf9f0707f, 'R', 'mem',
    `rd = amo(h, 2, rs1, 0L, ${size});`); // prettier-ignore
  for (const [name, op] of amos) {
    put(`${name}.${letter}`, match | (op << 27), 0xf800707f, 'R', 'mem',
      `rd = amo(h, ${op}, rs1, rs2, ${size});`); // prettier-ignore
  }
}
put('fence', 0x0f, maskI, 'I', 'plain', 'fence_op(h);');
put('fence.i', 0x100f, maskI, 'I', 'fencei', '');
for (const op of [0, 1, 2, 4]) {
  put(`cbo.${op}`, 0x200f | (op << 20), 0xfff07fff, 'R', 'mem', `cbo_op(h, ${op}, rs1, raw);`);
}
for (let n = 0; n < 8; n++) put(`system${n}`, 0x73 | f3(n), maskI, 'N', 'system', '');

// Zba, Zbb, Zbs, Zicond
r('add.uw', 0x3b, 0, 4, '(rs1 & 0xffffffffL) + rs2');
for (const n of [1, 2, 3]) {
  r(`sh${n}add`, 0x33, n * 2, 0x10, `(rs1 << ${n}L) + rs2`);
  r(`sh${n}add.uw`, 0x3b, n * 2, 0x10, `((rs1 & 0xffffffffL) << ${n}L) + rs2`);
}
put('slli.uw', 0x1b | f3(1) | (2 << 26), 0xfc00707f, 'H', 'plain',
  'rd = (rs1 & 0xffffffffL) << imm;'); // prettier-ignore
r('andn', 0x33, 7, 0x20, 'rs1 & ~rs2');
r('orn', 0x33, 6, 0x20, 'rs1 | ~rs2');
r('xnor', 0x33, 4, 0x20, '~(rs1 ^ rs2)');
u('clz', 0x13, 1, 0x600, 'clz(rs1)');
u('ctz', 0x13, 1, 0x601, 'ctz(rs1)');
u('cpop', 0x13, 1, 0x602, 'popcnt(rs1)');
u('clzw', 0x1b, 1, 0x600, 'zx(clz32(i32_of(rs1)))');
u('ctzw', 0x1b, 1, 0x601, 'zx(ctz32(i32_of(rs1)))');
u('cpopw', 0x1b, 1, 0x602, 'zx(popcnt32(i32_of(rs1)))');
r('max', 0x33, 6, 5, 'select(rs1 > rs2, rs1, rs2)');
r('maxu', 0x33, 7, 5, 'select(rs1 >u rs2, rs1, rs2)');
r('min', 0x33, 4, 5, 'select(rs1 < rs2, rs1, rs2)');
r('minu', 0x33, 5, 5, 'select(rs1 <u rs2, rs1, rs2)');
u('sext.b', 0x13, 1, 0x604, 'sx8(rs1)');
u('sext.h', 0x13, 1, 0x605, 'sx16(rs1)');
u('zext.h', 0x3b, 4, 0x080, 'rs1 & 0xffffL');
r('rol', 0x33, 1, 0x30, 'rotl(rs1, rs2)');
r('ror', 0x33, 5, 0x30, 'rotr(rs1, rs2)');
sh('rori', 0x13, 5, 0x18, 'rotr(rs1, imm)');
r('rolw', 0x3b, 1, 0x30, 'sx(rotl32(i32_of(rs1), i32_of(rs2)))');
r('rorw', 0x3b, 5, 0x30, 'sx(rotr32(i32_of(rs1), i32_of(rs2)))');
sh('roriw', 0x1b, 5, 0x18, 'sx(rotr32(i32_of(rs1), i32_of(imm)))');
u('orc.b', 0x13, 5, 0x287, 'orc_b(rs1)');
u('rev8', 0x13, 5, 0x6b8, 'rev8(rs1)');
r('bclr', 0x33, 1, 0x24, 'rs1 & ~(1L << rs2)');
r('bext', 0x33, 5, 0x24, '(rs1 >>> rs2) & 1L');
r('binv', 0x33, 1, 0x34, 'rs1 ^ (1L << rs2)');
r('bset', 0x33, 1, 0x14, 'rs1 | (1L << rs2)');
sh('bclri', 0x13, 1, 0x12, 'rs1 & ~(1L << imm)');
sh('bexti', 0x13, 5, 0x12, '(rs1 >>> imm) & 1L');
sh('binvi', 0x13, 1, 0x1a, 'rs1 ^ (1L << imm)');
sh('bseti', 0x13, 1, 0x0a, 'rs1 | (1L << imm)');
r('czero.eqz', 0x33, 5, 7, 'select(rs2 == 0L, 0L, rs1)');
r('czero.nez', 0x33, 7, 7, 'select(rs2 == 0L, rs1, 0L)');

// F, D, Zfhmin
function fp(name: string, match: number, mask: number, code: string, rounded = false): void {
  put(name, match, mask, 'R', 'fp', code, rounded);
}
put('flh', 0x07 | f3(1), maskI, 'I', 'fpmem', 'fd = ld16u(h, rs1 + imm) | -65536L;');
put('flw', 0x07 | f3(2), maskI, 'I', 'fpmem', 'fd = ld32u(h, rs1 + imm) | 0xffffffff00000000L;');
put('fld', 0x07 | f3(3), maskI, 'I', 'fpmem', 'fd = ld64(h, rs1 + imm);');
put('fsh', 0x27 | f3(1), maskI, 'S', 'fpmem', 'st16(h, rs1 + imm, fs2);');
put('fsw', 0x27 | f3(2), maskI, 'S', 'fpmem', 'st32(h, rs1 + imm, fs2);');
put('fsd', 0x27 | f3(3), maskI, 'S', 'fpmem', 'st64(h, rs1 + imm, fs2);');
for (const [fmt, letter] of [[0, 's'], [1, 'd']] as const) {
  const at = (n: number) => 0x53 | f7(n | fmt);
  ['fadd', 'fsub', 'fmul', 'fdiv'].forEach((name, n) =>
    fp(`${name}.${letter}`, at(n << 2), 0xfe00007f, 
      `fd = ${name}_${letter}(h, fs1, fs2, rm);`, true), // prettier-ignore
  );
  fp(`fsqrt.${letter}`, at(0x2c), 0xfff0007f, `fd = fsqrt_${letter}(h, fs1, rm);`, true);
  [0, 1, 2, 3].forEach((n) => {
    const neg = [0, 1, 2, 3][n]!;
    fp(`fma${n}.${letter}`, 0x43 | (n << 2) | (fmt << 25), 0x600007f,
      `fd = fmadd_op_${letter}(h, fs1, fs2, fs3, rm, ${neg});`, true); // prettier-ignore
  });
  [0, 1, 2].forEach((n) => {
    const code = letter === 's' ? `fsgnj_s(fs1, fs2, ${n})`
      : [`(fs1 & 0x7fffffffffffffffL) | (fs2 & -9223372036854775808L)`,
         `(fs1 & 0x7fffffffffffffffL) | ((fs2 ^ -1L) & -9223372036854775808L)`,
         `fs1 ^ (fs2 & -9223372036854775808L)`][n]!; // prettier-ignore
    fp(`fsgnj${n}.${letter}`, at(0x10) | f3(n), maskR, `fd = ${code};`);
  });
  [0, 1].forEach((n) =>
    fp(`fminmax${n}.${letter}`, at(0x14) | f3(n), maskR,
      `fd = fminmax_${letter}(h, fs1, fs2, ${n});`), // prettier-ignore
  );
  [0, 1, 2].forEach((n) =>
    fp(`fcmp${n}.${letter}`, at(0x50) | f3(n), maskR, `rd = fcmp_${letter}(h, fs1, fs2, ${n});`),
  );
  fp(`fclass.${letter}`, at(0x70) | f3(1), 0xfff0707f, `rd = fclass_${letter}(fs1);`);
  [0, 1, 2, 3].forEach((n) => {
    fp(`fcvt.int${n}.${letter}`, at(0x60) | (n << 20), 0xfff0007f,
      `rd = fcvt_int_${letter}(h, fs1, rm, ${n});`, true); // prettier-ignore
    fp(`fcvt.${letter}.int${n}`, at(0x68) | (n << 20), 0xfff0007f,
      `fd = fcvt_${letter}_int(h, rs1, rm, ${n});`, true); // prettier-ignore
  });
}
fp('fcvt.s.d', 0x53 | f7(0x20) | (1 << 20), 0xfff0007f, 'fd = fcvt_s_d(h, fs1, rm);', true);
fp('fcvt.d.s', 0x53 | f7(0x21), 0xfff0007f, 'fd = fcvt_d_s(h, fs1);', true);
fp('fcvt.s.h', 0x53 | f7(0x20) | (2 << 20), 0xfff0007f, 'fd = fcvt_s_h(h, fs1);', true);
fp('fcvt.d.h', 0x53 | f7(0x21) | (2 << 20), 0xfff0007f, 'fd = fcvt_d_h(h, fs1);', true);
fp('fcvt.h.s', 0x53 | f7(0x22), 0xfff0007f, 'fd = fcvt_h_s(h, fs1, rm);', true);
fp('fcvt.h.d', 0x53 | f7(0x22) | (1 << 20), 0xfff0007f, 'fd = fcvt_h_d(h, fs1, rm);', true);
fp('fmv.x.w', 0x53 | f7(0x70), 0xfff0707f, 'rd = sx32(fs1);');
fp('fmv.x.d', 0x53 | f7(0x71), 0xfff0707f, 'rd = fs1;');
fp('fmv.x.h', 0x53 | f7(0x72), 0xfff0707f, 'rd = sx16(fs1);');
fp('fmv.w.x', 0x53 | f7(0x78), 0xfff0707f, 'fd = rs1 | 0xffffffff00000000L;');
fp('fmv.d.x', 0x53 | f7(0x79), 0xfff0707f, 'fd = rs1;');
fp('fmv.h.x', 0x53 | f7(0x7a), 0xfff0707f, 'fd = rs1 | -65536L;');

export const instructions: readonly Instruction[] = list;

/** (opcode bits 6:2, funct3) → the instructions that share it, most specific first. */
export const byKey: readonly (readonly Instruction[])[] = Array.from({ length: 256 }, (_, key) => {
  const opcode = ((key >> 3) << 2) | 3;
  const found = list.filter((n) => {
    if ((n.match & 0x7f) !== opcode) return false;
    return (n.mask & 0x7000) === 0 || ((n.match >>> 12) & 7) === (key & 7);
  });
  const weight = (n: Instruction) => {
    let bits = 0;
    for (let m = n.mask; m !== 0; m >>>= 1) bits += m & 1;
    return bits;
  };
  return found
    .map((n, order) => ({ n, order }))
    .sort((a, b) => weight(b.n) - weight(a.n) || a.order - b.order)
    .map((entry) => entry.n);
});

/** The instruction that these 32 bits are; null when illegal. */
export function decode(bits: number): Instruction | null {
  if ((bits & 3) !== 3) return null;
  for (const n of byKey[(((bits >>> 2) & 31) << 3) | ((bits >>> 12) & 7)]!) {
    if ((bits & n.mask) >>> 0 === n.match) return n;
  }
  return null;
}

/** The immediate of a format, sign-extended; 'H' is the shift amount. */
export function immediate(format: Format, bits: number): number {
  switch (format) {
    case 'I':
      return bits >> 20;
    case 'S':
      return ((bits >> 25) << 5) | ((bits >>> 7) & 31);
    case 'B':
      return (
        ((bits >> 31) << 12) | ((bits & 0x80) << 4) | ((bits >>> 20) & 0x7e0) |
        ((bits >>> 7) & 0x1e) // prettier-ignore
      );
    case 'U':
      return bits & ~0xfff;
    case 'J':
      return (
        ((bits >> 31) << 20) | (bits & 0xff000) | ((bits >>> 9) & 0x800) | ((bits >>> 20) & 0x7fe)
      );
    case 'H':
      return (bits >>> 20) & 63;
    case 'R':
    case 'N':
      return 0;
  }
}

/** Words that instruction snippets share, in W. */
export const isaSource = `
fn mulh(a: i64, b: i64): i64 { return mulhu(a, b) - ((a >> 63L) & b) - ((b >> 63L) & a); }
fn mulhsu(a: i64, b: i64): i64 { return mulhu(a, b) - ((a >> 63L) & b); }
export fn mulh_x(a: i64, b: i64): i64 { return mulh(a, b); }
export fn mulhsu_x(a: i64, b: i64): i64 { return mulhsu(a, b); }
inline fn div64(a: i64, b: i64): i64 {
  if (b == 0L) return -1L;
  if (b == -1L) return 0L - a;
  return a / b;
}
inline fn divu64(a: i64, b: i64): i64 { if (b == 0L) return -1L; return a /u b; }
inline fn rem64(a: i64, b: i64): i64 {
  if (b == 0L) return a;
  if (b == -1L) return 0L;
  return a % b;
}
inline fn remu64(a: i64, b: i64): i64 { if (b == 0L) return a; return a %u b; }
inline fn rev8(a: i64): i64 {
  let s = ((a >>> 8L) & 0xff00ff00ff00ffL) | ((a & 0xff00ff00ff00ffL) << 8L);
  let t = ((s >>> 16L) & 0xffff0000ffffL) | ((s & 0xffff0000ffffL) << 16L);
  return rotl(t, 32L);
}
inline fn orc_b(a: i64): i64 {
  let t = a | ((a >>> 4L) & 0x0f0f0f0f0f0f0f0fL);
  t = t | ((t >>> 2L) & 0x3f3f3f3f3f3f3f3fL);
  t = (t | ((t >>> 1L) & 0x7f7f7f7f7f7f7f7fL)) & 0x0101010101010101L;
  return t * 255L;
}
export fn fence_op(h: i32) { if (load32(M_HARTS) > 1) fence(); }
export fn cbo_op(h: i32, op: i32, va: i64, raw: i32) {
  h.raw = raw;
  let need = op == 4 ? 0x80L : (op == 0 ? 0x30L : 0x40L);
  if (h.priv < 3 && (envcfg_of(h, above(h)) & need) == 0L) refuse(h, 0);
  else if (h.virt && (over(h).henvcfg & need) == 0L) refuse(h, 1);
  else if (h.priv == 0 && (h.senvcfg & need) == 0L) refuse(h, h.virt);
  else cbo(h, op, va);
}
`;
