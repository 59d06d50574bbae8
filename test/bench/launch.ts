/**
 * launch: one confined machine through the public API ÷ a bare spawn of the same kernel.
 * From the request until the event that says `running`; bare, from the spawn until the agent's
 * hello. Every round has a machine of its own, never started before.
 */
import { BareGuest, readWords, type Words } from './bare.ts';
import { compare, type Row } from './measure.ts';
import { openWorld, type World } from './world.ts';

export const launch: Row = {
  name: 'launch',
  goal: { atMost: 2 },
  unit: '',
  how: 'start to running, confined, through the API ÷ bare unconfined spawn to the agent’s hello',
  obstacle: () => undefined,
  async run({ rounds = 9, say }) {
    const world = await openWorld();
    try {
      const words = await learnWords(world);
      const timer = launchTimer(world);
      const { ratio, ours, peer } = await compare(rounds, timer, () => launchBare(words));
      say(`ms: ${ours.map(Math.round)} ÷ ${peer.map(Math.round)}`);
      return { value: ratio, samples: { oursMs: ours, bareMs: peer } };
    } finally {
      await world.close();
    }
  },
};

/** The command line of this world's machines, read off one that runs. */
export async function learnWords(world: World): Promise<Words> {
  await world.make('model');
  await world.start('model');
  if (world.view('model').confinement !== 'on') throw new Error('no compartment can be made here');
  const words = readWords(world, 'model');
  await world.remove('model');
  return words;
}

export function launchTimer(world: World): () => Promise<number> {
  let count = 0;
  return async () => {
    const name = `m${++count}`;
    await world.make(name);
    try {
      return await world.start(name);
    } finally {
      await world.remove(name);
    }
  };
}

async function launchBare(words: Words): Promise<number> {
  const guest = await BareGuest.prepare(words);
  try {
    return await guest.start();
  } finally {
    guest.kill();
  }
}
