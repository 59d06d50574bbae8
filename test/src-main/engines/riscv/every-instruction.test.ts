/**
 * Every instruction of the table against its meaning in plain TypeScript (test/isa/meaning.ts), on
 * each engine, with operands that stand at edges. An instruction without a case fails.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { instructions } from '../../../../src-main/engines/riscv/cpu/isa.ts';
import { assemble } from '../../../isa/assemble.ts';
import { bare, engines, put } from '../../../isa/bare.ts';
import type { Engine } from '../../../isa/bare.ts';
import {
  atomics, branches, immediates, integers, loads, stores, unary,
} from '../../../isa/meaning.ts'; // prettier-ignore
import { floats, operandsOf } from '../../../isa/meaning-float.ts';

/** Control flow, fences and what is privileged have tests of their own, named here. */
const elsewhere = new Map([
  ['lui', 'instructions'], ['auipc', 'instructions'], ['jal', 'instructions'],
  ['jalr', 'instructions'], ['fence', 'memory-model'], ['fence.i', 'instructions'],
  ['lr.w', 'instructions'], ['sc.w', 'instructions'], ['lr.d', 'memory-model'],
  ['sc.d', 'memory-model'], ['cbo.0', 'privileged'], ['cbo.1', 'privileged'],
  ['cbo.2', 'privileged'], ['cbo.4', 'privileged'],
  ...Array.from({ length: 8 }, (_, n) => [`system${n}`, 'privileged'] as const),
]); // prettier-ignore

const u64 = (value: bigint) => BigInt.asUintN(64, value);
const [input, output] = [0x1000, 0x2000];
const values = [
  0n, 1n, -1n, 2n, 1n << 63n, (1n << 63n) - 1n, 0x7fff_ffffn, 0x8000_0000n, 0xffff_ffffn,
  0x0123_4567_89ab_cdefn, 0x00ff_0000_8000_7f01n, 33n, 64n,
].map(u64); // prettier-ignore
const pairs = values.flatMap((a, n) => [0, 1, 4, 7].map((by) => [a, values[(n + by) % 13]!]));

type Row = readonly bigint[];

/** Runs `code` once a row, with its operands at s0 and a place for its result at s1. */
function results(engine: Engine, rows: readonly Row[], code: string): bigint[] {
  const m = bare(engine);
  const width = rows[0]!.length * 8;
  const view = new DataView(m.ram.buffer, m.ram.byteOffset);
  rows.flat().forEach((value, n) => view.setBigUint64(input + n * 8, u64(value), true));
  put(m, assemble(`again:
    ${code}
    addi s0, s0, ${width}
    addi s1, s1, 8
    addi s2, s2, -1
    bne s2, zero, again
    done:
    jal zero, done`)); // prettier-ignore
  const { state } = m.hart;
  state.setX(8, BigInt(0x8000_0000 + input));
  state.setX(9, BigInt(0x8000_0000 + output));
  state.setX(18, BigInt(rows.length));
  state.setWide('mstatus', state.wide('mstatus') | 0x6000n);
  m.hart.refuel(rows.length * 20);
  m.hart.core.run(state.base);
  return rows.map((_, n) => view.getBigUint64(output + n * 8, true));
}

function check(engine: Engine, rows: readonly Row[], code: string, meaning: (row: Row) => bigint) {
  const got = results(engine, rows, code);
  rows.forEach((row, n) => {
    const operands = row.map((value) => value.toString(16)).join(', ');
    const want = u64(meaning(row)).toString(16);
    assert.equal(got[n]!.toString(16), want, `${code.trim()} of ${operands}`);
  });
}

const two = 'ld a0, 0(s0)\nld a1, 8(s0)';
const keep = 'sd a2, 0(s1)';

/** How an instruction's case is run. */
function caseOf(name: string): ((engine: Engine) => void) | undefined {
  const integer = integers[name] ?? unary[name];
  if (integer) {
    const operands = unary[name] ? 'a0' : 'a0, a1';
    const code = `${two}\n${name} a2, ${operands}\n${keep}`;
    return (engine) => check(engine, pairs, code, ([a, b]) => integer(a!, b!));
  }
  const immediate = immediates[name];
  if (immediate) {
    const [meaning, numbers] = immediate;
    return (engine) =>
      numbers.forEach((number) => {
        const code = `ld a0, 0(s0)\n${name} a2, a0, ${number}\n${keep}`;
        check(engine, pairs, code, ([a]) => meaning(a!, u64(BigInt(number))));
      });
  }
  const branch = branches[name];
  if (branch) {
    const code = `${two}\naddi a2, zero, 1\n${name} a0, a1, 8\naddi a2, zero, 0\n${keep}`;
    return (engine) => check(engine, pairs, code, ([a, b]) => (branch(a!, b!) ? 1n : 0n));
  }
  return memoryCase(name) ?? floatCase(name);
}

function memoryCase(name: string): ((engine: Engine) => void) | undefined {
  const float = name.startsWith('f');
  const load = loads[name];
  if (load) {
    const code = float ? `${name} f1, 0(s0)\nfsd f1, 0(s1)` : `${name} a2, 0(s0)\n${keep}`;
    return (engine) => check(engine, pairs, code, ([a]) => load(a!));
  }
  const bits = stores[name];
  if (bits !== undefined) {
    const from = float ? `fld f1, 0(s0)\n${name} f1, 0(s1)` : `ld a0, 0(s0)\n${name} a0, 0(s1)`;
    return (engine) => check(engine, pairs, from, ([a]) => BigInt.asUintN(Number(bits), a!));
  }
  const atomic = atomics[name];
  if (!atomic) return undefined;
  // The old value goes over rs2 in memory, so that both are seen.
  const code = `${two}\n${name} a2, s0, a1\nld a0, 0(s0)\nxor a2, a2, a0\n${keep}`;
  const old = (a: bigint) => (name.endsWith('.w') ? u64(BigInt.asIntN(32, a)) : a);
  return (engine) => check(engine, pairs, code, ([a, b]) => old(a!) ^ atomic(a!, b!));
}

function floatCase(name: string): ((engine: Engine) => void) | undefined {
  const float = floats[name];
  if (!float) return undefined;
  const { from, to, meaning } = float;
  const what = instructions.find((each) => each.name === name)!;
  const sources = [1, 2, 3].map((n) => `${from}${n + 10}`);
  const count = (what.mask & 0x1f0_0000) !== 0 ? 1 : (what.mask & 0xf800_0000) !== 0 ? 2 : 3;
  const read = sources.slice(0, count).map((register, n) => {
    return `${from === 'f' ? 'fld' : 'ld'} ${register}, ${n * 8}(s0)`;
  });
  const operation = `${name} ${to}15, ${sources.slice(0, count).join(', ')}`;
  const code = [...read, operation, to === 'f' ? 'fsd f15, 0(s1)' : 'sd x15, 0(s1)'].join('\n');
  const rows = from === 'x' ? values.map((a): Row => [a, 0n, 0n]) : operandsOf(name);
  return (engine) => check(engine, rows, code, ([a, b, c]) => meaning(a!, b!, c!));
}

for (const engine of engines) {
  describe(engine.name, () => {
    for (const { name } of instructions) {
      if (elsewhere.has(name)) continue;
      test(name, () => {
        const run = caseOf(name);
        assert.ok(run, `${name} has no meaning in test/isa/meaning.ts`);
        run(engine);
      });
    }
  });
}
