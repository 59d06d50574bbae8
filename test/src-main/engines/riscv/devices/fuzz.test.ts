/**
 * Guests that lie to their devices: any access to any device register, and queues with loops, wild
 * addresses and lengths. No device throws or hangs, and none writes anywhere but in RAM and in its
 * own registers. NYMPH_SEED repeats a run, NYMPH_ROUNDS makes it longer.
 */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { board } from '../../../../../src-main/engines/riscv/board.ts';
import { Bus } from '../../../../../src-main/engines/riscv/devices/bus.ts';
import { VirtioBalloon } from '../../../../../src-main/engines/riscv/devices/virtio/balloon.ts';
import { VirtioBlock } from '../../../../../src-main/engines/riscv/devices/virtio/block.ts';
import { VirtioConsole } from '../../../../../src-main/engines/riscv/devices/virtio/console.ts';
import type { VirtioDevice } from '../../../../../src-main/engines/riscv/devices/virtio/device.ts';
import { VirtioNet } from '../../../../../src-main/engines/riscv/devices/virtio/net.ts';
import { total } from '../../../../../src-main/engines/riscv/devices/virtio/queue.ts';
import { VirtioRandom } from '../../../../../src-main/engines/riscv/devices/virtio/random.ts';
import { VirtioSerial } from '../../../../../src-main/engines/riscv/devices/virtio/serial.ts';
import { VirtioVsock } from '../../../../../src-main/engines/riscv/devices/virtio/vsock.ts';
import { at, guestRamBase, layoutOf } from '../../../../../src-main/engines/riscv/layout.ts';
import { generator, pick } from '../../../../isa/random.ts';
import type { Random } from '../../../../isa/random.ts';

const seed = Number(process.env['NYMPH_SEED'] ?? 1);
const rounds = Number(process.env['NYMPH_ROUNDS'] ?? 2000);
const ramBytes = 2 << 20;
const sectors = 64;

class World {
  readonly bus: Bus;
  readonly devices: VirtioDevice[];
  readonly ram: DataView;
  /** Frames and typed bytes from outside, while the queues are as they are. */
  input: ((bytes: Uint8Array) => void)[] = [];
  sectorsAsked = 0;
  private readonly strays: string[] = [];
  private readonly memory: WebAssembly.Memory;
  private readonly before: Buffer;
  private readonly layout = layoutOf(ramBytes, 2);

  constructor() {
    const { pages } = this.layout;
    this.memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    this.bus = new Bus(this.memory, this.layout, { ticks: () => 0, wallMs: () => 1e12 });
    this.ram = new DataView(this.memory.buffer, at.ram, ramBytes);
    const wiring = (slot: number) => {
      return { bus: this.bus, memory: this.memory, layout: this.layout, slot };
    };
    const onInput = (listener: (bytes: Uint8Array) => void) => void this.input.push(listener);
    const asked = (sector: number, count: number) => {
      if (isInDisk(sector, count)) this.sectorsAsked += count;
      else this.strays.push(`${count} sectors from ${sector}`);
    };
    const disk = {
      sectorCount: sectors, readOnly: false,
      read: (sector: number, into: readonly Uint8Array[]) => asked(sector, total(into) / 512),
      write: (sector: number, from: readonly Uint8Array[]) => asked(sector, total(from) / 512),
      alone: <Result>(work: () => Result) => work(),
      discard: asked,
      flush: () => undefined,
    }; // prettier-ignore
    this.devices = [
      new VirtioBlock(wiring(0), disk, 'disk'),
      new VirtioNet(wiring(1), { mac: new Uint8Array(6), send: () => undefined, onFrame: onInput }),
      new VirtioConsole(wiring(2), { write: () => undefined, onInput }, 80, 24),
      new VirtioRandom(wiring(3), { fill: (into) => void into.fill(1) }),
      new VirtioBalloon(wiring(4), { discard: (offset, length) => this.inRam(offset, length) }),
      new VirtioVsock(wiring(5), { connect: () => null, onConnect: () => undefined }),
      new VirtioSerial(wiring(6), { write: () => undefined, onInput }),
    ];
    this.before = this.outside();
  }

  async service(): Promise<void> {
    for (const device of this.devices) device.service();
    // The disk answers later.
    await Promise.resolve();
  }

  /** Fails when something has changed that no device may write. */
  check(): void {
    assert.deepEqual(this.strays, []);
    assert.ok(this.outside().equals(this.before), 'written outside of RAM');
  }

  private inRam(offset: number, length: number): void {
    const { ram } = at;
    assert.ok(offset >= ram && offset + length <= ram + ramBytes, 'given back outside of RAM');
  }

  /** The table of short instructions and what stands on both sides of RAM. */
  private outside(): Buffer {
    const { mapDirectory } = this.layout;
    const { buffer } = this.memory;
    return Buffer.concat([
      new Uint8Array(buffer, at.expand, at.dirtyLog - at.expand),
      new Uint8Array(buffer, at.frameFlags, at.ram - at.frameFlags),
      new Uint8Array(buffer, mapDirectory),
    ]);
  }
}

function isInDisk(sector: number, count: number): boolean {
  if (!Number.isInteger(sector) || !Number.isInteger(count)) return false;
  return sector >= 0 && count >= 0 && sector + count <= sectors;
}

/** A number that registers trip over. */
function anyWord(random: Random): number {
  const near = [guestRamBase, guestRamBase + ramBytes, 0, 0xffff_ffff, 0x8000, 1024];
  if (random(2) === 0) return (pick(random, near) + random(9) - 4) >>> 0;
  return random(3) === 0 ? random(16) : random(0x1_0000_0000);
}

