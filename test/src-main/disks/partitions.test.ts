/** GPT from sgdisk and MBR made by hand, whole and damaged. */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { readPartitions } from '../../../src-main/disks/partitions.ts';
import { MemorySource } from '../../../src-main/disks/source.ts';
import { mbrDisk, mbrSector, openRoom, type Room } from './inputs.ts';

let room: Room;
let gpt: Uint8Array;
before(async () => {
  room = await openRoom();
  await room.run('truncate', '-s', '8M', 'gpt');
  await room.run('sgdisk', '-n', '1:2048:4095', '-t', '1:ef00', '-n', '3:4096:8191', '-t', '3:8304',
    '-c', '3:root', 'gpt');
  gpt = new Uint8Array(await readFile(room.file('gpt')));
});
after(() => room.close());

const read = (bytes: Uint8Array) => readPartitions(new MemorySource(bytes));
const expected = [
  { index: 1, startByte: 2048 * 512, sizeBytes: 2048 * 512,
    type: 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b' },
  { index: 3, startByte: 4096 * 512, sizeBytes: 4096 * 512,
    type: '4f68bce3-e8cd-4db1-96e7-fbcaf984b709', name: 'root' },
];

test('a GPT gives its partitions with their own numbers', async () => {
  assert.deepEqual(await read(gpt), { scheme: 'gpt', partitions: expected });
});

test('a GPT with a broken header or list is read from the copy at the end', async () => {
  for (const at of [512 + 20, 1024 + 3]) {
    const broken = gpt.slice();
    broken[at]! ^= 1;
    assert.deepEqual(await read(broken),
      { scheme: 'gpt', partitions: expected, fromBackup: true });
  }
});

test('a GPT that is broken at both ends is refused', async () => {
  const broken = gpt.slice();
  broken[512 + 20]! ^= 1;
  broken[broken.length - 512 + 20]! ^= 1;
  await assert.rejects(read(broken), { code: 'bad-input' });
});

test('a GPT with sectors of 4096 bytes is understood', async () => {
  const large = new Uint8Array(2 ** 20);
  large.set(gpt.subarray(0, 512));
  // Header and list of the 512-byte disk, moved; the numbers in them count larger sectors now.
  const file = room.file('large');
  await writeFile(file, large);
  const header = gpt.slice(512, 1024);
  const entries = gpt.slice(1024, 1024 + 128 * 128);
  const view = new DataView(entries.buffer);
  view.setBigUint64(32, 6n, true);
  view.setBigUint64(40, 7n, true);
  entries.fill(0, 128);
  const { crc32 } = await import('../../../src-main/disks/bytes.ts');
  const head = new DataView(header.buffer);
  head.setBigUint64(72, 2n, true);
  head.setUint32(88, crc32(entries), true);
  head.setUint32(16, 0, true);
  head.setUint32(16, crc32(header.subarray(0, 92)), true);
  large.set(header, 4096);
  large.set(entries, 8192);
  const table = await read(large);
  assert.deepEqual(table.partitions.map((part) => [part.startByte, part.sizeBytes]),
    [[6 * 4096, 2 * 4096]]);
});

test('an MBR gives primary partitions, then the logical ones from 5', async () => {
  const table = await read(mbrDisk());
  assert.equal(table.scheme, 'mbr');
  assert.deepEqual(table.partitions, [
    { index: 1, startByte: 512, sizeBytes: 4 * 512, type: '0x83' },
    { index: 5, startByte: 6 * 512, sizeBytes: 8 * 512, type: '0x83' },
    { index: 6, startByte: 22 * 512, sizeBytes: 8 * 512, type: '0x82' },
  ]);
});

test('a chain of logical partitions that bites its own tail comes to an end', async () => {
  const disk = mbrDisk();
  disk.set(mbrSector([
    { type: 0x83, start: 1, sectors: 1 }, { type: 0x05, start: 15, sectors: 20 },
  ]), 20 * 512);
  const table = await read(disk);
  assert.equal(table.partitions.length, 3);
});

test('a partition behind the end of the disk means that the file is cut off', async () => {
  await assert.rejects(read(mbrDisk().subarray(0, 20 * 512)), { code: 'bad-input' });
  await assert.rejects(read(gpt.subarray(0, 3 * 2 ** 20)), { code: 'bad-input' });
});

test('a disk without a table says so', async () => {
  assert.deepEqual(await read(new Uint8Array(4096)), { scheme: 'none', partitions: [] });
  assert.deepEqual(await read(new Uint8Array(100)), { scheme: 'none', partitions: [] });
});
