/** What the translator says it has done, after programs of which it is known. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  CounterBlock,
  jitReport,
  type JitReport,
} from '../../../../../src-main/engines/riscv/jit/report.ts';
import { Samples, Trace } from '../../../../../src-main/engines/riscv/jit/trace.ts';
import { assemble } from '../../../../isa/assemble.ts';
import { bare, engines, execute, put } from '../../../../isa/bare.ts';

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

test('where room runs out half of the pages go, and the program goes on', () => {
  const m = bare(translator!);
  m.hart.translator.regionsMax = 6;
  // Ten pages that each count and go on to the next, thirty times around.
  const onward = 'auipc x8, 4096\njalr zero, x8, -4';
  for (let n = 0; n < 10; n++) {
    const source = `addi x6, x6, 1\n${n === 9 ? 'jalr zero, x5, 0' : onward}`;
    put(m, assemble(source), 0x1000 + n * 0x1000);
  }
  put(m, assemble(`addi x9, zero, 30\nauipc x5, 0\naddi x5, x5, 16
again:\nauipc x8, 4096\njalr zero, x8, -12
addi x9, x9, -1\nbne x9, zero, again\ndone:\njal zero, done`));
  m.hart.refuel(5000);
  m.hart.core.run(m.hart.state.base);
  const { total } = jitReport(m.shared.memory.buffer, 1);
  assert.equal(m.x(6), 300n);
  assert.ok(total.resets >= 1 && total.droppedFull >= 3, JSON.stringify(total));
  assert.ok(total.liveRegions <= 9, `${total.liveRegions} live`);
});

test('what only the interpreter runs is refused', () => {
  const { total } = reportOf(translator, `fence.i\n${loop}`);
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

test('each thing that the translator does is told with its place and reason', () => {
  const source = `${loop}
  auipc x7, 0
  sw zero, 2000(x7)
  fence.i
  nop`;
  const { latest } = reportOf(translator, source);
  const told = latest.map(({ hart, kind, address }) => `${hart} ${kind} ${address}`);
  assert.ok(told.includes('0 translated 0x80000000'), told.join('\n'));
  assert.ok(told.includes('0 rewritten 0x80000000'), told.join('\n'));
  const region = latest.findLast(({ kind }) => kind === 'translated')!;
  assert.ok(region.count >= 3 && region.wasmBytes > region.count);
});

test('which engine used the last of the fuel is known', () => {
  const wherever = (engine: typeof interpreter) =>
    execute(engine!, 'nop').hart.state.word('intranslated');
  assert.deepEqual([wherever(interpreter), wherever(translator)], [0, 1]);
});

test('hot places are those where harts are met most often, with their mode', () => {
  const buffer = new SharedArrayBuffer(4 << 20);
  const [first, second] = [new Samples(buffer, 0), new Samples(buffer, 1)];
  for (let n = 0; n < 3; n++) first.add({ pc: 0x1000n, mode: 0, translated: n > 0 });
  second.add({ pc: 0xffff_ffff_8000_0000n, mode: 1, translated: false });
  assert.deepEqual(jitReport(buffer, 2).hot, [
    { pc: '0x1000', mode: 'U', share: 0.75, translated: 2 / 3 },
    { pc: '0xffffffff80000000', mode: 'S', share: 0.25, translated: 0 },
  ]);
});

test('of many looks and events the newest are kept', () => {
  const buffer = new SharedArrayBuffer(4 << 20);
  const samples = new Samples(buffer, 0);
  const trace = new Trace(buffer, 0);
  for (let n = 0; n < 3000; n++) {
    samples.add({ pc: BigInt(n), mode: 3, translated: true });
    trace.add({ kind: 'full', address: n, count: n, wasmBytes: 0 });
  }
  assert.equal(samples.read()[0]!.pc, 2999n);
  assert.equal(samples.read().at(-1)!.pc, 1976n);
  assert.equal(trace.read()[0]!.address, 2999);
  assert.equal(trace.read().length, 256);
});
