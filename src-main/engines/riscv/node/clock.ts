/**
 * Ticks of 100 ns since `powerOnNs` of the host's monotonic clock, which all threads share, less
 * those for which the machine was held: its time stands still with it.
 */
import { at, machine } from '../layout.ts';
import type { Clock } from '../ports.ts';

export function nodeClock(powerOnNs: bigint, memory: WebAssembly.Memory): Clock {
  const here = Number(process.hrtime.bigint() - powerOnNs) / 100 - performance.now() * 10_000;
  const stood = new Float64Array(memory.buffer, at.machine + machine.stood, 1);
  return {
    ticks: () => Math.floor(performance.now() * 10_000 + here - stood[0]!),
    wallMs: () => Date.now(),
  };
}
