/** The messages: their bytes, and what is made of broken ones. */
import { describe, it } from 'node:test';
import assert from 'node:assert/strict';
import {
  decodeGuest, encodeHost, execFits, type ExecRequest,
} from '../../../src-main/guest/protocol.ts';

const bytes = (...list: number[]) => Uint8Array.from(list);
const guest = (type: number, session: number, payload: Uint8Array) =>
  decodeGuest({ type, session, sequence: 0, payload });

describe('what the host says', () => {
  it('starts a command: flags, size, credit, counts, then words with a NUL each', () => {
    const { type, session, payload } = encodeHost({
      kind: 'exec', session: 7, argv: ['a', 'b c'], env: ['X=1'], cwd: '/r',
      tty: { rows: 24, columns: 300 }, creditBytes: 65_537,
    });
    assert.deepEqual([type, session], [2, 7]);
    assert.deepEqual(
      payload,
      bytes(1, 24, 0, 44, 1, 1, 0, 1, 0, 2, 0, 1, 0,
        ...new TextEncoder().encode('/r\0a\0b c\0X=1\0')),
    );
  });

  it('sets the window of a session without a path, of a console with one', () => {
    const size = { rows: 2, columns: 3 };
    assert.deepEqual(encodeHost({ kind: 'window', session: 5, path: '', ...size }).payload,
      bytes(2, 0, 3, 0));
    assert.deepEqual(encodeHost({ kind: 'window', session: 0, path: '/d', ...size }).payload,
      bytes(2, 0, 3, 0, 47, 100, 0));
  });

  it('does not send a command that cannot be sent', () => {
    const request: ExecRequest = { argv: ['x'], env: [], cwd: '', creditBytes: 1 };
    assert.equal(execFits(request), true);
    assert.equal(execFits({ ...request, argv: [] }), false);
    assert.equal(execFits({ ...request, argv: ['a\0b'] }), false);
    assert.equal(execFits({ ...request, argv: ['x'.repeat(70_000)] }), false);
    assert.equal(execFits({ ...request, env: Array.from({ length: 1025 }, () => 'A=1') }), false);
  });
});

describe('what the guest says', () => {
  it('ends a command by a code, a signal, or by not starting', () => {
    const ending = (...list: number[]) => guest(69, 1, bytes(...list));
    assert.deepEqual(ending(0, 3, 0, 0, 0), {
      kind: 'exit', session: 1, ending: { kind: 'exited', code: 3 },
    });
    assert.deepEqual(ending(1, 9, 0, 0, 0), {
      kind: 'exit', session: 1, ending: { kind: 'signaled', signal: 9 },
    });
    assert.deepEqual(ending(2, 2, 0, 0, 0), {
      kind: 'exit', session: 1, ending: { kind: 'not-started', errno: 2, place: '' },
    });
    assert.equal(ending(3, 0, 0, 0, 0), undefined);
    assert.equal(ending(0, 3), undefined);
  });

  it('is nothing when it breaks the form', () => {
    assert.equal(guest(65, 0, bytes(1, 0)), undefined);
    assert.equal(guest(70, 0, bytes(1, 2, 3)), undefined);
    assert.equal(guest(71, 0, bytes(1, 255, 255, 0)), undefined);
    assert.equal(guest(71, 0, bytes(1, 2)), undefined);
    assert.equal(guest(0, 0, bytes()), undefined);
    assert.equal(guest(255, 0, bytes(1)), undefined);
  });

  it('may be anything: 100,000 random payloads throw nothing', () => {
    let seed = 5;
    const random = (below: number) => {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    for (let round = 0; round < 100_000; round++) {
      const payload = Uint8Array.from({ length: random(40) }, () => random(256));
      guest(60 + random(20), random(65_536), payload);
    }
  });
});
