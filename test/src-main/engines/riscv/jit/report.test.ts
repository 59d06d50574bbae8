/** What the translator says it has done, after programs of which it is known. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  CounterBlock,
  jitReport,
  type JitReport,
} from '../../../../../src-main/engines/riscv/jit/report.ts';
import { engines, execute } from '../../../../isa/bare.ts';

const [interpreter, translator, tiny] = engines;

const loop = `
  addi x5, zero, 100
again:
  addi x6, x6, 1
  addi x5, x5, -1
  bne x5, zero, again
`;

function reportOf(engine: typeof interpreter, source: string): JitReport {
  const { hart } = execute(engine!, source);
  return jitReport(hart.shared.memory.buffer, hart.shared.layout.harts);
}

test('the interpreter alone translates nothing', () => {
  const { total } = reportOf(interpreter, loop);
  assert.deepEqual(Object.values(total), Object.values(total).map(() => 0));
});

test('a loop is translated once and stays', () => {
  const { total, harts } = reportOf(translator, loop);
  assert.ok(total.regions >= 1 && total.regions <= 4, `${total.regions} regions`);
  assert.ok(total.instructions >= 3 && total.wasmBytes > total.instructions);
  assert.equal(total.liveRegions, total.regions);
  assert.equal(total.livePages, 1);
  assert.ok(total.slots >= total.liveRegions);
  assert.deepEqual(harts, [total]);
});

test('regions cut small are more of them', () => {
  const whole = reportOf(translator, loop).total;
  assert.ok(reportOf(tiny, loop).total.regions > whole.regions);
});

test('code that is written and fenced is thrown away, and counted by that reason', () => {
  const { total } = reportOf(
    translator,
    `${loop}
  auipc x7, 0
  sw zero, 2000(x7)
  fence.i
  addi x5, zero, 50
more:
  addi x5, x5, -1
  bne x5, zero, more
`,
  );
  assert.ok(total.droppedRewritten >= 1);
  assert.equal(total.liveRegions, total.regions - total.droppedRewritten);
  assert.equal(total.droppedOverrun + total.droppedFull + total.resets, 0);
});

test('what only the interpreter runs is refused', () => {
  const { total } = reportOf(translator, `csrrs x6, mscratch, zero\n${loop}`);
  assert.ok(total.refused >= 1);
});

test('every hart counts for itself, and the total is their sum', () => {
  const buffer = new SharedArrayBuffer(4 << 20);
  new CounterBlock(buffer, 0).add('regions', 3);
  new CounterBlock(buffer, 1).add('regions', 4);
  new CounterBlock(buffer, 1).set('slots', 9);
  const { harts, total } = jitReport(buffer, 2);
  assert.deepEqual(harts.map(({ regions }) => regions), [3, 4]);
  assert.equal(total.regions, 7);
  assert.equal(total.slots, 9);
});
