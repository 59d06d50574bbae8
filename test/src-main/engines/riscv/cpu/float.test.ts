/**
 * Floating point against the host's own C as judge: random and awkward operands go to a small
 * program of gcc's and to the processor; values and flags must be the same, bit for bit. The host
 * has no round-to-nearest-away, so that mode is not judged here. Each operation runs twice: with
 * no flag set, and with inexact already set, which opens the way that uses the host's arithmetic.
 *
 * What IEEE 754 leaves open is settled as RISC-V settles it (Unprivileged 20.3, 20.7): NaNs are
 * canonical, 0 × ∞ + NaN is invalid, and conversions to integers saturate.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { bare, engines } from '../../../../isa/bare.ts';

const judgeSource = `
#include <fenv.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
struct question { uint32_t op, mode; uint64_t a, b, c; };
struct answer { uint64_t value, flags; };
static const int modes[] = { FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD };
static double d(uint64_t v) { double x; memcpy(&x, &v, 8); return x; }
static float s(uint64_t v) { float x; uint32_t w = v; memcpy(&x, &w, 4); return x; }
static uint64_t of_d(double x) {
  uint64_t v; if (x != x) return 0x7ff8000000000000; memcpy(&v, &x, 8); return v;
}
static uint64_t of_s(float x) {
  uint32_t v; if (x != x) return 0x7fc00000; memcpy(&v, &x, 4); return v;
}
static const double least[] = { -0x1p31, 0, -0x1p63, 0 };
static const double limit[] = { 0x1p31, 0x1p32, 0x1p63, 0x1p64 };
static const uint64_t lowest[] = { -0x80000000ll, 0, 1ull << 63, 0 };
static const uint64_t highest[] = { 0x7fffffff, -1ull, ~(1ull << 63), -1ull };
static struct answer integer(double x, int kind) {
  struct answer r = { 0, 0 };
  volatile double whole = rint(x);
  if (x != x || whole >= limit[kind]) r.value = highest[kind], r.flags = 16;
  else if (whole < least[kind]) r.value = lowest[kind], r.flags = 16;
  else {
    r.value = kind == 3 ? (uint64_t)whole : (uint64_t)(int64_t)whole;
    if (kind == 1) r.value = (int64_t)(int32_t)r.value;
    r.flags = whole != x;
  }
  return r;
}
static uint64_t floating(struct question q) {
  volatile double x = d(q.a), y = d(q.b), z = d(q.c);
  volatile float u = s(q.a), v = s(q.b), w = s(q.c);
  switch (q.op) {
  case 0: return of_d(x + y);
  case 1: return of_d(x - y);
  case 2: return of_d(x * y);
  case 3: return of_d(x / y);
  case 4: return of_d(sqrt(x));
  case 5: return of_d(fma(x, y, z));
  case 6: return of_s(x);
  case 7: return of_d((int32_t)q.a);
  case 8: return of_d((uint32_t)q.a);
  case 9: return of_d((int64_t)q.a);
  case 10: return of_d(q.a);
  case 16: return of_s(u + v);
  case 17: return of_s(u - v);
  case 18: return of_s(u * v);
  case 19: return of_s(u / v);
  case 20: return of_s(sqrtf(u));
  case 21: return of_s(fmaf(u, v, w));
  case 22: return of_d(u);
  case 23: return of_s((int32_t)q.a);
  case 24: return of_s((uint32_t)q.a);
  case 25: return of_s((int64_t)q.a);
  default: return of_s(q.a);
  }
}
int main(void) {
  struct question q;
  while (fread(&q, sizeof q, 1, stdin) == 1) {
    struct answer r;
    fesetround(modes[q.mode]);
    feclearexcept(FE_ALL_EXCEPT);
    if (q.op >= 32) r = integer(q.op & 4 ? s(q.a) : d(q.a), q.op & 3);
    else {
      r.value = floating(q);
      int e = fetestexcept(FE_ALL_EXCEPT);
      r.flags = !!(e & FE_INVALID) << 4 | !!(e & FE_DIVBYZERO) << 3 | !!(e & FE_OVERFLOW) << 2
        | !!(e & FE_UNDERFLOW) << 1 | !!(e & FE_INEXACT);
    }
    fwrite(&r, sizeof r, 1, stdout);
  }
}
`;

type Question = [op: number, mode: number, a: bigint, b: bigint, c: bigint];
type Operation = (h: number, ...operands: (bigint | number)[]) => bigint;

/** Number with the judge, number of operands, name with the processor, last argument. */
const operations: [number, number, string, number?][] = [
  [0, 2, 'fadd_d'], [1, 2, 'fsub_d'], [2, 2, 'fmul_d'], [3, 2, 'fdiv_d'], [4, 1, 'fsqrt_d'],
  [5, 3, 'fmadd_d'], [6, 1, 'fcvt_s_d'],
  [7, 1, 'fcvt_d_int', 0], [8, 1, 'fcvt_d_int', 1], [9, 1, 'fcvt_d_int', 2],
  [10, 1, 'fcvt_d_int', 3],
  [16, 2, 'fadd_s'], [17, 2, 'fsub_s'], [18, 2, 'fmul_s'], [19, 2, 'fdiv_s'], [20, 1, 'fsqrt_s'],
  [21, 3, 'fmadd_s'], [22, 1, 'fcvt_d_s'],
  [23, 1, 'fcvt_s_int', 0], [24, 1, 'fcvt_s_int', 1], [25, 1, 'fcvt_s_int', 2],
  [26, 1, 'fcvt_s_int', 3],
  [32, 1, 'fcvt_int_d', 0], [33, 1, 'fcvt_int_d', 1], [34, 1, 'fcvt_int_d', 2],
  [35, 1, 'fcvt_int_d', 3],
  [36, 1, 'fcvt_int_s', 0], [37, 1, 'fcvt_int_s', 1], [38, 1, 'fcvt_int_s', 2],
  [39, 1, 'fcvt_int_s', 3],
]; // prettier-ignore
const takesSingle = (op: number) => (op >= 16 && op <= 22) || op >= 36;
const givesSingle = (op: number) => op === 6 || (op >= 16 && op !== 22 && op < 32);
const seed = Number(process.env['NYMPH_SEED'] ?? 1);
const perMode = 1000;

