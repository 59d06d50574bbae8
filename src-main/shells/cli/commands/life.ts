/** Commands in the life of a machine: made, started, stopped, thrown away. */
import { statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Refusal } from '../../../base/refusal.ts';
import type { EngineName } from '../../../contract/machine.ts';
import type { CallName, Input } from '../../../contract/methods.ts';
import type { Client } from '../../../rpc/client.ts';
import { parseSize } from '../../../machine/spec.ts';
import type { Command, Commands, Words } from '../main.ts';
import { data, json, say } from '../print.ts';
import { followJob } from './image.ts';

const startTimeoutMs = 60_000;

export const machineOptions = {
  image: { type: 'string' },
  engine: { type: 'string' },
  memory: { type: 'string' },
  cpus: { type: 'string' },
} as const;

const insideOption = { inside: { type: 'boolean' } } as const;

export const lifeCommands: Commands = {
  create: {
    usage:
      'create M [--image I] [--engine native|portable] [--memory 256M] [--cpus N] ' +
      '[--disk FILE]... [--network L]... [--in PARENT]',
    about: 'Make a machine; its image is Tiny Linux unless named',
    options: {
      ...machineOptions,
      disk: { type: 'string', multiple: true },
      network: { type: 'string', multiple: true },
      in: { type: 'string' },
    },
    words: [1, 1],
    run: async (client, { positionals, values }) => {
      await prepareEngine(client, readMachineOptions(values).engine);
      const machine = await client.call('machine.create', {
        name: positionals[0]!,
        ...readMachineOptions(values),
        diskPaths: ((values['disk'] as string[] | undefined) ?? []).map((path) => resolve(path)),
        networks: (values['network'] as string[] | undefined) ?? [],
        ...insideOf(values),
      });
      if (values['json']) json(machine);
      else
        say(
          `Made ${machine.name}: ${machine.cpus} CPU, ${machine.memoryMib} MiB, ${machine.image}.`,
        );
    },
  },
  start: {
    usage: 'start M',
    about: 'Start a machine and wait for its userland',
    words: [1, 1],
    run: async (client, { positionals, values }) => {
      const name = positionals[0]!;
      const { engine } = await client.call('machine.get', { machine: name });
      await prepareEngine(client, engine);
      const running = untilRunning(client, name);
      await client.call('events.subscribe', {});
      await client.call('machine.start', { machine: name });
      await running;
      const machine = await client.call('machine.get', { machine: name });
      if (values['json']) json(machine);
      else say(`${name} runs${machine.bootMs === undefined ? '' : ` after ${machine.bootMs} ms`}.`);
    },
  },
  stop: {
    usage: 'stop M [--timeout SECONDS] [--inside]',
    about: 'Ask a machine to shut down, and wait; --inside also those that run inside it',
    options: { timeout: { type: 'string' }, ...insideOption },
    words: [1, 1],
    run: async (client, { positionals, values }) => {
      const seconds = Number(values['timeout'] ?? 30);
      if (!(seconds > 0)) throw new Refusal('usage', 'A timeout is a number of seconds.');
      const wanted = {
        machine: positionals[0]!,
        timeoutMs: Math.round(seconds * 1000),
        children: values['inside'] === true,
      };
      const machine = await client.call('machine.stop', wanted);
      if (values['json']) json(machine);
    },
  },
  kill: whole('kill', 'machine.kill', 'End a machine at once, as by pulling the plug'),
  pause: simple('pause', 'machine.pause', 'Freeze a machine'),
  resume: simple('resume', 'machine.resume', 'Thaw a machine'),
  reset: whole('reset', 'machine.reset', 'Pull the plug and start again'),
  export: {
    usage: 'export M FILE',
    about: 'Write a machine that is off into one file, for nymph import',
    words: [2, 2],
    run: async (client, { positionals, values }) => {
      const [machine, file] = positionals as [string, string];
      const given = resolve(file);
      const isFolder = statSync(given, { throwIfNoEntry: false })?.isDirectory();
      const path = isFolder ? join(given, `${machine}.nymph`) : given;
      await followJob(client, await client.call('machine.export', { machine, path }));
      if (values['json']) json({ path, bytes: statSync(path).size });
      else data(path);
    },
  },
  recover: simple('recover', 'machine.recover', 'Bring a machine back from the trash'),
  rm: {
    usage: 'rm [-f] [--inside] M',
    about: 'Move a machine to the trash; -f also when it runs, --inside with those inside it',
    options: { force: { type: 'boolean', short: 'f' }, ...insideOption },
    words: [1, 1],
    run: async (client, { positionals, values }) => {
      await client.call('machine.remove', {
        machine: positionals[0]!,
        force: values['force'] === true,
        children: values['inside'] === true,
      });
    },
  },
};

