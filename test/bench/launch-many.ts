/**
 * launch-50: fifty machines asked for at once until the last one runs ÷ fifty bare spawns of the
 * same kernel until the last agent's hello.
 */
import { BareGuest } from './bare.ts';
import { learnWords } from './launch.ts';
import { compare, type Row } from './measure.ts';
import { openWorld, type World } from './world.ts';

export const machineCount = 50;

export const launchMany: Row = {
  name: 'launch-50',
  goal: { atMost: 2 },
  unit: '',
  how: 'fifty started together until all run ÷ fifty bare spawns',
  obstacle: () => undefined,
  async run({ rounds = 3, say }) {
    const world = await openWorld();
    try {
      const words = await learnWords(world);
      let round = 0;
      const ours = async (): Promise<number> => {
        const names = await makeMany(world, `r${++round}`);
        const tookMs = await startMany(world, names);
        for (const name of names) await world.remove(name);
        return tookMs;
      };
      const bare = async (): Promise<number> => {
        const guests: BareGuest[] = [];
        for (let index = 0; index < machineCount; index += 1) {
          guests.push(await BareGuest.prepare(words));
        }
        try {
          const began = performance.now();
          await Promise.all(guests.map((guest) => guest.start()));
          return performance.now() - began;
        } finally {
          for (const guest of guests) guest.kill();
        }
      };
      const result = await compare(rounds, ours, bare);
      say(`ms: ${result.ours.map(Math.round)} ÷ ${result.peer.map(Math.round)}`);
      return { value: result.ratio, samples: { oursMs: result.ours, bareMs: result.peer } };
    } finally {
      await world.close();
    }
  },
};

export async function makeMany(world: World, stem: string): Promise<string[]> {
  const names = Array.from({ length: machineCount }, (_, index) => `${stem}-${index}`);
  for (const name of names) await world.make(name);
  return names;
}

/** Milliseconds until the last of them runs. */
export async function startMany(world: World, names: readonly string[]): Promise<number> {
  const began = performance.now();
  await Promise.all(names.map((name) => world.start(name)));
  return performance.now() - began;
}
