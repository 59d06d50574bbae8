/**
 * Random programs on the interpreter and on the translator must end in the same registers, flags
 * and memory. A program is loops of random instructions; faults go to a handler that steps over.
 * Set NYMPH_SEED to repeat one, NYMPH_ROUNDS for more of them.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { instructions } from '../../../../src-main/engines/riscv/cpu/isa.ts';
import type { Instruction } from '../../../../src-main/engines/riscv/cpu/isa.ts';
import { bare, engines, put } from '../../../isa/bare.ts';
import { assemble } from '../../../isa/assemble.ts';
import type { Engine } from '../../../isa/bare.ts';

const firstSeed = Number(process.env['NYMPH_SEED'] ?? 1);
const rounds = Number(process.env['NYMPH_ROUNDS'] ?? 24);

function generator(seed: number): (below: number) => number {
  let state = (seed * 2654435761) >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state % below;
  };
}

const kinds = ['plain', 'mem', 'fp', 'fpmem', 'branch'];
const choices = instructions.filter((n) => kinds.includes(n.kind));

/** x1–x24 are anything, x25–x28 point at data, x29–x31 belong to the frame of the program. */
function randomWord(random: (below: number) => number, what: Instruction, room: number): number {
  const any = () => 1 + random(24);
  // Only loads go astray: a stray store may hit the program, and then both engines are right.
  const strays = /^f?l[bhwd]u?$/.test(what.name);
  const pointer = () => (strays && random(8) === 0 ? any() : 25 + random(4));
  let bits = what.match | (any() << 7);
  const memory = what.kind === 'mem' || what.kind === 'fpmem';
  bits |= (memory ? pointer() : any()) << 15;
  if (what.kind === 'branch') {
    const ahead = 8 + 4 * random(Math.max(1, Math.min(6, room)));
    bits = what.match | (any() << 15) | (any() << 20);
    return (bits | (((ahead >> 5) & 63) << 25) | (((ahead >> 1) & 15) << 8)) >>> 0;
  }
  if (what.format === 'R') {
    bits |= (any() << 20) & ~what.mask;
    if ((what.mask & 0xf8000000) === 0) bits |= any() << 27;
    if (what.rounded) bits |= [0, 1, 2, 3, 4, 7, 7, 7][random(8)]! << 12;
    if (what.name.startsWith('cbo') || what.name === 'fence') bits &= ~(31 << 7);
  } else if (what.format === 'S') {
    bits = what.match | (pointer() << 15) | (any() << 20) | (random(32) << 7) | (random(4) << 25);
  } else if (what.format === 'I') {
    bits |= (memory ? random(128) : random(4096)) << 20;
  } else if (what.format === 'H') bits |= (random(64) << 20) & ~what.mask;
  else bits |= random(0x10_0000) << 12;
  return bits >>> 0;
}

const prologue = `
  jal zero, start
  csrrw x31, mscratch, x31
  csrrs x31, mepc, zero
  addi x31, x31, 4
  csrrw zero, mepc, x31
  csrrw x31, mscratch, x31
  mret
  start:
  auipc x31, 0
  addi x31, x31, -24
  csrrw zero, mtvec, x31
  li x31, 0x6000
  csrrs zero, mstatus, x31
  lui x25, 0x2000
  auipc x31, 0
  add x25, x25, x31
  addi x26, x25, 1023
  addi x27, x25, 2040
  lui x28, 0x1000
  add x28, x28, x25
  addi x28, x28, -5
`;

function program(seed: number): Uint32Array {
  const random = generator(seed);
  const words = [...assemble(prologue)];
  for (let loop = 0; loop < 4; loop++) {
    const body = 20 + random(60);
    words.push(...assemble(`addi x30, zero, ${3 + random(6)}`));
    for (let n = 0; n < body; n++) {
      words.push(randomWord(random, choices[random(choices.length)]!, body - n - 3));
    }
    for (let n = 0; n < 8; n++) words.push(0x13);
    const back = -(body + 9) * 4;
    words.push(...assemble(`addi x30, x30, -1\nbeq x30, zero, 8\njal zero, ${back}`));
  }
  words.push(...assemble('jal zero, 0'));
  return Uint32Array.from(words);
}

function finalState(engine: Engine, words: Uint32Array, seed: number): Record<string, string> {
  const m = bare(engine);
  const random = generator(seed + 77);
  for (let n = 1; n < 32; n++) {
    const special = [0n, -1n, 0x7ff0_0000_0000_0000n, 0x3ff0_0000_0000_0000n, 1n][random(10)];
    const wide = BigInt(random(0x1_0000_0000)) * 0x1_0000_0001n * BigInt(1 + random(1000));
    m.hart.state.setX(n, BigInt.asUintN(64, special ?? wide));
    const boxed = random(2) === 0 ? 0xffff_ffff_0000_0000n | (wide & 0xffff_ffffn) : wide;
    m.hart.state.setF(n, BigInt.asUintN(64, special ?? boxed));
  }
  put(m, words);
  m.hart.refuel(60_000);
  while (m.hart.state.word('fuel') > 0) m.hart.core.run(m.hart.state.base);
  const state: Record<string, string> = { pc: m.hart.state.wide('pc').toString(16) };
  for (let n = 1; n < 32; n++) {
    state[`x${n}`] = m.x(n).toString(16);
    state[`f${n}`] = m.hart.state.f(n).toString(16);
  }
  state['fflags'] = String(m.hart.state.word('fflags'));
  state['mcause'] = String(m.hart.state.wide('mcause'));
  state['mepc'] = m.hart.state.wide('mepc').toString(16);
  let hash = 0;
  for (const byte of m.ram.subarray(0, 0x1_0000)) hash = (Math.imul(hash, 31) + byte) | 0;
  state['memory'] = String(hash);
  return state;
}

/** Regions end elsewhere for each program. */
function cutAtRandom(seed: number): Engine {
  const random = generator(seed + 1234);
  const limits = { instructions: 1 + random(24), blocks: 1 + random(5) };
  return { name: 'translator cut at random', threshold: 1, limits };
}

test('random programs end alike in interpreter and translator', () => {
  for (let seed = firstSeed; seed < firstSeed + rounds; seed++) {
    const words = program(seed);
    const [reference, ...others] = engines;
    const want = finalState(reference!, words, seed);
    for (const engine of [...others, cutAtRandom(seed)]) {
      assert.deepEqual(finalState(engine, words, seed), want, `${engine.name}, NYMPH_SEED=${seed}`);
    }
  }
});
