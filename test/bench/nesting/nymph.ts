/** Our side: machines of an engine inside one another, made and used through the public API. */
import type { EngineName } from '../../../src-main/contract/machine.ts';
import { openWorld, type World } from '../world.ts';
import { machines, runsOf, workScript, type Stack } from './stack.ts';

/** `programs` is an image with the programs; the engine calls a machine's second disk `disk`. */
export async function nymphStack(
  engine: EngineName, programs: string, disk: string,
): Promise<Stack> {
  const world = await openWorld();
  const nameOf = (depth: number) => machines[depth - 1]!.name;
  try {
    await done(world, await world.client.call('engine.prepare', { engine }));
    await done(world, await world.client.call('image.import', {
      source: { path: programs }, name: 'programs',
    }));
  } catch (thrown) {
    await world.close();
    throw thrown;
  }
  return {
    depthMax: machines.length,
    get pid() {
      return world.view(nameOf(1)).pid!;
    },
    async start(depth) {
      const { name, memoryMib } = machines[depth - 1]!;
      const inside = depth === 1 ? {} : { inside: nameOf(depth - 1) };
      await world.client.call('machine.create', { name, memoryMib, engine, ...inside });
      await world.client.call('disk.add', { machine: name, image: 'programs' });
      const began = performance.now();
      await world.start(name);
      await world.untilAgent(name);
      return performance.now() - began;
    },
    run: (depth, line) => runsOf(nameOf(depth), line, (hear) => {
      const wanted = { machine: nameOf(depth), argv: workScript(disk, line) };
      // The first byte of each message says which output it is of.
      return world.client.open('machine.exec', wanted, (bytes) => hear(bytes.subarray(1))).result;
    }),
    close: () => world.close(),
  };
}

/** Waits for a job; null is one that had nothing to do. */
async function done(world: World, job: { id: string; title: string } | null): Promise<void> {
  if (job === null) return;
  const { state, error } = await world.client.call('job.wait', { job: job.id });
  if (state !== 'done') throw new Error(`“${job.title}” failed: ${error}`);
}
