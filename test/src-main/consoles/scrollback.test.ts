/** The ring of a console's last bytes: positions count everything, the ring keeps the newest. */
import { suite, test } from 'node:test';
import assert from 'node:assert/strict';
import { Scrollback, scrollbackBytesMax } from '../../../src-main/consoles/scrollback.ts';

/** Bytes that tell their own position, so that a wrong copy shows. */
function counting(start: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => (start + index) % 251);
}

suite('a scrollback', () => {
  test('starts empty and keeps what it is given', () => {
    const kept = new Scrollback();
    assert.deepEqual([kept.start, kept.end, kept.all().length], [0, 0, 0]);
    kept.append(new TextEncoder().encode('hello'));
    assert.equal(new TextDecoder().decode(kept.all()), 'hello');
    assert.deepEqual([kept.start, kept.end], [0, 5]);
  });

  test('is right after every step of a long walk of odd sizes, below and above its limit', () => {
    const limit = 10_000;
    const kept = new Scrollback(limit);
    let end = 0;
    for (const length of [1, 4095, 1, 3000, 0, 7777, 4096, 10_000, 9999, 10_001, 25_000, 3, 8192]) {
      kept.append(counting(end, length));
      end += length;
      assert.equal(kept.end, end);
      assert.ok(end - kept.start <= limit);
      assert.ok(end < limit || end - kept.start >= Math.min(end, 4096));
      assert.deepEqual(kept.all(), counting(kept.start, end - kept.start));
    }
    assert.equal(kept.end - kept.start, limit);
  });

  test('answers with a piece from any position it still has', () => {
    const kept = new Scrollback(8192);
    kept.append(counting(0, 20_000));
    for (const at of [kept.start, kept.start + 1, 15_000, 19_999, 20_000]) {
      assert.deepEqual(kept.read(at, 100), counting(at, Math.min(100, 20_000 - at)));
    }
  });

  test('hands out copies, which later bytes do not change', () => {
    const kept = new Scrollback(4096);
    kept.append(counting(0, 4096));
    const before = kept.read(0, 10);
    kept.append(new Uint8Array(4096).fill(255));
    assert.deepEqual(before, counting(0, 10));
  });

  test('does not pretend to have what is gone or not yet there', () => {
    const kept = new Scrollback(4096);
    kept.append(new Uint8Array(5000));
    assert.throws(() => kept.read(0, 1), /invariant/);
    assert.throws(() => kept.read(5001, 1), /invariant/);
  });

  test('never keeps more than 256 KiB unless told otherwise', () => {
    const kept = new Scrollback();
    for (let round = 0; round < 100; round++) kept.append(new Uint8Array(10_000));
    assert.equal(kept.all().length, scrollbackBytesMax);
    assert.equal(kept.end, 1_000_000);
  });
});
