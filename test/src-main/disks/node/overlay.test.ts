/** Overlays on disk: made, judged and repaired. */
import assert from 'node:assert/strict';
import {
  chmod, mkdir, readdir, readFile, rename, rm, stat, truncate, utimes, writeFile,
} from 'node:fs/promises';
import { after, before, beforeEach, test } from 'node:test';
import {
  createOverlay, readOverlay, repairOverlay,
} from '../../../../src-main/disks/node/overlay.ts';
import { realHost } from '../../../../src-main/disks/node/new-file.ts';
import { openRoom, type Room } from '../inputs.ts';

let room: Room;
let backing: string;
let overlay: string;
before(async () => {
  room = await openRoom();
});
beforeEach(async () => {
  for (const name of await readdir(room.path)) await rm(room.file(name), { recursive: true });
  backing = room.file('image.raw');
  overlay = room.file('overlay.cow');
  await writeFile(backing, 'x'.repeat(1000));
  await truncate(backing, 64 * 2 ** 20);
  await utimes(backing, 1_700_000_000.75, 1_700_000_000.75);
});
after(() => room.close());

test('a new overlay names its image, has its size and occupies almost nothing', async () => {
  const facts = await createOverlay(overlay, backing);
  assert.deepEqual(facts.header, {
    backingPath: backing, backingSeconds: 1_700_000_000, backingBytes: 64 * 2 ** 20,
  });
  assert.equal(facts.state, 'good');
  assert.equal(facts.virtualBytes, 64 * 2 ** 20);
  assert.ok(facts.realBytes <= 16384, `${facts.realBytes}`);
  assert.equal((await stat(overlay)).size, 24576 + 64 * 2 ** 20);
  assert.deepEqual((await readdir(room.path)).sort(), ['image.raw', 'overlay.cow']);
});

test('an overlay never replaces a file and never lies on an overlay', async () => {
  await createOverlay(overlay, backing);
  await assert.rejects(createOverlay(overlay, backing), { code: 'exists' });
  await assert.rejects(createOverlay(room.file('b'), overlay), { code: 'unsupported' });
  await assert.rejects(createOverlay(room.file('b'), room.file('none')), { code: 'not-found' });
  await assert.rejects(createOverlay(room.file('b'), room.path), { code: 'unsupported' });
});

test('without space nothing is made', async () => {
  const full = { ...realHost, freeBytes: async () => 0 };
  await assert.rejects(createOverlay(overlay, backing, full), { code: 'no-space' });
  const filling = {
    ...realHost,
    writeAt: () => Promise.reject(Object.assign(new Error('full'), { code: 'ENOSPC' })),
  };
  await assert.rejects(createOverlay(overlay, backing, filling), { code: 'no-space' });
  assert.deepEqual(await readdir(room.path), ['image.raw']);
});

test('a changed time is seen and repaired; what the guest wrote stays', async () => {
  await createOverlay(overlay, backing);
  const bytes = await readFile(overlay);
  bytes[8192] = 1;
  bytes.fill(7, 24576, 24576 + 512);
  await writeFile(overlay, bytes);
  await utimes(backing, 1_800_000_000, 1_800_000_000);
  assert.equal((await readOverlay(overlay)).state, 'backing-newer');
  assert.equal((await repairOverlay(overlay)).state, 'good');
  const repaired = await readFile(overlay);
  assert.ok(repaired.subarray(4128).equals(bytes.subarray(4128)));
  assert.equal(repaired.readUInt32BE(8), 1_800_000_000);
});

test('a moved image is seen, and repaired when its new place is told', async () => {
  await createOverlay(overlay, backing);
  await mkdir(room.file('elsewhere'));
  const moved = room.file('elsewhere/image.raw');
  await rename(backing, moved);
  assert.equal((await readOverlay(overlay)).state, 'backing-missing');
  await assert.rejects(repairOverlay(overlay), { code: 'not-found' });
  const facts = await repairOverlay(overlay, moved);
  assert.deepEqual([facts.state, facts.header.backingPath], ['good', moved]);
});

test('an image of another size is not accepted', async () => {
  await createOverlay(overlay, backing);
  await truncate(backing, 32 * 2 ** 20);
  assert.equal((await readOverlay(overlay)).state, 'backing-resized');
  await assert.rejects(repairOverlay(overlay), { code: 'bad-input' });
});

test('an overlay that is cut off is refused', async () => {
  await createOverlay(overlay, backing);
  await chmod(overlay, 0o600);
  await truncate(overlay, 9000);
  await assert.rejects(readOverlay(overlay), { code: 'bad-input' });
});
