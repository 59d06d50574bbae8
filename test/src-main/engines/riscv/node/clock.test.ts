/** The machine's clock reads the same on every thread, however badly a thread was treated. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { nodeClock } from '../../../../../src-main/engines/riscv/node/clock.ts';

const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
const read = process.hrtime.bigint;

/** A reading after which the thread is put off for a while, as often as `times`. */
function putOff(times: number): () => bigint {
  let left = times;
  return () => {
    const now = read();
    if (left-- > 0) for (const until = now + 5_000_000n; read() < until; );
    return now;
  };
}

test('a thread that is put off while it sets its clock sets it right', () => {
  const powerOnNs = read();
  process.hrtime.bigint = putOff(3);
  const clock = nodeClock(powerOnNs, memory);
  process.hrtime.bigint = read;
  for (let n = 0; n < 20; n++) {
    const before = Number(read() - powerOnNs) / 100;
    const ticks = clock.ticks();
    const after = Number(read() - powerOnNs) / 100;
    assert.ok(before - 2 < ticks && ticks < after + 2, `${before} ${ticks} ${after}`);
  }
});
