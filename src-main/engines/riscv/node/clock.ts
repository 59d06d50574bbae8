/**
 * Ticks of 100 ns since `powerOnNs` of the host's monotonic clock, which all threads share, less
 * those for which the machine was held: its time stands still with it.
 *
 * `performance.now()` is the cheap reading of that clock, from an origin of each thread's own. The
 * origins must be known to within a tick: a guest whose processors disagree sees time go back, and
 * makes of it a leap of 2^40 ns.
 */
import { at, machine } from '../layout.ts';
import type { Clock } from '../ports.ts';

const nsPerTick = 100;
const triesMax = 10_000;

export function nodeClock(powerOnNs: bigint, memory: WebAssembly.Memory): Clock {
  const here = originNs(powerOnNs) / nsPerTick;
  const stood = new Float64Array(memory.buffer, at.machine + machine.stood, 1);
  return {
    ticks: () => Math.floor(performance.now() * 10_000 + here - stood[0]!),
    wallMs: () => Date.now(),
  };
}

/** This thread's origin, from power-on; one that is put off between two readings tries again. */
function originNs(powerOnNs: bigint): number {
  let [low, high] = [-Infinity, Infinity];
  for (let tries = 0; tries < triesMax && high - low > nsPerTick; tries++) {
    const before = performance.now();
    const now = Number(process.hrtime.bigint() - powerOnNs);
    const after = performance.now();
    low = Math.max(low, now - after * 1e6);
    high = Math.min(high, now - before * 1e6);
  }
  return (low + high) / 2;
}
