/**
 * What a client is told without asking, after `events.subscribe`: one snapshot, then one event
 * for each change, each carrying the whole of the thing that changed. A client only mirrors.
 */
import { z } from 'zod';
import { machineView, statsSample, trashedMachine } from './machine.ts';
import { canvasLayout, hostView, imageView, jobView, kernelView, networkView } from './things.ts';

export const events = {
  snapshot: z.object({
    host: hostView,
    machines: z.array(machineView),
    networks: z.array(networkView),
    images: z.array(imageView),
    kernels: z.array(kernelView),
    jobs: z.array(jobView),
  }),
  'machine.changed': machineView,
  'machine.removed': z.object({ id: z.string() }),
  /** The whole of the trash, the newest first. */
  'trash.changed': z.object({ machines: z.array(trashedMachine) }),
  'network.changed': networkView,
  'network.removed': z.object({ id: z.string() }),
  /** All places, whenever one moved. */
  'layout.changed': z.object({ places: canvasLayout }),
  'image.changed': imageView,
  'image.removed': z.object({ name: z.string() }),
  'kernel.changed': z.object({ kernels: z.array(kernelView) }),
  'job.changed': jobView,
  'host.changed': hostView,
  /** Only to clients that asked by `stats.watch`; keyed by machine id. */
  stats: z.record(z.string(), statsSample),
} as const;

export type Events = { [E in keyof typeof events]: z.output<(typeof events)[E]> };
export type EventName = keyof Events;
