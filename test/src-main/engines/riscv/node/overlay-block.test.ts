/** An overlay as the portable engine reads and writes it, beside the one that makes it. */
import { after, test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeOverlay } from '../../../../../src-main/app/node/disk-makers.ts';
import { diskPort, openDisk } from '../../../../../src-main/engines/riscv/node/disk-port.ts';

const directory = mkdtempSync(join(tmpdir(), 'nymph-overlay-'));
after(() => rmSync(directory, { recursive: true, force: true }));

const sectors = 300;
const image = join(directory, 'image.raw');
const below = Uint8Array.from({ length: sectors * 512 }, (_, n) => (n >> 9) & 0xff);
writeFileSync(image, below);

async function fresh(name: string): Promise<string> {
  const path = join(directory, `${name}.cow`);
  await makeOverlay(path, image);
  return path;
}

const open = (path: string) => diskPort(openDisk({ path, backing: image }));

test('what was not written is the image beneath, what was written is the overlay', async () => {
  const disk = open(await fresh('mix'));
  assert.equal(disk.sectorCount, sectors);
  disk.write(3, [new Uint8Array(1024).fill(0xee)]);
  const read = new Uint8Array(6 * 512);
  disk.read(1, [read]);
  const firsts = Array.from({ length: 6 }, (_, n) => read[n * 512]);
  assert.deepEqual(firsts, [1, 2, 0xee, 0xee, 5, 6]);
  await disk.flush();
  disk.close();
  assert.deepEqual(new Uint8Array(readFileSync(image)), below);
});

test('bytes go to and come from places of any length, cut inside a sector or not', async () => {
  const disk = open(await fresh('places'));
  const all = Uint8Array.from({ length: 5 * 512 }, (_, n) => (n * 7) & 0xff);
  const cut = (bytes: Uint8Array) =>
    [bytes.subarray(0, 100), bytes.subarray(100, 1500), bytes.subarray(1500, 1500),
      bytes.subarray(1500)]; // prettier-ignore
  disk.write(10, cut(all));
  disk.write(12, [new Uint8Array(512).fill(1)]);
  all.fill(1, 1024, 1536);
  const read = new Uint8Array(7 * 512);
  disk.read(9, cut(read));
  assert.deepEqual(read.subarray(512, 6 * 512), all);
  assert.deepEqual([read[0], read[6 * 512]], [9, 15]);
  disk.close();
});

test('opened again it has all that was written', async () => {
  const path = await fresh('again');
  const disk = open(path);
  const numbers = Array.from({ length: sectors }, (_, n) => (n * 77) % sectors);
  for (const n of numbers) disk.write(n, [new Uint8Array(512).fill(n ^ 0x55)]);
  await disk.flush();
  disk.close();
  const again = open(path);
  const all = new Uint8Array(sectors * 512);
  again.read(0, [all]);
  for (let n = 0; n < sectors; n++) assert.equal(all[n * 512], (n ^ 0x55) & 0xff);
  again.close();
});

test('a damaged overlay is refused in a sentence', async () => {
  const path = await fresh('damaged');
  writeFileSync(path, 'no overlay');
  assert.throws(() => openDisk({ path, backing: image }), { code: 'bad-input' });
});
