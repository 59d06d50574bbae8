/**
 * The thread of `fuzz.test.ts`: runs one target over its mutated seeds and answers with how many
 * of them were read. A thread of its own, because the test runner's tracking of every promise
 * makes these readers five times slower.
 */
import assert from 'node:assert/strict';
import { parentPort, workerData } from 'node:worker_threads';
import { Refusal } from '../../../src-main/base/refusal.ts';
import { crc32, viewOf } from '../../../src-main/disks/bytes.ts';
import { readBundle, type Sha256 } from '../../../src-main/disks/bundle.ts';
import { unbzip2 } from '../../../src-main/disks/bzip2.ts';
import { parseCowHeader } from '../../../src-main/machine/cow.ts';
import { inspect } from '../../../src-main/disks/detect.ts';
import { openExt4 } from '../../../src-main/disks/ext4.ts';
import { codecs } from '../../../src-main/disks/node/codecs.ts';
import { readPartitions } from '../../../src-main/disks/partitions.ts';
import { openQcow2 } from '../../../src-main/disks/qcow2.ts';
import type { ByteSource } from '../../../src-main/disks/source.ts';
import { identifySystem } from '../../../src-main/disks/system.ts';
import { scanTar } from '../../../src-main/disks/tar.ts';
import { unxz } from '../../../src-main/disks/xz.ts';
import { seeded } from './inputs.ts';

export interface FuzzJob {
  reader: string;
  count: number;
  seed: number;
  inputs: [name: string, bytes: Uint8Array][];
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
  /** Puts checksums right again, so that the code behind them is reached too. */
  mend?: (bytes: Uint8Array) => void;
  read: (source: ByteSource, bytes: Uint8Array) => Promise<unknown>;
}

async function run(job: FuzzJob): Promise<number> {
  const target = targets[job.reader] as Target;
  const next = seeded(job.seed);
  let answered = 0;
  for (let i = 0; i < job.count; i++) {
    const [name, original] = job.inputs[i % job.inputs.length]!;
    const bytes = mutate(original, next);
    if (target.mend && next() % 2) target.mend(bytes);
    try {
      await target.read(new CheckingSource(bytes), bytes);
      answered += 1;
    } catch (thrown) {
      if (thrown instanceof Refusal) continue;
      throw new Error(`input ${i} from ${name}, seed ${job.seed}`, { cause: thrown });
    }
  }
  return answered;
}

async function drain(parts: AsyncIterable<Uint8Array>): Promise<void> {
  let total = 0;
  for await (const part of parts) {
    total += part.length;
    if (total > 2 ** 22) return;
  }
}

function mendGpt(bytes: Uint8Array): void {
  const isGpt = bytes.length >= 40 * 512 && bytes[450] === 0xee;
  if (!isGpt) return;
  const view = viewOf(bytes);
  view.setUint32(0x200, 0x20494645); // "EFI PART"
  view.setUint32(0x204, 0x50415254);
  const count = view.getUint32(0x250, true);
  const entryBytes = view.getUint32(0x254, true);
  const at = view.getUint32(0x248, true) * 512;
  const entries = bytes.subarray(at, at + Math.min(2 ** 20, count * entryBytes));
  view.setUint32(0x258, crc32(entries), true);
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

/** Takes every content for the right one, so that what follows a changed piece is reached too. */
const blindDigest: Sha256 = () => ({ update() {}, digest: () => new Uint8Array(32) });

async function* inParts(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 700) yield bytes.subarray(at, at + 700);
}

const targets: Record<string, Target> = {
  bundle: {
    mend: mendTar,
    async read(_source, bytes) {
      let kept = 0;
      for await (const part of readBundle(inParts(bytes), blindDigest)) {
        if (part.kind === 'piece') kept += part.bytes.length;
      }
      assert.ok(kept <= bytes.length, 'more came out than was in');
    },
  },
  qcow2: {
    async read(source) {
      const disk = await openQcow2(source, codecs);
      for (let at = 0, steps = 0; at < disk.size && steps < 64; steps++) {
        const run = await disk.run(at);
        assert.ok(run.length > 0 && at + run.length <= disk.size);
        if (!run.zero) await disk.read(at, Math.min(run.length, 4096));
        at += run.length;
      }
    },
  },
  partitions: { mend: mendGpt, read: (source) => readPartitions(source) },
  ext4: {
    async read(source) {
      const ext4 = await openExt4(source);
      await identifySystem(ext4);
      await ext4.list('/usr/../usr/./bin');
      await ext4.readFile('/etc/os-release', 1000);
    },
  },
  cow: { read: async (_source, bytes) => parseCowHeader(bytes) },
  tar: { mend: mendTar, read: async (source) => identifySystem((await scanTar(source)).tree) },
  xz: { read: (source) => drain(unxz(source)) },
  bzip2: { read: (source) => drain(unbzip2(source)) },
  inspect: { mend: mendTar, read: (source) => inspect(source, { codecs }) },
};

parentPort?.postMessage(await run(workerData as FuzzJob));
