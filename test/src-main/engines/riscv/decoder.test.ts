/**
 * Any word as an instruction: every 16-bit one, and 32-bit ones at random and near those that
 * exist. Each does something defined or is an illegal instruction, on both engines alike, and so
 * says the table of the translator. NYMPH_SEED and NYMPH_ROUNDS repeat and lengthen it.
 */
import { suite, test } from 'node:test';
import assert from 'node:assert/strict';
import { decode, instructions } from '../../../../src-main/engines/riscv/cpu/isa.ts';
import { expansionTable } from '../../../../src-main/engines/riscv/cpu/compressed.ts';
import { hartAt } from '../../../../src-main/engines/riscv/layout.ts';
import { assemble } from '../../../isa/assemble.ts';
import { bare, engines, put } from '../../../isa/bare.ts';
import type { Bare, Engine } from '../../../isa/bare.ts';
import { generator, pick, wideNumber } from '../../../isa/random.ts';
import type { Random } from '../../../isa/random.ts';

const seed = Number(process.env['NYMPH_SEED'] ?? 1);
const rounds = Number(process.env['NYMPH_ROUNDS'] ?? 60_000);
const base = 0x8000_0000n;
const code = 0x1000;
const data = base + 0x20_0000n;
const illegal = 2n;
const fieldBytes = hartAt.counters;

/** A machine that parks in the trap vector, and goes back to where it began as often as asked. */
class Prober {
  readonly m: Bare;
  private readonly state: Uint8Array;
  private readonly fresh: Uint8Array;

  constructor(engine: Engine, random: Random) {
    this.m = bare(engine);
    put(this.m, assemble('park:\njal zero, park'));
    const { state } = this.m.hart;
    state.setWide('mtvec', base);
    state.setWide('mstatus', state.wide('mstatus') | 0x6000n);
    for (let n = 1; n < 32; n++) {
      state.setX(n, random(4) === 0 ? wideNumber(random) : data + BigInt(random(4096)));
      state.setF(n, wideNumber(random));
    }
    this.state = new Uint8Array(state.i32.buffer, state.base, fieldBytes);
    this.fresh = this.state.slice();
  }

  /** Runs so many instructions from an offset of RAM. */
  run(offset: number, count: number): void {
    const { hart } = this.m;
    this.state.set(this.fresh);
    hart.core.flush_all(hart.state.base);
    hart.state.setWide('pc', base + BigInt(offset));
    hart.state.setWide('mcause', 99n);
    hart.refuel(count);
    for (let turns = 0; turns < 8 && hart.state.word('fuel') > 0; turns++) {
      if (hart.core.run(hart.state.base) === 2) hart.state.poke(1);
    }
  }

  get cause(): bigint {
    return this.m.hart.state.wide('mcause');
  }
}

function probe(prober: Prober, word: number): bigint {
  put(prober.m, Uint32Array.of(word), code);
  prober.run(code, 1);
  return prober.cause;
}

suite('any word', () => {
  test('of 16 bits is what its expansion is, or illegal', () => {
    const prober = new Prober(engines[0]!, generator(seed));
    const expanded = expansionTable();
    for (let half = 0; half < 0x1_0000; half++) {
      if ((half & 3) === 3) continue;
      const cause = probe(prober, half | 0x0001_0000);
      const known = decode(expanded[half]!) !== null;
      assert.equal(cause === illegal, !known, `${half.toString(16)} ends in cause ${cause}`);
      if (known) continue;
      assert.equal(prober.m.hart.state.wide('mtval'), BigInt(half), half.toString(16));
    }
  });

  test('of 32 bits is what the table says, or illegal', () => {
    const random = generator(seed + 1);
    const prober = new Prober(engines[0]!, random);
    for (let n = 0; n < rounds; n++) {
      const near = (pick(random, instructions).match ^ (1 << random(32))) | (random(32) << 15);
      const word = ((random(2) === 0 ? near : random(0x1_0000_0000)) | 3) >>> 0;
      const cause = probe(prober, word);
      const what = decode(word);
      const text = `${word.toString(16)} (${what?.name}) ends in cause ${cause}`;
      if (what === null) assert.equal(cause, illegal, text);
      else if (what.kind !== 'system' && !what.rounded) assert.notEqual(cause, illegal, text);
      assert.ok(cause === 99n || cause < 24n, text);
    }
  });
});

test('random bytes as code run alike on both engines', () => {
  const random = generator(seed + 2);
  for (let page = 0; page < 12; page++) {
    const bytes = Uint32Array.from({ length: 1024 }, () => likely(random));
    const starts = Array.from({ length: 30 }, () => code + 2 * random(2000));
    const [want, ...others] = engines.map((engine) => {
      const prober = new Prober(engine, generator(seed + page));
      put(prober.m, bytes, code);
      return starts.map((start) => {
        prober.run(start, 40);
        const { state } = prober.m.hart;
        const registers = Array.from({ length: 32 }, (_, n) => [state.x(n), state.f(n)]);
        return [start, prober.cause, state.wide('pc'), state.wide('mtval'), ...registers].join();
      });
    });
    for (const other of others) assert.deepEqual(other, want, `NYMPH_SEED=${seed}, page ${page}`);
  }
});

/** Mostly words that are instructions, so that more than one of them is run. */
function likely(random: Random): number {
  if (random(8) === 0) return random(0x1_0000_0000);
  const plain = pick(random, instructions.filter(({ kind }) => kind !== 'system'));
  return (plain.match | (random(0x1_0000_0000) & ~plain.mask)) >>> 0;
}
