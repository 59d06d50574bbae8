/**
 * The balloon as its guest and its host see it: requests written into guest memory by hand, and a
 * port that notes what is given back. Whatever a queue says, nothing outside RAM is.
 */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Bus } from '../../../../../src-main/engines/riscv/devices/bus.ts';
import { VirtioBalloon } from '../../../../../src-main/engines/riscv/devices/virtio/balloon.ts';
import { at, guestRamBase, layoutOf } from '../../../../../src-main/engines/riscv/layout.ts';

const ramBytes = 2 << 20;
const page = 4096;
const ring = { desc: 0, avail: 0x1000, used: 0x2000, list: 0x3000 };
const inflate = 0;
const reporting = 2;

type Descriptor = { address: number; length: number; flags: number; next?: number };

function balloonGuest() {
  const layout = layoutOf(ramBytes, 1);
  const { pages } = layout;
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const bus = new Bus(memory, layout, { ticks: () => 0, wallMs: () => 0 });
  const given: [page: number, pages: number][] = [];
  const balloon = new VirtioBalloon(
    { bus, memory, layout, slot: 0 },
    {
      discard: (offset, length) => {
        assert.ok(offset >= at.ram && offset + length <= at.ram + ramBytes, 'in RAM');
        given.push([(offset - at.ram) / page, length / page]);
      },
    },
  );
  const registers = bus.virtio[0]!;
  const ram = new DataView(memory.buffer, at.ram, ramBytes);
  const put = (descriptors: readonly Descriptor[], queue: number) => {
    descriptors.forEach(({ address, length, flags, next }, n) => {
      ram.setBigUint64(ring.desc + n * 16, BigInt(address), true);
      ram.setUint32(ring.desc + n * 16 + 8, length, true);
      ram.setUint16(ring.desc + n * 16 + 12, flags, true);
      ram.setUint16(ring.desc + n * 16 + 14, next ?? 0, true);
    });
    const index = ram.getUint16(ring.avail + 2, true);
    ram.setUint16(ring.avail + 4 + (index % 8) * 2, 0, true);
    ram.setUint16(ring.avail + 2, index + 1, true);
    registers.store(0x50, 4, queue);
    balloon.service();
  };
  return { balloon, registers, ram, given, put, done: () => ram.getUint16(ring.used + 2, true) };
}

function drive({ registers }: ReturnType<typeof balloonGuest>, queue: number) {
  registers.store(0x30, 4, queue);
  registers.store(0x38, 4, 8);
  for (const [offset, at] of [[0x80, ring.desc], [0x90, ring.avail], [0xa0, ring.used]] as const) {
    registers.store(offset, 4, guestRamBase + at);
  }
  registers.store(0x44, 4, 1);
  registers.store(0x70, 4, 15);
}

test('pages that the guest gives up go back in runs, and only those in RAM', () => {
  const guest = balloonGuest();
  drive(guest, inflate);
  const first = guestRamBase / page;
  const frames = [first + 9, first + 7, 0, first + 8, first + 20, first - 1, first + 512, 2 ** 31];
  frames.forEach((frame, n) => guest.ram.setUint32(ring.list + n * 4, frame, true));
  guest.put([{ address: guestRamBase + ring.list, length: 32, flags: 0 }], inflate);
  assert.deepEqual(guest.given, [[7, 3], [20, 1]]);
  assert.equal(guest.done(), 1);
});

test('free ranges that are reported go back whole, by whichever later queue', () => {
  for (const queue of [reporting, 4]) {
    const guest = balloonGuest();
    drive(guest, queue);
    const range = (at: number, flags: number) => ({
      address: guestRamBase + at * page,
      length: 16 * page,
      flags,
      next: 1,
    });
    guest.put([range(32, 3), range(64, 2)], queue);
    assert.deepEqual(guest.given, [[32, 16], [64, 16]]);
    assert.equal(guest.done(), 1);
  }
});

test('what is asked of the guest stands in its configuration, with an interrupt', () => {
  const guest = balloonGuest();
  assert.equal(guest.balloon.held, undefined);
  drive(guest, inflate);
  const generation = guest.registers.load(0xfc, 4);
  guest.balloon.ask(300);
  assert.equal(guest.registers.load(0x100, 4), 300);
  assert.equal(guest.registers.load(0x60, 4) & 2, 2);
  assert.notEqual(guest.registers.load(0xfc, 4), generation);
  guest.registers.store(0x104, 4, 299);
  assert.equal(guest.balloon.held, 299);
});

test('queues that lie give nothing back outside RAM', () => {
  let seed = 11;
  const random = (below: number) => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    return Math.floor((seed / 0x8000_0000) * below);
  };
  const near = [0, guestRamBase - page, guestRamBase, guestRamBase + ramBytes - page, 2 ** 52];
  for (let round = 0; round < 3000; round++) {
    const queue = random(5);
    const guest = rounds[queue]!;
    const descriptors = Array.from({ length: 1 + random(8) }, () => ({
      address: near[random(near.length)]! + random(3 * page),
      length: random(2) === 0 ? random(1 << 17) : random(2 ** 31) * 2,
      flags: random(8),
      next: random(12),
    }));
    guest.put(descriptors, queue);
  }
  assert.ok(rounds.some(({ given }) => given.length > 0), 'some of them were sound');
});

const rounds = Array.from({ length: 5 }, (_, queue) => {
  const guest = balloonGuest();
  drive(guest, queue);
  return guest;
});
