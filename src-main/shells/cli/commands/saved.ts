/** Commands about machines on disk as they were: suspended ones, snapshots and their clones. */
import { Refusal } from '../../../base/refusal.ts';
import type { MachineView } from '../../../contract/machine.ts';
import type { Command, Commands } from '../main.ts';
import { bytes, data, json, say, table } from '../print.ts';
import { untilRunning } from './life.ts';

const clonesMax = 100;

export const savedCommands: Commands = {
  suspend: {
    usage: 'suspend M',
    about: 'Write a portable machine to disk with all that runs in it; start goes on from there',
    words: [1, 1],
    run: async (client, { positionals, values }) => {
      const machine = await client.call('machine.suspend', { machine: positionals[0]! });
      if (values['json']) json(machine);
    },
  },
  'snapshot ls': {
    usage: 'snapshot ls M',
    about: 'List the snapshots of a machine',
    words: [1, 1],
    run: async (client, { positionals, values }) => {
      const snapshots = await client.call('snapshot.list', { machine: positionals[0]! });
      if (values['json']) return json(snapshots);
      table(
        ['name', 'taken', 'holds', 'size'],
        snapshots.map(({ name, createdMs, memory, realBytes }) => [
          name, new Date(createdMs).toISOString(), memory ? 'memory, disks' : 'disks',
          bytes(realBytes),
        ]), // prettier-ignore
      );
    },
  },
  'snapshot create': {
    usage: 'snapshot create M [NAME]',
    about: 'Keep a machine as it is now: its disks and, unless it is off, its memory',
    words: [1, 2],
    run: async (client, { positionals, values }) => {
      const [machine, snapshot] = positionals as [string, string?];
      const taken = await client.call('snapshot.create', { machine, snapshot });
      if (values['json']) json(taken);
      else data(taken.name);
    },
  },
  'snapshot revert': {
    usage: 'snapshot revert M NAME',
    about: 'Go back to a snapshot and lose what came after; one that runs goes on from there',
    words: [2, 2],
    run: async (client, { positionals, values }) => {
      const [name, snapshot] = positionals as [string, string];
      const machine = await client.call('snapshot.revert', { machine: name, snapshot });
      if (values['json']) json(machine);
      else say(`${name} is ${machine.state}, as it was in ${snapshot}.`);
    },
  },
  'snapshot rm': {
    usage: 'snapshot rm M NAME',
    about: 'Delete a snapshot; clones of it stay',
    words: [2, 2],
    run: async (client, { positionals }) => {
      const [machine, snapshot] = positionals as [string, string];
      await client.call('snapshot.remove', { machine, snapshot });
    },
  },
  clone: cloneCommand(),
};

function cloneCommand(): Command {
  return {
    usage: 'clone M@SNAPSHOT NEW [--count N] [--start]',
    about: 'Make machines that go on from a snapshot, each with a name and addresses of its own',
    options: { count: { type: 'string' }, start: { type: 'boolean' } },
    words: [2, 2],
    run: async (client, { positionals, values }) => {
      const [from, name] = positionals as [string, string];
      const { machine, snapshot } = readOrigin(from);
      const made: MachineView[] = [];
      for (const wanted of namesOf(name, values['count'])) {
        made.push(await client.call('machine.clone', { machine, snapshot, name: wanted }));
        if (!values['start']) continue;
        const running = untilRunning(client, wanted);
        await client.call('events.subscribe', {});
        await client.call('machine.start', { machine: wanted });
        await running;
      }
      if (values['json']) json(made);
      else say(`Made ${made.map((view) => view.name).join(', ')} from ${from}.`);
    },
  };
}

function readOrigin(text: string): { machine: string; snapshot: string } {
  const [machine, snapshot, more] = text.split('@');
  if (machine && snapshot && more === undefined) return { machine, snapshot };
  throw new Refusal('usage', 'Name a machine and its snapshot, as in web@ready.');
}

/** One has the name itself, several have numbers behind it. */
function namesOf(name: string, count: unknown): string[] {
  if (count === undefined) return [name];
  const wanted = Number(count);
  if (!Number.isInteger(wanted) || wanted < 1 || wanted > clonesMax) {
    throw new Refusal('usage', `A count is a number from 1 to ${clonesMax}.`);
  }
  return Array.from({ length: wanted }, (_, index) => `${name}-${index + 1}`);
}
