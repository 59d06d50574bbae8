/** The thread of a portable machine's timekeeper; like a hart's, it starts when it is told to. */
import { parentPort } from 'node:worker_threads';
import type { Layout } from '../layout.ts';
import { keepTime } from '../timekeeper.ts';
import { nodeClock } from './clock.ts';

export interface TimeStart {
  memory: WebAssembly.Memory;
  layout: Layout;
  powerOnNs: bigint;
}

parentPort?.once('message', ({ memory, layout, powerOnNs }: TimeStart) => {
  keepTime(memory, layout, nodeClock(powerOnNs, memory));
});
