/** The qcow2 reader against images of qemu-img: the same disk must come out. */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { codecs } from '../../../src-main/disks/node/codecs.ts';
import { openQcow2, type Qcow2 } from '../../../src-main/disks/qcow2.ts';
import { MemorySource } from '../../../src-main/disks/source.ts';
import { assertSame, mixedBytes, openRoom, type Room } from './inputs.ts';

const disk = new Uint8Array(6 * 2 ** 20 + 512);
let room: Room;

before(async () => {
  room = await openRoom();
  disk.set(mixedBytes(1_500_000, 3), 70_000);
  disk.set(mixedBytes(300_000, 4), 4_000_000);
  disk.set(mixedBytes(512, 5), disk.length - 512);
  await writeFile(room.file('raw'), disk);
});
after(() => room.close());

async function open(name: string): Promise<Qcow2> {
  const bytes = new Uint8Array(await readFile(room.file(name)));
  return openQcow2(new MemorySource(bytes), codecs);
}

async function convert(name: string, ...options: string[]): Promise<Qcow2> {
  await room.run('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', ...options, 'raw', name);
  return open(name);
}

/** Reads the whole disk by runs, as a conversion does. */
async function contentOf(image: Qcow2): Promise<Uint8Array> {
  const out = new Uint8Array(image.size);
  for (let at = 0; at < image.size;) {
    const run = await image.run(at);
    if (!run.zero) out.set(await image.read(at, run.length), at);
    at += run.length;
  }
  return out;
}

const kinds: Record<string, string[]> = {
  'version 3': [],
  'version 2': ['-o', 'compat=0.10'],
  'deflate': ['-c'],
  'zstd': ['-c', '-o', 'compression_type=zstd'],
  'clusters of 512 bytes': ['-o', 'cluster_size=512'],
  'clusters of 512 bytes, compressed': ['-c', '-o', 'cluster_size=512'],
  'clusters of 2 MiB': ['-o', 'cluster_size=2M'],
  'clusters of 2 MiB, zstd': ['-c', '-o', 'cluster_size=2M,compression_type=zstd'],
  'subclusters': ['-o', 'extended_l2=on,cluster_size=128k'],
  'subclusters and deflate': ['-c', '-o', 'extended_l2=on'],
  'all metadata allocated beforehand': ['-o', 'preallocation=metadata'],
};

for (const [kind, options] of Object.entries(kinds)) {
  test(`an image of qemu-img gives the same disk: ${kind}`, async () => {
    const image = await convert('image', ...options);
    assert.equal(image.size, disk.length);
    assertSame(await contentOf(image), disk);
    assertSame(await image.read(69_000, 70_000), disk.subarray(69_000, 139_000));
  });
}

test('what a guest wrote and took back later is read as it is now', async () => {
  await convert('changed', '-o', 'extended_l2=on');
  const expected = disk.slice();
  await room.run('qemu-io', '-f', 'qcow2', '-c', 'write -P 0x5a 100000 9000', '-c',
    'write -z 300000 500000', '-c', 'discard 1000000 262144', 'changed');
  await room.run('qemu-img', 'convert', '-O', 'raw', 'changed', 'changed.raw');
  expected.set(await readFile(room.file('changed.raw')));
  assertSame(await contentOf(await open('changed')), expected);
});

test('an internal snapshot is left aside, the disk as it is now is read', async () => {
  await convert('snap');
  await room.run('qemu-img', 'snapshot', '-c', 'before', 'snap');
  await room.run('qemu-io', '-f', 'qcow2', '-c', 'write -P 1 0 65536', 'snap');
  const image = await open('snap');
  assert.equal(image.header.snapshots, 1);
  assertSame(await image.read(0, 65536), new Uint8Array(65536).fill(1));
});

test('a read outside the disk is refused', async () => {
  const image = await convert('outside');
  await assert.rejects(image.read(image.size - 1, 2), { code: 'bad-input' });
});

async function refusalOf(name: string, change?: (view: DataView) => void): Promise<string> {
  const bytes = new Uint8Array(await readFile(room.file(name)));
  change?.(new DataView(bytes.buffer));
  try {
    await openQcow2(new MemorySource(bytes), codecs);
  } catch (thrown) {
    assert.equal((thrown as Error).name, 'Refusal');
    return (thrown as Error).message;
  }
  return 'none';
}

test('each thing that cannot be read is refused with its own sentence', async () => {
  await convert('plain');
  await room.run('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', 'plain', '-F', 'qcow2', 'child');
  await room.run('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', 'data_file=data', 'outer', '1M');
  assert.match(await refusalOf('child'), /changes to another file \("plain"\).*qemu-img convert/);
  assert.match(await refusalOf('outer'), /keeps its data in another file/);
  const feature = (bits: number) => (view: DataView) => view.setUint32(76, bits);
  assert.match(await refusalOf('plain', (view) => view.setUint32(32, 1)), /encrypted/);
  assert.match(await refusalOf('plain', feature(2)), /marked as corrupt/);
  assert.match(await refusalOf('plain', feature(0x40)), /not known here \(0x40\)/);
  assert.match(await refusalOf('plain', (view) => view.setUint32(4, 1)), /version 1/);
  assert.match(await refusalOf('plain', (view) => view.setUint32(4, 9)), /version 9/);
  assert.match(await refusalOf('plain', (view) => view.setUint32(24, 0x100000)), /4 PiB.*16 TiB/);
  assert.match(await refusalOf('plain', (view) => view.setUint32(20, 40)), /cluster size/);
  assert.match(await refusalOf('plain', (view) => view.setUint32(44, 0x7fffffff)), /table/);
});

test('an image that was not closed is read all the same', async () => {
  await convert('dirty');
  assert.equal(await refusalOf('dirty', (view) => view.setUint32(76, 1)), 'none');
});

test('a file that is cut off is refused, not read as zeros', async () => {
  await convert('cut');
  const bytes = new Uint8Array(await readFile(room.file('cut')));
  const image = await openQcow2(new MemorySource(bytes.subarray(0, 1_000_000)), codecs);
  await assert.rejects(contentOf(image), { code: 'bad-input' });
});
