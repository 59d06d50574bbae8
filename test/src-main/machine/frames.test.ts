/** Frames of an inner machine: whole whatever the pieces, and nothing believed after a bad one. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import {
  encodeFrame, FrameDecoder, framesOf, payloadBytesMax, word,
} from '../../../src-main/machine/frames.ts';
import { FrameLine } from '../../../src-main/machine/frame-line.ts';

type Frame = [channel: number, bytes: Uint8Array];

function decoder() {
  const frames: Frame[] = [];
  return { frames, decoder: new FrameDecoder((...frame) => frames.push(frame)) };
}

/** Numbers that look random and are the same at every run. */
function dice(seed: number) {
  let state = seed;
  return (below: number) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % below;
  };
}

suite('a frame', () => {
  test('is channel, length in little-endian, bytes', () => {
    const frame = encodeFrame(3, new Uint8Array(0x102).fill(9));
    assert.deepEqual([...frame.subarray(0, 4)], [3, 0x02, 0x01, 9]);
    assert.equal(frame.length, 3 + 0x102);
  });

  test('long bytes go over several, none longer than may be', () => {
    const bytes = new Uint8Array(2 * payloadBytesMax + 1).map((_, n) => n);
    const { frames, decoder: into } = decoder();
    for (const frame of framesOf(1, bytes)) assert.ok(into.take(frame));
    const lengths = frames.map(([, piece]) => piece.length);
    assert.deepEqual(lengths, [payloadBytesMax, payloadBytesMax, 1]);
    assert.deepEqual(Buffer.concat(frames.map(([, piece]) => piece)), Buffer.from(bytes));
  });

  test('comes out whole, whatever the pieces it came in', () => {
    for (let seed = 1; seed <= 50; seed++) {
      const roll = dice(seed);
      const sent: Frame[] = Array.from({ length: 20 }, () => [
        roll(256),
        new Uint8Array(roll(4) === 0 ? 0 : roll(3000)).map(() => roll(256)),
      ]);
      const stream = Buffer.concat(sent.map(([channel, bytes]) => encodeFrame(channel, bytes)));
      const { frames, decoder: into } = decoder();
      for (let at = 0; at < stream.length; ) {
        const size = 1 + roll(500);
        assert.ok(into.take(stream.subarray(at, at + size)));
        at += size;
      }
      assert.deepEqual(frames, sent, `seed ${seed}`);
    }
  });

  test('one that is too long ends it: what follows is never heard', () => {
    const { frames, decoder: into } = decoder();
    assert.ok(into.take(encodeFrame(1, Uint8Array.of(1))));
    assert.equal(into.take(Uint8Array.of(1, 0x01, 0x40)), false);
    assert.equal(into.take(encodeFrame(1, Uint8Array.of(2))), false);
    assert.deepEqual(frames, [[1, Uint8Array.of(1)]]);
  });

  test('noise of any kind yields only frames that may be, and never throws', () => {
    for (let seed = 1; seed <= 200; seed++) {
      const roll = dice(seed);
      const { frames, decoder: into } = decoder();
      into.take(new Uint8Array(40_000).map(() => roll(256)));
      assert.ok(frames.every(([, bytes]) => bytes.length <= payloadBytesMax), `seed ${seed}`);
    }
  });
});

suite('a line over frames', () => {
  test('writes on its own channel', () => {
    const sent: Uint8Array[] = [];
    new FrameLine(2, (frame) => sent.push(frame)).write(Uint8Array.of(7, 8));
    assert.deepEqual(sent, [encodeFrame(2, Uint8Array.of(7, 8))]);
  });

  test('a listener that waits stops the channel, loses nothing and starts it again', async () => {
    const sent: Uint8Array[] = [];
    const heard: number[] = [];
    const busy = Promise.withResolvers<void>();
    const started = Promise.withResolvers<void>();
    const line = new FrameLine(5, (frame) => {
      sent.push(frame);
      if (frame[0] === word.go) started.resolve();
    });
    line.onBytes = ([byte]) => {
      heard.push(byte!);
      if (byte === 1) return busy.promise;
    };
    line.take(Uint8Array.of(1));
    line.take(Uint8Array.of(2));
    line.take(Uint8Array.of(3));
    assert.deepEqual(sent, [encodeFrame(word.stop, Uint8Array.of(5))]);
    assert.deepEqual(heard, [1]);
    busy.resolve();
    await started.promise;
    assert.deepEqual(heard, [1, 2, 3]);
    assert.deepEqual(sent.at(-1), encodeFrame(word.go, Uint8Array.of(5)));
  });
});
