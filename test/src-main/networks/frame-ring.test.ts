/** Goal: frames come out as they went in, whatever their sizes. Method: against a plain list. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { FrameRing } from '../../../src-main/networks/frame-ring.ts';
import { seeded } from './frames.ts';

test('a ring gives back what it took, in order, and refuses what does not fit', () => {
  const seed = 7;
  const random = seeded(seed);
  const ring = new FrameRing(2048);
  const list: Uint8Array[] = [];
  let refused = 0;
  for (let round = 0; round < 50_000; round += 1) {
    if (random() < 0.55) {
      const frame = Uint8Array.from({ length: Math.floor(random() * 300) }, () => random() * 256);
      if (ring.push(frame, 0, frame.length)) list.push(frame);
      else refused += 1;
    } else if (list.length > 0) {
      const at = ring.peekOffset();
      const frame = ring.bytes.slice(at, at + ring.peekLength());
      assert.deepEqual(frame, list.shift(), `seed ${seed} round ${round}`);
      ring.shift();
    }
    assert.equal(ring.count, list.length);
  }
  assert.ok(refused > 0);
});

test('a cleared ring is empty and can be used again', () => {
  const ring = new FrameRing(64);
  assert.equal(ring.push(new Uint8Array(100), 0, 100), false);
  assert.equal(ring.push(Uint8Array.of(1, 2), 0, 2), true);
  ring.clear();
  assert.equal(ring.count, 0);
  assert.equal(ring.push(Uint8Array.of(3), 0, 1), true);
  assert.equal(ring.bytes[ring.peekOffset()], 3);
});
