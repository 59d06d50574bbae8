/**
 * Every reader against 100,000 mutated inputs. What must hold for each: the reader answers or
 * refuses, it never throws anything else, never reads outside its source, and stays inside a
 * budget of reads and bytes. The seed is printed; `FUZZ_SEED=n` runs another.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { Refusal } from '../../../src-main/base/refusal.ts';
import { crc32, viewOf } from '../../../src-main/disks/bytes.ts';
import { unbzip2 } from '../../../src-main/disks/bzip2.ts';
import { cowLayout, makeCowHeader, parseCowHeader } from '../../../src-main/disks/cow.ts';
import { inspect } from '../../../src-main/disks/detect.ts';
import { openExt4 } from '../../../src-main/disks/ext4.ts';
import { codecs } from '../../../src-main/disks/node/codecs.ts';
import { readPartitions } from '../../../src-main/disks/partitions.ts';
import { openQcow2 } from '../../../src-main/disks/qcow2.ts';
import type { ByteSource } from '../../../src-main/disks/source.ts';
import { identifySystem } from '../../../src-main/disks/system.ts';
import { scanTar } from '../../../src-main/disks/tar.ts';
import { unxz } from '../../../src-main/disks/xz.ts';
import { makeSystemTree, mbrDisk, openRoom, seeded, type Room } from './inputs.ts';

const seed = Number(process.env['FUZZ_SEED'] ?? 20261122);
console.log(`fuzz seed ${seed}`);

let room: Room;
const seeds = new Map<string, Uint8Array>();

before(async () => {
  room = await openRoom();
  await makeSystemTree(room.file('tree'));
  await makeExt4('ext4', '64k', 'ext4', '-O', 'inline_data,^has_journal,^resize_inode', '-I', '256');
  await makeExt4('ext2', '64k', 'ext2', '-O', '^resize_inode', '-I', '128');
  await room.run('tar', '-C', 'tree', '-cf', 'tar', '.');
  await room.run('tar', '--format=pax', '-C', 'tree', '-cf', 'pax', '.');
  const plain = ['-f', 'raw', '-O', 'qcow2', '-o', 'cluster_size=512'];
  await room.run('qemu-img', 'convert', ...plain, 'ext2', 'qcow2');
  await room.run('qemu-img', 'convert', '-c', ...plain, 'ext2', 'packed');
  await room.run('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', '-c', '-o',
    'cluster_size=16k,extended_l2=on,compression_type=zstd', 'ext2', 'zstd');
  await room.run('truncate', '-s', '64k', 'gpt');
  await room.run('sgdisk', '-a', '1', '-n', '1:40:60', '-n', '2:64:80', 'gpt');
  await room.run('sh', '-c', 'cat tree/usr/lib/os-release ext2 > text; xz -k text; bzip2 -1k text');
  for (const name of ['ext4', 'ext2', 'tar', 'pax', 'qcow2', 'packed', 'zstd', 'gpt',
    'text.xz', 'text.bz2']) {
    seeds.set(name, new Uint8Array(await readFile(room.file(name))));
  }
  const cow = new Uint8Array(cowLayout(65536).dataAt);
  cow.set(makeCowHeader({ backingPath: '/images/a', backingSeconds: 1, backingBytes: 65536 }));
  seeds.set('cow', cow);
  seeds.set('mbr', mbrDisk());
});
after(() => room.close());

async function makeExt4(name: string, size: string, ...type: string[]): Promise<void> {
  await room.run('truncate', '-s', size, name);
  await room.run('mke2fs', '-q', '-F', '-t', type[0]!, '-b', '1024', '-N', '32', '-d', 'tree',
    ...type.slice(1), name);
}

/** Refuses like every source, and fails the test when a reader asks for too much. */
class CheckingSource implements ByteSource {
  readonly size: number;
  readonly #bytes: Uint8Array;
  #reads = 0;
  #total = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.size = bytes.length;
  }

  async read(position: number, length: number): Promise<Uint8Array> {
    const inside = position >= 0 && length >= 0 && position + length <= this.size;
    if (!inside || !Number.isSafeInteger(position)) throw new Refusal('bad-input', 'Outside.');
    this.#reads += 1;
    this.#total += length;
    assert.ok(this.#reads < 20_000 && this.#total < 64 * 2 ** 20, 'a reader is without bounds');
    const part = this.#bytes.slice(position, position + length);
    assert.equal(part.length, length);
    return part;
  }
}

const odd = [0, 1, 2, 127, 128, 255, 256, 511, 512, 1023, 4095, 4096, 65535, 65536, 2 ** 31 - 1,
  2 ** 31, 2 ** 32 - 2, 2 ** 32 - 1];

/** One to eight changes, half of them in the first sectors, where the headers are. */
function mutate(original: Uint8Array, next: () => number): Uint8Array {
  let bytes = original.slice();
  for (let changes = 1 + (next() % 8); changes > 0; changes--) {
    const reach = next() % 2 ? Math.min(bytes.length, 2048) : bytes.length;
    if (reach < 8) break;
    const at = next() % (reach - 4);
    const view = viewOf(bytes);
    switch (next() % 7) {
      case 0: bytes[at]! ^= 1 << (next() % 8); break;
      case 1: bytes[at] = next() & 255; break;
      case 2: view.setUint32(at & ~3, odd[next() % odd.length]!, next() % 2 === 0); break;
      case 3: view.setUint16(at & ~1, odd[next() % odd.length]! & 65535, next() % 2 === 0); break;
      case 4: bytes.copyWithin(at, next() % reach, next() % reach); break;
      case 5: view.setUint32(at & ~3, next(), true); break;
      default: if (next() % 8 === 0) bytes = bytes.slice(0, next() % bytes.length);
    }
  }
  return bytes;
}

