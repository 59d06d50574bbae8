/** The frames of the line: what goes in comes out, and nothing else does. */
import { describe, it } from 'node:test';
import assert from 'node:assert/strict';
import {
  crc32, encodeFrame, FrameReader, payloadBytesMax,
} from '../../../src-main/guest/frames.ts';

const frame = (sequence: number, payload = new Uint8Array([1, 2, 3])) => ({
  type: 67,
  session: 513,
  sequence,
  payload,
});

describe('a frame on the line', () => {
  it('comes out as it went in, whatever its bytes', () => {
    const payload = Uint8Array.from({ length: 256 }, (_, index) => index);
    const reader = new FrameReader();
    assert.deepEqual(reader.push(encodeFrame(frame(65_535, payload))), [frame(65_535, payload)]);
  });

  it('may be empty, or as long as the limit, and comes in any pieces', () => {
    const reader = new FrameReader();
    assert.deepEqual(reader.push(encodeFrame(frame(0, new Uint8Array(0)))), [
      frame(0, new Uint8Array(0)),
    ]);
    const longest = new Uint8Array(payloadBytesMax).fill(0xc0);
    const found = [];
    const bytes = encodeFrame(frame(1, longest));
    for (let at = 0; at < bytes.length; at += 999) {
      found.push(...reader.push(bytes.subarray(at, at + 999)));
    }
    assert.deepEqual(found, [frame(1, longest)]);
  });

  it('uses the CRC-32 of Ethernet and zip', () => {
    assert.equal(crc32(new TextEncoder().encode('123456789'), 9), 0xcbf43926);
  });

  it('is found again after a join in the middle of another one', () => {
    const reader = new FrameReader();
    const half = encodeFrame(frame(1)).subarray(7);
    assert.deepEqual(reader.push(half), []);
    assert.deepEqual(reader.push(encodeFrame(frame(2))), [frame(2)]);
    assert.equal(reader.droppedCount, 1);
  });

  it('is dropped when it is cut, too long, or has an escape that means nothing', () => {
    const reader = new FrameReader();
    const good = encodeFrame(frame(3));
    reader.push(good.subarray(0, 6));
    reader.push(new Uint8Array(200_000).fill(7));
    assert.deepEqual(reader.push(Uint8Array.of(0xc0, 1, 0xdb, 5, 2, 0xc0)), []);
    assert.deepEqual(reader.push(Uint8Array.of(0xc0, 1, 2, 0xdb, 0xc0)), []);
    assert.deepEqual(reader.push(good), [frame(3)]);
  });

  it('never passes with a bit flipped: 100,000 mutations', () => {
    const reader = new FrameReader();
    let seed = 1;
    const random = (below: number) => {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    const plain = encodeFrame(frame(9, Uint8Array.from({ length: 24 }, () => random(256))));
    let passed = 0;
    for (let round = 0; round < 100_000; round++) {
      const bytes = plain.slice();
      const at = 1 + random(bytes.length - 2);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << random(8));
      passed += reader.push(bytes).length;
    }
    assert.equal(passed, 0);
  });

  it('never comes from noise, and noise keeps nothing in memory', () => {
    const reader = new FrameReader();
    let seed = 99;
    const noise = Uint8Array.from({ length: 1_000_000 }, () => {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
      return seed >>> 24;
    });
    assert.deepEqual(reader.push(noise), []);
    reader.push(Uint8Array.of(0xc0));
    assert.deepEqual(reader.push(encodeFrame(frame(4))), [frame(4)]);
  });
});
