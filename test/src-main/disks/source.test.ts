/** Sources: exact reads, refused ranges, caching and budgets. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  CachedSource, limited, MemorySource, SliceSource,
} from '../../../src-main/disks/source.ts';

const bytes = Uint8Array.from({ length: 100_000 }, (_, i) => (i * 7) & 255);
const refused = { name: 'Refusal', code: 'bad-input' };

test('a source gives exactly the bytes asked for', async () => {
  const source = new MemorySource(bytes);
  assert.deepEqual(await source.read(10, 3), bytes.subarray(10, 13));
  assert.equal((await source.read(100_000, 0)).length, 0);
});

test('a range that is not wholly inside is refused', async () => {
  const slice = new SliceSource(new MemorySource(bytes), 50, 100);
  const sources = [new MemorySource(bytes.subarray(0, 100)), slice, new CachedSource(slice)];
  for (const source of sources) {
    for (const [position, length] of [[99, 2], [101, 0], [-1, 1], [0, -1], [0.5, 1], [2 ** 60, 1],
      [NaN, 1], [0, Infinity]] as const) {
      await assert.rejects(source.read(position, length), refused);
    }
  }
  assert.throws(() => new SliceSource(new MemorySource(bytes), 99_999, 2), refused);
});

test('a slice is a window that begins at its start', async () => {
  const slice = new SliceSource(new MemorySource(bytes), 50, 100);
  assert.deepEqual(await slice.read(0, 100), bytes.subarray(50, 150));
});

test('a cached source reads the same bytes across pages, and each page once', async () => {
  let reads = 0;
  const inner = new MemorySource(bytes);
  const counted = {
    size: inner.size,
    read: (position: number, length: number) => {
      reads += 1;
      return inner.read(position, length);
    },
  };
  const cached = new CachedSource(counted, 1000, 50);
  assert.deepEqual(await cached.read(900, 2500), bytes.subarray(900, 3400));
  assert.deepEqual(await cached.read(99_990, 10), bytes.subarray(99_990));
  const before = reads;
  assert.deepEqual(await cached.read(1500, 1000), bytes.subarray(1500, 2500));
  assert.equal(reads, before);
});

test('a limited source ends a reader that never comes to an end', async () => {
  const source = limited(new MemorySource(bytes), 3, 1000);
  for (let i = 0; i < 3; i++) await source.read(0, 1);
  await assert.rejects(source.read(0, 1), refused);
  await assert.rejects(limited(new MemorySource(bytes), 3, 1000).read(0, 1001), refused);
});
