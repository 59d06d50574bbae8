/** An overlay as the portable engine reads and writes it, beside the one that makes it. */
import { after, test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeOverlay } from '../../../../../src-main/app/node/disk-makers.ts';
import { OverlayBlock } from '../../../../../src-main/engines/riscv/node/overlay-block.ts';

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

test('what was not written is the image beneath, what was written is the overlay', async () => {
  const path = await fresh('mix');
  const disk = new OverlayBlock(path, image);
  assert.equal(disk.sectorCount, sectors);
  await disk.write(3, new Uint8Array(1024).fill(0xee));
  const read = new Uint8Array(6 * 512);
  await disk.read(1, read);
  const firsts = Array.from({ length: 6 }, (_, n) => read[n * 512]);
  assert.deepEqual(firsts, [1, 2, 0xee, 0xee, 5, 6]);
  await disk.flush();
  disk.close();
  assert.deepEqual(new Uint8Array(readFileSync(image)), below);
});

test('opened again it has all that was written, also by many writers at once', async () => {
  const path = await fresh('again');
  const disk = new OverlayBlock(path, image);
  const numbers = Array.from({ length: sectors }, (_, n) => (n * 77) % sectors);
  await Promise.all(numbers.map((n) => disk.write(n, new Uint8Array(512).fill(n ^ 0x55))));
  await disk.flush();
  disk.close();
  const again = new OverlayBlock(path, image);
  const all = new Uint8Array(sectors * 512);
  await again.read(0, all);
  for (let n = 0; n < sectors; n++) assert.equal(all[n * 512], (n ^ 0x55) & 0xff);
  again.close();
});

test('a damaged overlay is refused in a sentence', async () => {
  const path = await fresh('damaged');
  writeFileSync(path, 'no overlay');
  assert.throws(() => new OverlayBlock(path, image), { code: 'bad-input' });
});
