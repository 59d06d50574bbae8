/** The pace of the line: never more on the way than the guest’s port holds. */
import { describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { lineWindowBytes, PacedLine } from '../../../src-main/guest/paced-line.ts';

function paced() {
  const written: number[] = [];
  return { line: new PacedLine((bytes) => written.push(bytes.length)), written };
}

describe('a paced line', () => {
  it('sends what fits the window and the rest as it is taken, frames whole', () => {
    const { line, written } = paced();
    for (let i = 0; i < 3; i++) line.send(new Uint8Array(800));
    assert.deepEqual(written, [800, 800]);
    assert.equal(line.settled, false);
    line.taken(600);
    assert.deepEqual(written, [800, 800, 800]);
    line.taken(2400);
    assert.equal(line.settled, true);
  });

  it('sends a frame that is larger than the window in pieces, with nothing in between', () => {
    const { line, written } = paced();
    line.send(new Uint8Array(4000));
    line.send(new Uint8Array(10));
    assert.equal(line.atBoundary, false);
    line.taken(1800);
    line.taken(2100);
    line.taken(3900);
    assert.equal(line.atBoundary, true);
    assert.deepEqual(written, [lineWindowBytes, 1800, 300, 100, 10]);
  });

  it('does not believe an agent that has taken more than was sent', () => {
    const { line, written } = paced();
    line.send(new Uint8Array(1800));
    line.send(new Uint8Array(1));
    line.taken(1801);
    line.taken(4_000_000_000);
    assert.deepEqual(written, [1800]);
    line.taken(1800);
    assert.deepEqual(written, [1800, 1]);
  });

  it('drops what would make it grow without end; the agent sees the gap', () => {
    const { line, written } = paced();
    for (let i = 0; i < 20; i++) line.send(new Uint8Array(1 << 20));
    for (let i = 1; i < 20_000; i++) line.taken(i * 1800);
    assert.equal(written.reduce((sum, each) => sum + each, 0), 8 << 20);
  });

  it('forgets all that waits when it starts anew', () => {
    const { line, written } = paced();
    line.send(new Uint8Array(5000));
    line.restart();
    line.send(new Uint8Array(5));
    assert.deepEqual(written, [1800, 5]);
  });
});
