/** The interruptor of firmware: one hart rings another, and each has a timer. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { board } from '../../../../../src-main/engines/riscv/board.ts';
import { Bus } from '../../../../../src-main/engines/riscv/devices/bus.ts';
import { HartState } from '../../../../../src-main/engines/riscv/hart-state.ts';
import { layoutOf } from '../../../../../src-main/engines/riscv/layout.ts';

const software = 8;
const timer = 0x80;
const mtimecmp = board.clint + 0x4000;
const mtime = board.clint + 0xbff8;

function twoHarts() {
  const layout = layoutOf(2 << 20, 2);
  const { pages } = layout;
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  let ticks = 0x1_2345_6789;
  const bus = new Bus(memory, layout, { ticks: () => ticks, wallMs: () => 0 });
  const harts = [0, 1].map((index) => new HartState(memory.buffer, index));
  for (const hart of harts) {
    for (const name of ['stimecmp', 'vsdeadline', 'mtimecmp'] as const) {
      hart.setWide(name, 0xffff_ffff_ffff_ffffn);
    }
  }
  const store = (pa: number, value: number) => bus.store(pa, 4, value, 0);
  const load = (pa: number) => bus.load(pa, 4, 0) >>> 0;
  return { harts, store, load, pass: (more: number) => (ticks += more) };
}

test('a software interrupt is set and cleared in the hart that is named', () => {
  const { harts, store, load } = twoHarts();
  store(board.clint + 4, 1);
  assert.deepEqual(harts.map((hart) => hart.word('irq') & software), [0, software]);
  assert.deepEqual([load(board.clint), load(board.clint + 4)], [0, 1]);
  store(board.clint + 4, 0);
  assert.equal(harts[1]!.word('irq') & software, 0);
});

test('time is that of all; a timer rings when it is due, until it is set anew', () => {
  const { harts, store, load, pass } = twoHarts();
  assert.deepEqual([load(mtime), load(mtime + 4)], [0x2345_6789, 1]);
  store(mtimecmp + 8, 0x2345_6799);
  store(mtimecmp + 12, 1);
  assert.equal(harts[1]!.nextDeadline(0), 0x1_2345_6799n);
  assert.equal(harts[1]!.word('irq') & timer, 0);
  harts[1]!.ring(pass(16));
  assert.equal(harts[1]!.word('irq') & timer, timer);
  assert.equal(harts[0]!.word('irq'), 0);
  store(mtimecmp + 12, 2);
  assert.equal(harts[1]!.word('irq') & timer, 0);
  assert.deepEqual([load(mtimecmp + 8), load(mtimecmp + 12)], [0x2345_6799, 2]);
});

test('harts that are not there, and every other address, are nobody’s', () => {
  const { store, load } = twoHarts();
  for (let offset = 0; offset < 0x1_0000; offset += 4) {
    if ((offset & ~4) === 0xbff8) continue;
    const known = offset < 8 || (offset >= 0x4000 && offset < 0x4010);
    store(board.clint + offset, 1);
    if (!known) assert.equal(load(board.clint + offset), 0, offset.toString(16));
  }
});
