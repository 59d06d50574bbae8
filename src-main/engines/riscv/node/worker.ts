/**
 * The thread of one hart of a portable machine. It is told to start when its code is loaded, and
 * then does not return to its event loop before the machine stops; everything it hears comes
 * through the shared memory.
 */
import { parentPort } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import { Bus } from '../devices/bus.ts';
import { Hart } from '../hart.ts';
import type { Shared } from '../hart.ts';
import { nodeClock } from './clock.ts';
import { HartDisks } from './hart-disks.ts';
import { RemoteWorkshop } from './remote-workshop.ts';

export interface HartStart {
  index: number;
  shared: Shared;
  powerOnNs: bigint;
  firmware: boolean;
  resume: boolean;
  threshold: number;
  workshop: MessagePort;
  /** Brings the disks. */
  disks: MessagePort;
}

/** What a hart's thread says when the machine has stopped. */
export interface HartEnded {
  index: number;
  retired: bigint;
  jit: unknown;
}

parentPort?.once('message', (start: HartStart) => {
  const { shared, index } = start;
  const workshop = new RemoteWorkshop(start.workshop);
  const clock = nodeClock(start.powerOnNs, shared.memory);
  const bus = new Bus(shared.memory, shared.layout, clock);
  const disks = new HartDisks(bus, shared, start.disks);
  bus.serve = (slot) => disks.serve(slot);
  const hart = new Hart(shared, index, bus, clock, workshop);
  if (start.resume) hart.resume();
  else hart.reset(start.firmware);
  hart.state.setWord('threshold', start.threshold);
  try {
    hart.loop();
  } catch (error) {
    hart.stop(3);
    throw error;
  } finally {
    const ended: HartEnded = { index, retired: hart.retired(), jit: hart.translator.statistics() };
    parentPort?.postMessage(ended);
    workshop.close();
    disks.close();
  }
});
