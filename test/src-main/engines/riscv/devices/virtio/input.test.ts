/** The keyboard as its driver sees it: what it can do, and three keys pressed and let go. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Bus } from '../../../../../../src-main/engines/riscv/devices/bus.ts';
import { VirtioKeyboard } from '../../../../../../src-main/engines/riscv/devices/virtio/input.ts';
import { at, guestRamBase, layoutOf } from '../../../../../../src-main/engines/riscv/layout.ts';

const ramBytes = 2 << 20;
const ring = { desc: 0, avail: 0x1000, used: 0x2000, events: 0x3000 };
const size = 16;

function keyboard() {
  const layout = layoutOf(ramBytes, 1);
  const { pages } = layout;
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const bus = new Bus(memory, layout, { ticks: () => 0, wallMs: () => 0 });
  const device = new VirtioKeyboard({ bus, memory, layout, slot: 0 });
  return { device, registers: bus.virtio[0]!, ram: new DataView(memory.buffer, at.ram) };
}

/** As a driver does: the queue of events full of empty buffers of eight bytes. */
function drive({ registers, ram }: ReturnType<typeof keyboard>) {
  for (let n = 0; n < size; n++) {
    ram.setBigUint64(ring.desc + n * 16, BigInt(guestRamBase + ring.events + n * 8), true);
    ram.setUint32(ring.desc + n * 16 + 8, 8, true);
    ram.setUint16(ring.desc + n * 16 + 12, 2, true);
    ram.setUint16(ring.avail + 4 + n * 2, n, true);
  }
  ram.setUint16(ring.avail + 2, size, true);
  registers.store(0x38, 4, size);
  for (const [offset, at] of [[0x80, ring.desc], [0x90, ring.avail], [0xa0, ring.used]] as const) {
    registers.store(offset, 4, guestRamBase + at);
  }
  registers.store(0x44, 4, 1);
  registers.store(0x70, 4, 15);
}

test('says its name and its keys when it is asked', () => {
  const { registers } = keyboard();
  const ask = (select: number, subselect: number) => {
    registers.store(0x100, 1, select);
    registers.store(0x101, 1, subselect);
    const count = registers.load(0x102, 1);
    return Array.from({ length: count }, (_, n) => registers.load(0x108 + n, 1));
  };
  assert.equal(String.fromCharCode(...ask(1, 0)), 'Nymph keyboard');
  const bits = ask(0x11, 1);
  const keys = [...Array(128).keys()].filter((key) => (bits[key >> 3]! >> (key & 7)) & 1);
  assert.deepEqual(keys, [29, 56, 111]);
  assert.deepEqual(ask(0x11, 2), [], 'no mouse');
  assert.deepEqual(ask(0x77, 0x77), []);
});

test('is heard once a driver is there; Ctrl-Alt-Del is three keys down, then up', () => {
  const made = keyboard();
  const { device, ram } = made;
  assert.equal(device.heard, false);
  drive(made);
  assert.equal(device.heard, true);
  device.pressCtrlAltDel();
  assert.equal(ram.getUint16(ring.used + 2, true), 0, 'not before it is serviced');
  device.service();
  const events = Array.from({ length: ram.getUint16(ring.used + 2, true) }, (_, n) => {
    const at = ring.events + n * 8;
    return [ram.getUint16(at, true), ram.getUint16(at + 2, true), ram.getUint32(at + 4, true)];
  });
  const presses = (value: number) => [29, 56, 111].map((key) => [1, key, value]);
  assert.deepEqual(events, [...presses(1), [0, 0, 0], ...presses(0), [0, 0, 0]]);
});
