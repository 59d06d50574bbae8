/**
 * Every reader against 100,000 mutated inputs. What must hold for each: the reader answers or
 * refuses, it never throws anything else, never reads outside its source, and stays inside a
 * budget of reads and bytes. The seed is printed; `FUZZ_SEED=n` runs another.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { cowLayout, makeCowHeader } from '../../../src-main/machine/cow.ts';
import {
  BundleDigests, manifestText, pieceName, tarEnd, tarEntry,
} from '../../../src-main/disks/bundle.ts';
import type { FuzzJob } from './fuzz-worker.ts';
import { makeSystemTree, mbrDisk, openRoom, type Room } from './inputs.ts';

const seed = Number(process.env['FUZZ_SEED'] ?? 20261122);
console.log(`fuzz seed ${seed}`);

let room: Room;
const seeds = new Map<string, Uint8Array>();

before(async () => {
  room = await openRoom();
  await makeSystemTree(room.file('tree'));
  await makeExt4('ext4', '64k', 'ext4', '-O', 'inline_data,^has_journal,^resize_inode');
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
  seeds.set('bundle', smallBundle());
});
after(() => room.close());

/** A bundle's tar with two small disks, and digests by the worker's blind digest. */
function smallBundle(): Uint8Array {
  const disks = [{ id: 'root', bytes: 1536 }, { id: 'data', bytes: 1024 }];
  const blind = () => ({ update() {}, digest: () => new Uint8Array(32) });
  const digests = new BundleDigests(blind, disks);
  const texts = { 'manifest.json': manifestText({ name: 'web', disks }), 'machine.yaml': 'a: 1\n' };
  const parts = Object.entries(texts).flatMap(([name, text]) => {
    digests.text(name, Buffer.from(text));
    return tarEntry(name, Buffer.from(text));
  });
  for (const { id, bytes } of disks) {
    parts.push(...tarEntry(pieceName(id, 0), Buffer.alloc(bytes, 7)));
  }
  parts.push(...tarEntry('digests.json', Buffer.from(digests.toText())), tarEnd);
  return new Uint8Array(Buffer.concat(parts));
}

async function makeExt4(name: string, size: string, ...type: string[]): Promise<void> {
  await room.run('truncate', '-s', size, name);
  await room.run('mke2fs', '-q', '-F', '-t', type[0]!, '-b', '1024', '-N', '32', '-d', 'tree',
    ...type.slice(1), name);
}

async function fuzz(reader: string, count: number, names: string[]): Promise<void> {
  const inputs = names.map((name): [string, Uint8Array] => [name, seeds.get(name)!]);
  const workerData: FuzzJob = { reader, count, seed, inputs };
  const worker = new Worker(new URL('./fuzz-worker.ts', import.meta.url), { workerData });
  const answered = await new Promise<number>((resolve, reject) => {
    const hung = setTimeout(() => reject(new Error(`${reader} hangs, seed ${seed}`)), 120_000);
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.once('exit', (code) => {
      clearTimeout(hung);
      reject(new Error(`the ${reader} thread ended with ${code} and no answer, seed ${seed}`));
    });
  }).finally(() => worker.terminate());
  // Were all of them refused, the mutations would only ever test the first check.
  assert.ok(answered > 0 && answered < count, `${answered} of ${count} were read`);
}

test('25,000 mutated qcow2 images', () => fuzz('qcow2', 25_000, ['qcow2', 'packed', 'zstd']));

test('16,000 mutated MBR and GPT disks, half of the GPTs with right checksums', () =>
  fuzz('partitions', 16_000, ['mbr', 'gpt', 'gpt', 'gpt']));

test('20,000 mutated ext file systems', () => fuzz('ext4', 20_000, ['ext4', 'ext2']));

test('8,000 mutated overlays', () => fuzz('cow', 8_000, ['cow']));

test('4,000 mutated machine bundles, half of them with right checksums', () =>
  fuzz('bundle', 4_000, ['bundle']));

test('14,000 mutated tar archives, half of them with right checksums', () =>
  fuzz('tar', 14_000, ['tar', 'pax']));

test('5,000 mutated xz files', () => fuzz('xz', 5_000, ['text.xz']));

test('4,000 mutated bzip2 files', () => fuzz('bzip2', 4_000, ['text.bz2']));

test('8,000 mutated inputs of every kind, recognised and inspected', () => fuzz('inspect', 8_000,
  ['ext4', 'ext2', 'tar', 'pax', 'qcow2', 'packed', 'zstd', 'gpt', 'mbr', 'cow']));
