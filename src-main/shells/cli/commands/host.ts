/** Commands about the host and all machines together. */
import { Refusal } from '../../../base/refusal.ts';
import type { MachineView } from '../../../contract/machine.ts';
import type { Commands } from '../main.ts';
import { bytes, data, json, say, table } from '../print.ts';

const unreadBytesMax = 16 << 20;
const marks = { ok: '✓', warn: '!', fail: '✗' };

export const hostCommands: Commands = {
  doctor: {
    usage: 'doctor',
    about: 'Check what Nymph needs from this host',
    words: [0, 0],
    run: async (client, { values }) => {
      const checks = await client.call('host.doctor', {});
      if (values['json']) json(checks);
      else {
        for (const check of checks) {
          data(`${marks[check.status]} ${check.title}: ${check.sentence}`);
          if (check.fix && check.status !== 'ok') data(`    ${check.fix}`);
        }
      }
      return checks.some((check) => check.status === 'fail') ? 1 : 0;
    },
  },
  ls: {
    usage: 'ls [--tree]',
    about: 'List the machines',
    options: { tree: { type: 'boolean' } },
    words: [0, 0],
    run: async (client, { values }) => {
      const machines = await client.call('machine.list', {});
      if (values['json']) return json(machines);
      const rows = values['tree']
        ? inTree(machines)
        : machines.map((machine) => ({ machine, depth: 0 }));
      table(
        ['name', 'state', 'cpus', 'memory', 'image', 'addresses'],
        rows.map(({ machine, depth }) => [
          `${depth > 0 ? `${'  '.repeat(depth - 1)}└ ` : ''}${machine.name}`,
          machine.state,
          String(machine.cpus),
          bytes(machine.memoryMib * 2 ** 20),
          machine.image ?? '-',
          machine.nics.flatMap((nic) => nic.addresses).join(' ') || '-',
        ]),
      );
    },
  },
  info: {
    usage: 'info M',
    about: 'Everything about one machine',
    words: [1, 1],
    run: async (client, { positionals, values }) => {
      const machine = await client.call('machine.get', { machine: positionals[0]! });
      if (values['json']) return json(machine);
      describe(machine);
    },
  },
  events: {
    usage: 'events',
    about: 'Print every change as a line of JSON, until interrupted',
    words: [0, 0],
    run: async (client) => {
      const names = [
        'snapshot',
        'machine.changed',
        'machine.removed',
        'network.changed',
        'network.removed',
        'image.changed',
        'image.removed',
        'kernel.changed',
        'job.changed',
        'host.changed',
      ] as const;
      for (const name of names) {
        client.on(name, (payload) => {
          data(JSON.stringify({ event: name, payload }));
          // Whoever does not read them must not fill this process's memory.
          if (process.stdout.writableLength > unreadBytesMax) client.close();
        });
      }
      await client.call('events.subscribe', {});
      await new Promise<void>((resolve) => (client.onClose = () => resolve()));
      if (process.stdout.writableLength > unreadBytesMax) {
        throw new Refusal('unavailable', 'The events are not read as fast as they come.');
      }
    },
  },
  serve: {
    usage: 'serve [--port N]',
    about: 'Run the server in the foreground, without a window',
    options: { port: { type: 'string' } },
    words: [0, 0],
    alone: true,
    run: async (_, { values }) => {
      const port = values['port'];
      if (port !== undefined && !/^\d{1,5}$/.test(String(port))) {
        throw new Refusal('usage', 'A port is a number from 0 to 65535.');
      }
      process.argv = [
        process.argv[0]!,
        'serve',
        ...(port === undefined ? [] : ['--port', String(port)]),
      ];
      await import('../../headless/main.ts');
      await new Promise(() => {});
    },
  },
  quit: {
    usage: 'quit [--stop]',
    about: 'End the server; machines go on running unless --stop is given',
    options: { stop: { type: 'boolean' } },
    words: [0, 0],
    run: async (client, { values }) => {
      await client.call('host.quit', { machines: values['stop'] ? 'stop' : 'leave' });
      await new Promise<void>((resolve) => (client.onClose = () => resolve()));
      say('The server has ended.');
    },
  },
};

function inTree(machines: MachineView[]): { machine: MachineView; depth: number }[] {
  const under = (
    parent: string | undefined,
    depth: number,
  ): { machine: MachineView; depth: number }[] =>
    machines
      .filter((machine) => machine.parent === parent)
      .flatMap((machine) => [{ machine, depth }, ...under(machine.name, depth + 1)]);
  return under(undefined, 0);
}

function describe(machine: MachineView): void {
  const rows: [string, string | undefined][] = [
    ['Name', machine.name],
    ['State', machine.reason ? `${machine.state}: ${machine.reason}` : machine.state],
    ['Fault', machine.fault],
    ['Inside', machine.parent],
    ['Holds', machine.children.join(', ')],
    ['Engine', machine.engine],
    ['Kernel', `${machine.kernel || 'none'} (${machine.kernelChoice})`],
    ['CPUs', String(machine.cpus)],
    ['Memory', bytes(machine.memoryMib * 2 ** 20)],
    ['Image', machine.image],
    ['Guest', machine.guest && `${machine.guest.osName}, Linux ${machine.guest.kernelRelease}`],
    ['Process', machine.pid === undefined ? undefined : String(machine.pid)],
    ['Sockets', machine.vsock],
    ['Boot', machine.bootMs === undefined ? undefined : `${machine.bootMs} ms to userland`],
    ['Compartment', `${machine.confinement}: ${machine.confinementNote ?? ''}`],
    ...machine.disks.map((disk): [string, string] => [
      `Disk ${disk.device}`,
      `${disk.id}, ${bytes(disk.virtualBytes)}, ${bytes(disk.realBytes)} on the host` +
        `${disk.image ? `, over ${disk.image}` : ''}${disk.attached ? '' : ', detached'}`,
    ]),
    ...machine.nics.map((nic): [string, string] => [
      `Card ${nic.slot}`,
      `${nic.network}, ${nic.mac}${nic.addresses.length > 0 ? `, ${nic.addresses.join(' ')}` : ''}`,
    ]),
    ['Folder', machine.directory],
  ];
  for (const [key, value] of rows) if (value) data(`${key.padEnd(12)} ${value}`);
}
