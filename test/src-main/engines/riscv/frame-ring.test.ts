/** Frames between two threads: in order, whole, never more than there is room for. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import {
  FrameRing,
  frameRingBytes,
} from '../../../../src-main/engines/riscv/devices/frame-ring.ts';

function ringOf(capacity: number): FrameRing {
  return new FrameRing(new SharedArrayBuffer(frameRingBytes(capacity)));
}

test('frames come out as they went in, in order', () => {
  const ring = ringOf(256);
  assert.equal(ring.take(), null);
  assert.ok(ring.put(Uint8Array.of(1, 2, 3)));
  assert.ok(ring.put(Uint8Array.of()));
  assert.ok(ring.put(Uint8Array.of(4)));
  assert.deepEqual([...ring.take()!], [1, 2, 3]);
  assert.deepEqual([...ring.take()!], []);
  assert.deepEqual([...ring.take()!], [4]);
  assert.equal(ring.take(), null);
});

test('a full ring refuses, and one that is too small for the frame always does', () => {
  const ring = ringOf(32);
  assert.ok(!ring.put(new Uint8Array(29)));
  assert.ok(ring.put(new Uint8Array(12)));
  assert.ok(ring.put(new Uint8Array(12)));
  assert.ok(!ring.put(new Uint8Array(1)));
  assert.equal(ring.take()!.length, 12);
  assert.ok(ring.put(new Uint8Array(8)));
});

test('any mix of sizes goes round and round without a loss', () => {
  const ring = ringOf(1 << 12);
  let seed = 7;
  const next = () => (seed = (seed * 1_103_515_245 + 12_345) & 0x7fff_ffff);
  const sent: Uint8Array[] = [];
  for (let round = 0; round < 20_000; round++) {
    const frame = new Uint8Array(next() % 1500).fill(round);
    if (next() % 3 !== 0 && ring.put(frame)) sent.push(frame);
    else {
      const taken = ring.take();
      assert.deepEqual(taken, sent.shift() ?? null);
    }
  }
});
