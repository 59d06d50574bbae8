/**
 * A thread of a portable machine: one hart, or the timekeeper. It never returns to its event loop
 * before the machine stops; everything it hears comes through the shared memory.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { Bus } from '../devices/bus.ts';
import { Hart } from '../hart.ts';
import type { Shared } from '../hart.ts';
import { keepTime } from '../timekeeper.ts';
import { nodeClock } from './clock.ts';

export interface WorkerStart {
  role: 'hart' | 'time';
  index: number;
  shared: Shared;
  powerOnNs: bigint;
  firmware: boolean;
  resume: boolean;
  threshold: number;
}

const start = workerData as WorkerStart;
const { shared } = start;
const clock = nodeClock(start.powerOnNs, shared.memory);
if (start.role === 'time') keepTime(shared.memory, shared.layout, clock);
else {
  const bus = new Bus(shared.memory, shared.layout, clock);
  const hart = new Hart(shared, start.index, bus, clock);
  if (start.resume) hart.resume();
  else hart.reset(start.firmware);
  hart.state.setWord('threshold', start.threshold);
  try {
    hart.loop();
  } catch (error) {
    hart.stop(3);
    throw error;
  } finally {
    parentPort?.postMessage({
      index: start.index,
      retired: hart.retired(),
      jit: hart.translator.statistics(),
    });
  }
}
