/** Ticks of 100 ns since `powerOnNs` of the host's monotonic clock, which all threads share. */
import type { Clock } from '../ports.ts';

export function nodeClock(powerOnNs: bigint): Clock {
  const here = Number(process.hrtime.bigint() - powerOnNs) / 100 - performance.now() * 10_000;
  return {
    ticks: () => Math.floor(performance.now() * 10_000 + here),
    wallMs: () => Date.now(),
  };
}
