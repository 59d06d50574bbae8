/** A disk as a guest's driver has it: served on the hart's thread, but for what takes its time. */
import { after, test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MessageChannel } from 'node:worker_threads';
import { board } from '../../../../../src-main/engines/riscv/board.ts';
import { Bus } from '../../../../../src-main/engines/riscv/devices/bus.ts';
import { VirtioBlock } from '../../../../../src-main/engines/riscv/devices/virtio/block.ts';
import {
  at, guestRamBase, layoutOf, machine,
} from '../../../../../src-main/engines/riscv/layout.ts'; // prettier-ignore
import { CountedBlock } from '../../../../../src-main/engines/riscv/node/counted-block.ts';
import { diskPort, openDisk } from '../../../../../src-main/engines/riscv/node/disk-port.ts';
import { HartDisks } from '../../../../../src-main/engines/riscv/node/hart-disks.ts';

const directory = mkdtempSync(join(tmpdir(), 'nymph-hart-disks-'));
after(() => rmSync(directory, { recursive: true, force: true }));

const slot = 3;
const ring = { desc: 0, avail: 0x1000, used: 0x2000, header: 0x3000, data: 0x4000, status: 0x8000 };
const request = { in: 0, out: 1, flush: 4 };

class World {
  readonly ram: DataView;
  /** As the hart has it, and as the I/O thread has it. */
  readonly bus: Bus;
  readonly ioBus: Bus;
  readonly disks: HartDisks;
  readonly channel = new MessageChannel();
  private readonly words: Int32Array;
  private readonly wiring;
  private asked = 0;

  constructor() {
    const layout = layoutOf(2 << 20, 1);
    const { pages } = layout;
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    this.ram = new DataView(memory.buffer, at.ram);
    this.words = new Int32Array(memory.buffer, at.machine, 64);
    const clock = { ticks: () => 0, wallMs: () => 0 };
    this.bus = new Bus(memory, layout, clock);
    this.ioBus = new Bus(memory, layout, clock);
    this.wiring = { bus: this.ioBus, memory, layout, slot };
    this.disks = new HartDisks(this.bus, { memory, layout }, this.channel.port2);
    this.bus.serve = (rung) => this.disks.serve(rung);
  }

  /** What the machine's process does, and then the guest's driver. */
  plug(path: string): { device: VirtioBlock; port: CountedBlock } {
    const disk = openDisk({ path });
    const port = new CountedBlock(diskPort(disk));
    const device = new VirtioBlock(this.wiring, port, 'disk');
    this.channel.port1.postMessage({ slot, name: 'disk', disk });
    this.store(0x38, 8);
    for (const [offset, place] of [[0x80, 'desc'], [0x90, 'avail'], [0xa0, 'used']] as const) {
      this.store(offset, guestRamBase + ring[place]);
    }
    this.store(0x44, 1);
    this.store(0x70, 15);
    this.asked = 0;
    this.ram.setUint16(ring.avail + 2, 0, true);
    this.ram.setUint16(ring.used + 2, 0, true);
    return { device, port };
  }

  /** One request of a page, and the bell. */
  ask(type: number, sector: number): void {
    const { ram } = this;
    const parts = [
      [ring.header, 16, 0], [ring.data, 4096, type === request.in ? 2 : 0], [ring.status, 1, 2],
    ] as const; // prettier-ignore
    const wanted = type === request.flush ? [parts[0], parts[2]] : parts;
    wanted.forEach(([place, length, flags], n) => {
      const more = n < wanted.length - 1 ? 1 : 0;
      ram.setBigUint64(ring.desc + n * 16, BigInt(guestRamBase + place), true);
      ram.setUint32(ring.desc + n * 16 + 8, length, true);
      ram.setUint16(ring.desc + n * 16 + 12, flags | more, true);
      ram.setUint16(ring.desc + n * 16 + 14, n + 1, true);
    });
    ram.setUint32(ring.header, type, true);
    ram.setBigUint64(ring.header + 8, BigInt(sector), true);
    ram.setUint8(ring.status, 0xff);
    ram.setUint16(ring.avail + 4 + (this.asked & 7) * 2, 0, true);
    ram.setUint16(ring.avail + 2, ++this.asked, true);
    this.store(0x50, 0);
  }

  get answered(): number {
    return this.ram.getUint16(ring.used + 2, true);
  }

  get status(): number {
    return this.ram.getUint8(ring.status);
  }

  get interrupted(): boolean {
    return this.load(0x60) === 1;
  }

  /** How often the I/O thread was rung for. */
  get rings(): number {
    return this.words[machine.doorbell >> 2]!;
  }

  private store(offset: number, value: number): void {
    this.bus.store(board.virtio + slot * board.virtioStride + offset, 4, value, 0);
  }

  private load(offset: number): number {
    return this.bus.load(board.virtio + slot * board.virtioStride + offset, 4, 0);
  }
}

function image(name: string): string {
  const path = join(directory, name);
  writeFileSync(path, Uint8Array.from({ length: 64 * 512 }, (_, n) => n >> 9));
  return path;
}

test('a read and a write are done once the bell has been rung, on the hart', async () => {
  const world = new World();
  const path = image('quick');
  const { port } = world.plug(path);
  const { rings } = world;
  world.ask(request.in, 7);
  assert.equal(world.answered, 1);
  assert.equal(world.status, 0);
  assert.equal(world.ram.getUint8(ring.data + 512), 8);
  assert.ok(world.interrupted);
  world.ram.setUint8(ring.data, 0xee);
  world.ask(request.out, 40);
  assert.equal(world.answered, 2);
  assert.equal(readFileSync(path)[40 * 512], 0xee);
  assert.equal(world.rings, rings);
  await port.close();
  world.disks.close();
});

test('a flush, and what stands behind it, is the I/O thread’s', async () => {
  const world = new World();
  const { device, port } = world.plug(image('flush'));
  const { rings } = world;
  world.ask(request.flush, 0);
  assert.equal(world.answered, 0);
  assert.equal(world.rings, rings + 1);
  device.service();
  await device.settled();
  assert.equal(world.answered, 1);
  assert.equal(world.status, 0);
  await port.close();
  world.disks.close();
});

test('what reaches past the end is refused', async () => {
  const world = new World();
  const { port } = world.plug(image('past'));
  world.ask(request.in, 60);
  assert.equal(world.answered, 1);
  assert.equal(world.status, 1);
  await port.close();
  world.disks.close();
});

test('another disk in the same place is the one that is served', async () => {
  const world = new World();
  const first = world.plug(image('first'));
  world.ask(request.in, 0);
  first.device.unplug();
  await first.port.close();
  const { device, port } = world.plug(image('second'));
  world.ask(request.in, 9);
  // The hart has found the old one closed; the next is served at once.
  device.service();
  assert.equal(world.answered, 1);
  const { rings } = world;
  world.ask(request.in, 11);
  assert.equal(world.answered, 2);
  assert.equal(world.ram.getUint8(ring.data), 11);
  assert.equal(world.rings, rings);
  await port.close();
  world.disks.close();
});