interface Target {
  count: number;
  names: string[];
  /** Puts checksums right again, so that the code behind them is reached too. */
  mend?: (bytes: Uint8Array) => void;
  read: (source: ByteSource, bytes: Uint8Array) => Promise<unknown>;
}

async function fuzz(target: Target): Promise<void> {
  const next = seeded(seed);
  let answered = 0;
  for (let i = 0; i < target.count; i++) {
    const name = target.names[i % target.names.length]!;
    const bytes = mutate(seeds.get(name)!, next);
    if (target.mend && next() % 2) target.mend(bytes);
    try {
      await target.read(new CheckingSource(bytes), bytes);
      answered += 1;
    } catch (thrown) {
      if (thrown instanceof Refusal) continue;
      throw new Error(`input ${i} from ${name}, seed ${seed}`, { cause: thrown });
    }
  }
  // Were all of them refused, the mutations would only ever test the first check.
  assert.ok(answered > 0 && answered < target.count, `${answered} of ${target.count} answered`);
}

async function drain(parts: AsyncIterable<Uint8Array>): Promise<void> {
  let total = 0;
  for await (const part of parts) {
    total += part.length;
    if (total > 2 ** 22) return;
  }
}

function mendGpt(bytes: Uint8Array): void {
  if (bytes.length < 40 * 512) return;
  const view = viewOf(bytes);
  view.setUint32(0x200, 0x20494645); // "EFI PART"
  view.setUint32(0x204, 0x50415254);
  const count = view.getUint32(0x250, true);
  const entryBytes = view.getUint32(0x254, true);
  const at = view.getUint32(0x248, true) * 512;
  view.setUint32(0x258, crc32(bytes.subarray(at, at + Math.min(2 ** 20, count * entryBytes))), true);
  view.setUint32(0x210, 0, true);
  const headerBytes = Math.min(512, view.getUint32(0x20c, true));
  view.setUint32(0x210, crc32(bytes.subarray(0x200, 0x200 + headerBytes)), true);
}

function mendTar(bytes: Uint8Array): void {
  for (let at = 0; at + 512 <= bytes.length; at += 512) {
    if (bytes[at + 257] !== 0x75 || bytes[at + 258] !== 0x73) continue;
    bytes.fill(32, at + 148, at + 156);
    let sum = 0;
    for (let i = 0; i < 512; i++) sum += bytes[at + i]!;
    bytes.set(new TextEncoder().encode(sum.toString(8).padStart(6, '0')), at + 148);
    bytes[at + 154] = 0;
  }
}

test('25,000 mutated qcow2 images', () => fuzz({
  count: 25_000,
  names: ['qcow2', 'packed', 'zstd'],
  async read(source) {
    const disk = await openQcow2(source, codecs);
    for (let at = 0, steps = 0; at < disk.size && steps < 64; steps++) {
      const run = await disk.run(at);
      assert.ok(run.length > 0 && at + run.length <= disk.size);
      if (!run.zero) await disk.read(at, Math.min(run.length, 4096));
      at += run.length;
    }
  },
}));

test('8,000 mutated MBR disks', () => fuzz({
  count: 8_000, names: ['mbr'], read: (source) => readPartitions(source),
}));

test('8,000 mutated GPT disks, half of them with right checksums', () => fuzz({
  count: 8_000, names: ['gpt'], mend: mendGpt, read: (source) => readPartitions(source),
}));

test('20,000 mutated ext file systems', () => fuzz({
  count: 20_000,
  names: ['ext4', 'ext2'],
  async read(source) {
    const ext4 = await openExt4(source);
    await identifySystem(ext4);
    await ext4.list('/usr/../usr/./bin');
    await ext4.readFile('/etc/os-release', 1000);
  },
}));

test('8,000 mutated overlays', () => fuzz({
  count: 8_000, names: ['cow'], read: async (_source, bytes) => parseCowHeader(bytes),
}));

test('14,000 mutated tar archives, half of them with right checksums', () => fuzz({
  count: 14_000,
  names: ['tar', 'pax'],
  mend: mendTar,
  read: async (source) => identifySystem((await scanTar(source)).tree),
}));

test('5,000 mutated xz files', () => fuzz({
  count: 5_000, names: ['text.xz'], read: (source) => drain(unxz(source)),
}));

test('4,000 mutated bzip2 files', () => fuzz({
  count: 4_000, names: ['text.bz2'], read: (source) => drain(unbzip2(source)),
}));

test('8,000 mutated inputs of every kind, recognised and inspected', () => fuzz({
  count: 8_000,
  names: ['ext4', 'ext2', 'tar', 'pax', 'qcow2', 'packed', 'zstd', 'gpt', 'mbr', 'cow'],
  mend: mendTar,
  read: (source) => inspect(source, { codecs }),
}));