export function readMachineOptions(values: Words['values']) {
  const memory = values['memory'];
  const cpus = values['cpus'];
  const engine = values['engine'];
  if (engine !== undefined && engine !== 'native' && engine !== 'portable') {
    throw new Refusal('usage', 'The engine is native or portable.');
  }
  return {
    ...(values['image'] === undefined ? {} : { image: String(values['image']) }),
    ...(engine === undefined ? {} : { engine: engine as 'native' | 'portable' }),
    ...(memory === undefined ? {} : { memoryMib: readMib(String(memory)) }),
    ...(cpus === undefined ? {} : { cpus: Number(cpus) }),
  };
}

/** Builds once what machines of an engine need, with progress; at once when it is there. */
export async function prepareEngine(client: Client, engine?: EngineName): Promise<void> {
  if (engine === undefined) return;
  const job = await client.call('engine.prepare', { engine });
  if (job !== null) await followJob(client, job);
}

function readMib(text: string): number {
  const size = parseSize(text);
  if (size === undefined || size < 2 ** 20) {
    throw new Refusal('usage', `“${text}” is no memory size; write 256M or 1G.`);
  }
  return Math.floor(size / 2 ** 20);
}

/** `--in PARENT`: the machine that the new one is to run inside of. */
export function insideOf(values: Words['values']) {
  return values['in'] === undefined ? {} : { inside: String(values['in']) };
}

type OfMachine = Extract<CallName, 'machine.pause' | 'machine.resume' | 'machine.recover'>;

function simple(verb: string, method: OfMachine, about: string): Command {
  return {
    usage: `${verb} M`,
    about,
    words: [1, 1],
    run: async (client, { positionals, values }) => {
      const machine = await client.call(method, { machine: positionals[0]! } as Input<OfMachine>);
      if (values['json']) json(machine);
    },
  };
}

/** Of a verb that ends a machine, and with it what runs inside. */
function whole(verb: string, method: 'machine.kill' | 'machine.reset', about: string): Command {
  return {
    usage: `${verb} M [--inside]`,
    about: `${about}; --inside also those that run inside it`,
    options: insideOption,
    words: [1, 1],
    run: async (client, { positionals, values }) => {
      const children = values['inside'] === true;
      const machine = await client.call(method, { machine: positionals[0]!, children });
      if (values['json']) json(machine);
    },
  };
}

/** Settles when the machine runs; refuses when it ended instead. */
export function untilRunning(client: Client, name: string): Promise<void> {
  const settled = new Promise<void>((resolve, reject) => {
    let started = false;
    client.on('machine.changed', (machine) => {
      if (machine.name !== name) return;
      if (machine.state === 'starting') started = true;
      if (machine.state === 'running') resolve();
      if (started && (machine.state === 'crashed' || machine.state === 'off')) {
        reject(new Refusal('internal', machine.reason ?? `${name} ended before it ran.`));
      }
    });
    setTimeout(
      () => reject(new Refusal('timeout', `${name} has not reached userland yet; it goes on.`)),
      startTimeoutMs,
    ).unref();
  });
  settled.catch(() => {});
  return settled;
}