test('any access to any device address is answered', async () => {
  const random = generator(seed);
  const world = new World();
  const places = [
    [board.virtio, board.virtioCount * 0x1000], [board.plic, 0x400_0000], [board.uart, 16],
    [board.plic + 0x20_0000, 0x3000], [board.rtc, 64], [board.virtio, 7 * 0x1000], [0, 2 ** 31],
    [board.virtio, 0x200], [board.plic, 0x200],
  ] as const; // prettier-ignore
  for (let n = 0; n < rounds * 20; n++) {
    const [base, bytes] = pick(random, places);
    const size = pick(random, [1, 2, 4]);
    const address = base + Math.floor(random(bytes) / size) * size;
    if (random(2) === 0) {
      const value = world.bus.load(address, size, random(2));
      assert.ok(Number.isInteger(value), `${address.toString(16)} of ${size}: ${value}`);
    } else world.bus.store(address, size, anyWord(random) | 0, random(2));
    if (n % 50 === 0) await world.service();
  }
  world.check();
});

const table = 0x1000;

/** Queues of one device at addresses that are mostly sound; descriptors that mostly are not. */
function lie(random: Random, world: World, slot: number): void {
  const registers = world.bus.virtio[slot]!;
  const store = (offset: number, value: number) => registers.store(offset, 4, value);
  for (let queue = 0; queue < 6; queue++) {
    store(0x30, queue);
    store(0x38, random(12) === 0 ? anyWord(random) : pick(random, [1, 2, 8, 64, 256, 1024]));
    for (const offset of [0x80, 0x90, 0xa0]) {
      const odd = random(12) === 0 ? anyWord(random) : guestRamBase + random(16) * 0x800;
      store(offset, random(30) === 0 ? odd + 1 : odd);
      store(offset + 4, random(40) === 0 ? anyWord(random) : 0);
    }
    store(0x44, random(20) === 0 ? anyWord(random) : 1);
  }
  store(0x70, random(20) === 0 ? anyWord(random) : 15);
  for (let n = 0; n < 0x8000; n += 16) {
    if (random(4) === 0) continue;
    const wild = random(8) === 0;
    world.ram.setUint32(n, wild ? anyWord(random) : guestRamBase + table + random(0x8000), true);
    world.ram.setUint32(n + 4, random(20) === 0 ? anyWord(random) : 0, true);
    world.ram.setUint32(n + 8, random(8) === 0 ? anyWord(random) : random(2000), true);
    world.ram.setUint16(n + 12, random(8), true);
    world.ram.setUint16(n + 14, random(10), true);
  }
  store(0x50, random(10) === 0 ? anyWord(random) : random(6));
}

/** A request for the disk of which every part is a lie now and then. */
function askDisk(random: Random, world: World): void {
  const { ram } = world;
  const registers = world.bus.virtio[0]!;
  const sometimes = (truth: number) => (random(10) === 0 ? anyWord(random) : truth);
  const ring = { descriptors: 0x1_0000, avail: 0x1_1000, used: 0x1_2000, data: 0x1_4000 };
  const store = (offset: number, value: number) => registers.store(offset, 4, value);
  store(0x30, 0);
  store(0x38, 8);
  for (const [offset, place] of [[0x80, 'descriptors'], [0x90, 'avail'], [0xa0, 'used']] as const) {
    store(offset, guestRamBase + ring[place]);
    store(offset + 4, 0);
  }
  store(0x44, 1);
  store(0x70, 15);
  const lengths = [16, pick(random, [512, 1024, 16, 32, 4096, 33 * 512]), 1];
  lengths.forEach((length, n) => {
    const at = ring.descriptors + n * 16;
    ram.setBigUint64(at, BigInt(sometimes(guestRamBase + ring.data + n * 0x8000)), true);
    ram.setUint32(at + 8, sometimes(length), true);
    const write = n === 2 || (n === 1 && random(2) === 0) ? 2 : 0;
    ram.setUint16(at + 12, sometimes((n < 2 ? 1 : 0) | write), true);
    ram.setUint16(at + 14, sometimes(n + 1), true);
  });
  ram.setUint32(ring.data, sometimes(pick(random, [0, 1, 4, 8, 11])), true);
  ram.setBigUint64(ring.data + 8, BigInt(sometimes(random(sectors + 2))), true);
  // What a discard asks for: a sector and how many.
  ram.setBigUint64(ring.data + 0x8000, BigInt(sometimes(random(sectors))), true);
  ram.setUint32(ring.data + 0x8008, sometimes(random(8)), true);
  ram.setUint16(ring.avail + 2, 1, true);
  ram.setUint16(ring.avail + 4, 0, true);
  store(0x50, 0);
}

test('a disk that is asked for anything stays within itself', async () => {
  const random = generator(seed + 2);
  const world = new World();
  for (let n = 0; n < rounds; n++) {
    askDisk(random, world);
    await world.service();
  }
  world.check();
  assert.ok(world.sectorsAsked > rounds / 10, 'most of it is understood');
});

test('queues that lie harm nobody', { timeout: 120_000 }, async () => {
  const random = generator(seed + 1);
  const world = new World();
  for (let n = 0; n < rounds; n++) {
    lie(random, world, random(world.devices.length));
    if (random(4) === 0) {
      const bytes = new Uint8Array(pick(random, [0, 1, 60, 1514, 9216, 70_000]));
      for (const take of world.input) take(bytes);
    }
    await world.service();
    for (let queue = 0; queue < 6; queue++) {
      world.bus.virtio[n % world.devices.length]!.store(0x50, 4, queue);
    }
    await world.service();
  }
  world.check();
});
