/** An instruction whose second half is on the next page, which may be another page each time. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { expansionTable } from '../../../../../src-main/engines/riscv/cpu/compressed.ts';
import {
  CodePage, formRegion, usualLimits,
} from '../../../../../src-main/engines/riscv/jit/region.ts'; // prettier-ignore
import { assemble } from '../../../../isa/assemble.ts';
import { bare, engines, put } from '../../../../isa/bare.ts';
import type { Bare, Engine } from '../../../../isa/bare.ts';

const turns = 20;

/** Halves of what stands from 0xff0 on: s6 grows by `step` in the instruction at 0xffe. */
function loop(step: number): number[] {
  const halves = (source: string) => [...new Uint16Array(assemble(source).buffer)];
  const shortNop = 1;
  return [
    ...halves('addi s4, s4, -1\naddi s5, s5, 1\nnop'), shortNop,
    ...halves(`addi s6, s6, ${step}`), shortNop,
    ...halves('bne s4, zero, -20\nend:\njal zero, end'),
  ]; // prettier-ignore
}

function loaded(engine: Engine, source: string): Bare {
  const m = bare(engine);
  put(m, assemble(source));
  m.ram.set(new Uint8Array(Uint16Array.from(loop(3)).buffer), 0xff0);
  m.hart.state.setX(20, BigInt(turns));
  return m;
}

function run(m: Bare, from: bigint): bigint {
  m.hart.state.setWide('pc', from);
  m.hart.refuel(turns * 8);
  for (let n = 0; n < 10; n++) m.hart.core.run(m.hart.state.base);
  return m.x(22);
}

for (const engine of engines) {
  describe(engine.name, () => {
    test('is run as often as it is come by', () => {
      const m = loaded(engine, 'jal zero, 0xff0');
      assert.equal(run(m, 0x8000_0000n), 3n * BigInt(turns));
      assert.equal(m.x(21), BigInt(turns));
    });

    test('is what it is when its second half has changed, and the first has not', () => {
      const m = loaded(engine, 'fence.i\njal zero, 0xfec');
      assert.equal(run(m, 0x8000_0004n), 3n * BigInt(turns));
      m.ram.set(new Uint8Array(Uint16Array.of(loop(7)[8]!).buffer), 0x1000);
      m.hart.core.note_store(1);
      m.hart.state.setX(20, BigInt(turns));
      assert.equal(run(m, 0x8000_0000n), 10n * BigInt(turns));
    });

    test('is run where the code begins with it and the TLB has lost what follows', () => {
      const m = loaded(engine, 'jal zero, 0xff0');
      run(m, 0x8000_0000n);
      for (let n = 1n; n <= 9n; n++) {
        m.hart.core.flush_all(m.hart.state.base);
        m.hart.state.setX(20, 0n);
        assert.equal(run(m, 0x8000_0ffen), 3n * (BigInt(turns) + n));
      }
    });
  });
}

test('is part of a region where its second half is known', () => {
  const halves = new Uint16Array(2048);
  halves.set(loop(3).slice(0, 8), 0xff0 / 2);
  const steps = (behind: number) => {
    const page = new CodePage(halves, expansionTable(), behind);
    return [...formRegion(page, 0xff0, usualLimits).values()].flatMap((block) => block.steps);
  };
  assert.deepEqual(steps(loop(3)[8]!).map(({ at, across }) => [at, across]), [
    [0xff0, false], [0xff4, false], [0xff8, false], [0xffc, false], [0xffe, true],
  ]); // prettier-ignore
  assert.equal(steps(-1).length, 4);
});
