/**
 * resume: a Tiny Linux of the portable engine that was suspended to disk, from asking for it
 * until its shell answers a return key. Its own start, until logged in, is in the samples.
 */
import { kernelsStep } from '../support/kernels.ts';
import { median, type Row } from './measure.ts';
import { Shell } from './shell.ts';
import { openWorld } from './world.ts';

/** By then a server that is new has had Node keep what machines load, which any other has. */
const warmMs = 8000;

export const resume: Row = {
  name: 'resume',
  goal: { atMost: 300 },
  unit: ' ms',
  how: 'a suspended Tiny Linux, portable, from asking for it until its prompt is there, median',
  obstacle: () => undefined,
  async run({ rounds = 9, say }) {
    const world = await openWorld();
    const { client } = world;
    const machine = 'rv';
    const resumed: number[] = [];
    try {
      await kernelsStep(client, 'portable');
      await client.call('machine.create', { name: machine, engine: 'portable' });
      const began = performance.now();
      const answering = world.untilAgent(machine);
      await client.call('machine.start', { machine });
      (await Shell.open(client, machine)).close();
      const started = performance.now() - began;
      await answering;
      for (let round = 0; round < rounds; ) {
        await client.call('machine.suspend', { machine });
        const asked = performance.now();
        await client.call('machine.start', { machine });
        const shell = new Shell(client, machine);
        await shell.say('\r', '\r\n');
        await shell.until('# ');
        shell.close();
        if (asked - began < warmMs) continue;
        resumed.push(performance.now() - asked);
        round += 1;
      }
      const value = median(resumed);
      say(`ms: ${resumed.map(Math.round)}; its start, until logged in: ${Math.round(started)}`);
      return { value, samples: { resumed, started: [started] } };
    } finally {
      await world.close();
    }
  },
};