let state = (seed * 2654435761) >>> 0 || 1;
function random(below: number): number {
  state ^= state << 13;
  state >>>= 0;
  state ^= state >>> 17;
  state ^= state << 5;
  state >>>= 0;
  return state % below;
}
const word = () => BigInt(random(0x1_0000_0000));

/** Bits of a number: any, or one whose exponent and fraction stand at an edge. */
function operand(exponentBits: number, fractionBits: number, near: bigint): bigint {
  const one = 1n << BigInt(fractionBits);
  const top = (1n << BigInt(exponentBits)) - 1n;
  const any = (word() << 32n) | word();
  const exponents = [0n, 0n, 1n, top, top - 1n, top >> 1n, near, near, any & top, any & top];
  const fractions = [0n, 1n, one - 1n, one >> 1n, any & (one - 1n), any & (one - 1n)];
  const exponent = exponents[random(exponents.length)]! & top;
  const sign = BigInt(random(2)) << BigInt(exponentBits + fractionBits);
  return sign | (exponent << BigInt(fractionBits)) | fractions[random(fractions.length)]!;
}

function operands(op: number, name: string): [bigint, bigint, bigint] {
  if (name.endsWith('_int')) {
    const wide = BigInt.asUintN(64, ((word() << 32n) | word()) >> BigInt(random(64)));
    return [random(2) === 0 ? wide : BigInt.asUintN(64, -wide), 0n, 0n];
  }
  const single = takesSingle(op);
  const [e, f] = single ? [8, 23] : [11, 52];
  const near = BigInt((single ? 127 : 1023) + random(70) - 3);
  return [operand(e, f, near), operand(e, f, near), operand(e, f, near)];
}

let folder = '';
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'nymph-float-'));
  const source = join(folder, 'judge.c');
  writeFileSync(source, judgeSource);
  const flags = ['-O1', '-std=gnu11', '-frounding-math', '-ftrapping-math', '-ffp-contract=off'];
  execFileSync('gcc', [...flags, '-o', join(folder, 'judge'), source, '-lm']);
});
after(() => rmSync(folder, { recursive: true }));

function judge(questions: Question[]): BigUint64Array {
  const input = new BigUint64Array(questions.length * 4);
  questions.forEach(([op, mode, a, b, c], n) =>
    input.set([BigInt(op) | (BigInt(mode) << 32n), a, b, c], n * 4),
  );
  const output = execFileSync(join(folder, 'judge'), {
    input: new Uint8Array(input.buffer),
    maxBuffer: 1 << 26,
  });
  return new BigUint64Array(new Uint8Array(output).buffer);
}

const isNan = (v: bigint, single: boolean) =>
  single ? (v & 0x7fff_ffffn) > 0x7f80_0000n : (v & (2n ** 63n - 1n)) > 0x7ff0_0000_0000_0000n;

/** 0 × ∞ + NaN: RISC-V calls it invalid, hosts differ. */
function openProduct(op: number, a: bigint, b: bigint, c: bigint): boolean {
  const single = takesSingle(op);
  const magnitude = single ? 0x7fff_ffffn : 2n ** 63n - 1n;
  const infinity = single ? 0x7f80_0000n : 0x7ff0_0000_0000_0000n;
  if (op % 16 !== 5 || op >= 32 || !isNan(c, single)) return false;
  const pair = [a & magnitude, b & magnitude];
  return pair.includes(0n) && pair.includes(infinity);
}

for (const [op, count, name, last] of operations) {
  test(`${name}${last === undefined ? '' : ` of kind ${last}`} is what the host's C says`, () => {
    const m = bare(engines[0]!);
    const call = m.hart.coreExports[name] as Operation;
    const boxed = 0xffff_ffff_0000_0000n;
    const mine = (v: bigint) => BigInt.asIntN(64, takesSingle(op) ? v | boxed : v);
    const questions = Array.from({ length: 4 * perMode }, (_, n): Question => {
      return [op, n & 3, ...operands(op, name)];
    });
    const answers = judge(questions);
    questions.forEach(([, mode, a, b, c], n) => {
      const rest = name === 'fcvt_d_s' ? [] : last === undefined ? [mode] : [mode, last];
      const value = givesSingle(op) ? answers[n * 2]! | boxed : answers[n * 2]!;
      const flags = Number(answers[n * 2 + 1]!) | (openProduct(op, a, b, c) ? 16 : 0);
      for (const held of [0, 1]) {
        m.hart.state.setWord('fflags', held);
        const got = call(m.hart.state.base, ...[a, b, c].slice(0, count).map(mine), ...rest);
        const seen = [BigInt.asUintN(64, got), m.hart.state.word('fflags')];
        const why = `mode ${mode}: ${[a, b, c].map((v) => v.toString(16)).join(' ')}`;
        assert.deepEqual(seen, [value, flags | held], `${why}, NYMPH_SEED=${seed}`);
      }
    });
  });
}
