/** Regions that come from a workshop, at once or when the code they were made of is gone. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { RegionMaker } from '../../../../../src-main/engines/riscv/jit/workshop.ts';
import { at, hartAt } from '../../../../../src-main/engines/riscv/layout.ts';
import { assemble } from '../../../../isa/assemble.ts';
import { bare, put } from '../../../../isa/bare.ts';
import type { Bare } from '../../../../isa/bare.ts';

/** Counts x5 down in a loop at 0x80000000 that adds `step` to x6 each time. */
const loop = (step: number) => `
again:
  addi x6, x6, ${step}
  addi x5, x5, -1
  bne x5, zero, again
done:
  jal zero, done`;
const hot = { name: 'late', threshold: 1, late: 3 };

function run(m: Bare, turns: number): bigint {
  m.hart.state.setX(5, BigInt(turns));
  m.hart.state.setX(6, 0n);
  m.hart.state.setWide('pc', 0x8000_0000n);
  m.hart.refuel(turns * 3 + 20);
  m.hart.core.run(m.hart.state.base);
  return m.x(6);
}

/** Writes code as a device does, with the note that a frame with translations has changed. */
function rewrite(m: Bare, source: string): void {
  put(m, assemble(source));
  m.hart.core.note_store(0);
}

suite('a region that comes late', () => {
  test('is put in place when it is there', () => {
    const m = bare(hot);
    put(m, assemble(loop(1)));
    assert.equal(run(m, 50), 50n);
    assert.equal(m.hart.translator.statistics()['liveRegions']! > 0, true);
  });

  test('is not, when its page has been dropped meanwhile', () => {
    const m = bare({ ...hot, late: 1000 });
    put(m, assemble(loop(1)));
    assert.equal(run(m, 50), 50n, 'wanted, not there yet');
    assert.equal(m.hart.translator.statistics()['regions'], 0);
    rewrite(m, loop(2));
    m.hart.translator.codeChanged();
    for (let n = 0; n < 2000; n++) m.hart.translator.install();
    assert.equal(m.hart.translator.statistics()['regions'], 0, 'what was made is of no use');
    assert.equal(run(m, 50), 100n);
  });
});

suite('a maker of regions', () => {
  const wanted = (m: Bare) => {
    const maker = new RegionMaker(m.shared, 0);
    const want = (life: number, offset = 0) => maker.want({ frame: 0, life, offset, behind: -1 });
    return { maker, want };
  };

  test('has nothing to give when nothing is wanted', () => {
    const { maker } = wanted(bare(hot));
    assert.equal(maker.take(), undefined);
  });

  test('makes all that is wanted as one module, and tells where it goes', () => {
    const m = bare(hot);
    put(m, assemble(loop(1)));
    put(m, assemble(loop(2)), 20);
    const { maker, want } = wanted(m);
    want(1, 0);
    want(1, 20);
    const made = maker.take()!;
    assert.equal(made.asked, 2);
    assert.deepEqual(made.regions.map(({ offset, life }) => [offset, life]), [[0, 1], [20, 1]]);
    assert.equal(new Set(made.regions.map(({ slot }) => slot)).size, 2);
    assert.ok(made.tableLength > Math.max(...made.regions.map(({ slot }) => slot)));
    assert.ok(made.module !== null);
  });

  test('makes a region once', () => {
    const m = bare(hot);
    put(m, assemble(loop(1)));
    const { maker, want } = wanted(m);
    want(1);
    assert.equal(maker.take()!.regions.length, 1);
    want(1);
    assert.deepEqual(maker.take()!.regions, []);
  });

  test('answers for what was forgotten before it was made, and makes nothing of it', () => {
    const m = bare(hot);
    put(m, assemble(loop(1)));
    const { maker, want } = wanted(m);
    want(1);
    maker.forget({ frame: 0, life: 1 });
    const made = maker.take()!;
    assert.deepEqual([made.asked, made.regions.length, made.module], [1, 0, null]);
  });

  test('uses the slots of a forgotten page again', () => {
    const m = bare(hot);
    put(m, assemble(loop(1)));
    const { maker, want } = wanted(m);
    want(1);
    const first = maker.take()!;
    maker.forget({ frame: 0, life: 1 });
    want(2);
    const second = maker.take()!;
    assert.equal(second.slots, first.slots);
    assert.equal(second.tableLength, first.tableLength);
    assert.equal(second.regions[0]!.life, 2);
  });

  test('takes what is as warm beside it into the same module', () => {
    const m = bare({ ...hot, threshold: 2 });
    put(m, assemble('ecall\nnop\njal x1, 8\nnop\naddi x6, x6, 1\njalr zero, x1, 0'));
    const heat = new Uint16Array(m.shared.memory.buffer, at.harts + hartAt.heat, 0x8000);
    heat.fill(1);
    const { maker, want } = wanted(m);
    want(1);
    assert.deepEqual(maker.take()!.regions.map(({ offset }) => offset), [0, 4, 16]);
  });

  test('refuses what only the interpreter runs', () => {
    const m = bare(hot);
    put(m, assemble('fence.i'));
    const { maker, want } = wanted(m);
    want(1);
    assert.deepEqual(maker.take()!.refused, [{ frame: 0, life: 1, offset: 0 }]);
  });
});
