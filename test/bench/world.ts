/**
 * A fresh home with a server of its own, spoken to through the public API over its unix socket,
 * as the command line does.
 *
 *   const world = await openWorld();
 *   try { await world.make('one'); await world.start('one'); … } finally { await world.close(); }
 *
 * What must hold: `close` leaves no process and no file behind; `closeAll` does so for every world
 * still open, when the bench is interrupted.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nymphPaths } from '../../src-main/app/node/paths.ts';
import type { MachineView } from '../../src-main/contract/machine.ts';
import { Client } from '../../src-main/rpc/client.ts';
import { SocketChannel } from '../../src-main/rpc/node/socket-channel.ts';

const patienceMs = 180_000;
const open = new Set<World>();

export async function openWorld(): Promise<World> {
  const home = mkdtempSync(join(tmpdir(), 'nymph-bench-'));
  const file = join(import.meta.dirname, 'server.ts');
  const server = spawn(process.execPath, [file, home], { stdio: ['pipe', 'pipe', 'inherit'] });
  await new Promise<void>((resolve, reject) => {
    server.stdout!.once('data', () => resolve());
    server.once('exit', () => reject(new Error('the server did not start')));
  });
  const socket = connect(nymphPaths(process.env, home).socket);
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  const world = new World(home, server, new Client(new SocketChannel(socket)));
  open.add(world);
  await world.client.call('events.subscribe', {});
  return world;
}

export async function closeAll(): Promise<void> {
  await Promise.all([...open].map((world) => world.close()));
}

export class World {
  readonly home: string;
  readonly client: Client;
  private readonly server: ChildProcess;
  private readonly machines = new Map<string, MachineView>();
  private readonly watchers = new Set<() => void>();

  constructor(home: string, server: ChildProcess, client: Client) {
    this.home = home;
    this.server = server;
    this.client = client;
    client.on('machine.changed', (machine) => {
      this.machines.set(machine.name, machine);
      for (const watcher of [...this.watchers]) watcher();
    });
  }

  get serverPid(): number {
    return this.server.pid!;
  }

  /** The latest that an event said of it. */
  view(name: string): MachineView {
    const view = this.machines.get(name);
    if (view === undefined) throw new Error(`no event has told of “${name}”`);
    return view;
  }

  async make(name: string, memoryMib = 64): Promise<void> {
    await this.client.call('machine.create', { name, image: 'tiny', memoryMib });
  }

  /** Milliseconds from asking until the event that says it is running. */
  async start(name: string): Promise<number> {
    const began = performance.now();
    const running = this.until(name, ({ state }) => state === 'running', 'running')
      .then(() => performance.now() - began);
    await Promise.all([this.client.call('machine.start', { machine: name }), running]);
    return running;
  }

  /** Until its agent answers, which at once or later follows that it runs. */
  untilAgent(name: string): Promise<void> {
    return this.until(name, ({ agent }) => agent, 'answering');
  }

  async remove(name: string): Promise<void> {
    await this.client.call('machine.remove', { machine: name, force: true });
    await this.client.call('machine.purge', { machine: name });
  }

  /** What a command in the guest wrote to both of its outputs. */
  async exec(name: string, script: string): Promise<string> {
    const parts: Uint8Array[] = [];
    const wanted = { machine: name, argv: ['/bin/sh', '-c', script] };
    // The first byte of each message says which output it is of.
    const stream = this.client.open('machine.exec', wanted, (bytes) => {
      parts.push(bytes.slice(1));
    });
    const { code } = await stream.result;
    const text = Buffer.concat(parts).toString();
    if (code !== 0) throw new Error(`“${script}” ended with ${code}: ${text}`);
    return text;
  }

  async close(): Promise<void> {
    if (!open.delete(this)) return;
    const machines = await this.client.call('machine.list', {}).catch(() => []);
    const alive = machines.filter(({ state, parent }) =>
      parent === undefined && state !== 'off' && state !== 'crashed');
    await Promise.all(alive.map(({ name }) =>
      this.client.call('machine.kill', { machine: name, children: true }).catch(() => undefined)));
    this.client.close();
    const ended = new Promise((resolve) => this.server.once('exit', resolve));
    this.server.stdin!.end();
    const late = setTimeout(() => this.server.kill('SIGKILL'), 10_000);
    await ended;
    clearTimeout(late);
    rmSync(nymphPaths(process.env, this.home).run, { recursive: true, force: true });
    rmSync(this.home, { recursive: true, force: true });
  }

  private until(
    name: string, good: (view: MachineView) => boolean, wanted: string,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (act: () => void): void => {
        clearTimeout(timer);
        this.watchers.delete(look);
        act();
      };
      const look = (): void => {
        const view = this.machines.get(name);
        if (view !== undefined && good(view)) end(resolve);
        else if (view?.state === 'crashed') end(() => reject(new Error(crash(view))));
      };
      const timer = setTimeout(
        () => end(() => reject(new Error(`“${name}” was not ${wanted} in time`))), patienceMs,
      );
      this.watchers.add(look);
    });
  }
}

function crash(view: MachineView): string {
  return [`“${view.name}” crashed: ${view.reason}`, ...(view.lastLines ?? [])].join('\n');
}
