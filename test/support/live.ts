/**
 * A whole server with real kernels, for the guest ring, used through the public API only.
 *
 *   const world = await launch(t);                       // a home of its own, gone afterwards
 *   await world.client.call('machine.start', { machine: 'tiny' });
 *   await untilRunning(world.client, 'tiny');
 *   const { code, stdout, stderr } = await run(world.client, 'tiny', 'uname -a');
 *
 * What must hold: whatever a test does, its machines, sockets and folders are gone after it.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { nymphPaths, type Paths } from '../../src-main/app/node/paths.ts';
import type { MachineState, MachineView } from '../../src-main/contract/machine.ts';
import { Client } from '../../src-main/rpc/client.ts';
import { SocketChannel } from '../../src-main/rpc/node/socket-channel.ts';
import { startServer } from '../../src-main/shells/headless/server.ts';

/** Only what hangs takes as long, also where the host has much else to do. */
export const patienceMs = 180_000;
const root = join(import.meta.dirname, '../..');

export interface World {
  readonly home: string;
  readonly paths: Paths;
  readonly client: Client;
}

type Cleaner = { after(work: () => Promise<void> | void): void };

/** A folder that becomes a home, and at the end is taken down with all that runs from it. */
export function freshHome(t: Cleaner): { home: string; paths: Paths } {
  const home = mkdtempSync(join(tmpdir(), 'nymph-test-'));
  const paths = nymphPaths(process.env, home);
  t.after(async () => {
    await killAll(paths.run);
    for (const directory of [home, paths.run]) {
      rmSync(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
    }
  });
  return { home, paths };
}

/** A server in this process, and a client at its unix socket. */
export async function launch(t: Cleaner): Promise<World> {
  const { home, paths } = freshHome(t);
  const server = await startServer({ home, buildKernels: false });
  t.after(() => server.close());
  const client = await clientOf(t, paths);
  return { home, paths, client };
}

export async function clientOf(t: Cleaner, paths: Paths): Promise<Client> {
  const socket = connect(paths.socket);
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  const client = new Client(new SocketChannel(socket));
  t.after(() => {
    client.close();
    socket.destroy();
  });
  return client;
}

/** A server as a process of its own, to be killed; resolves when it answers. */
export async function spawnServer(t: Cleaner, home: string): Promise<ChildProcess> {
  const child = spawn(
    process.execPath,
    [join(root, 'src-main/shells/headless/main.ts'), '--quiet'],
    {
      env: { ...process.env, NYMPH_HOME: home },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  t.after(() => void child.kill('SIGKILL'));
  let said = '';
  child.stderr!.on('data', (bytes) => (said += String(bytes)));
  await new Promise<void>((resolve, reject) => {
    child.stdout!.once('data', () => resolve());
    child.once('exit', (code) => reject(new Error(`the server ended with ${code}: ${said}`)));
  });
  return child;
}

/** A server as a process of its own, on a home of its own, and a client at its unix socket. */
export async function spawnWorld(t: Cleaner): Promise<{ world: World; server: ChildProcess }> {
  const { home, paths } = freshHome(t);
  const server = await spawnServer(t, home);
  return { world: { home, paths, client: await clientOf(t, paths) }, server };
}

/** Waits for a state by events, so that nothing is missed and nobody polls. */
export async function untilState(
  client: Client,
  name: string,
  wanted: readonly MachineState[],
  limitMs = patienceMs,
): Promise<MachineView> {
  return untilMachine(client, name, (machine) => wanted.includes(machine.state), limitMs);
}

export async function untilMachine(
  client: Client,
  name: string,
  good: (machine: MachineView) => boolean,
  limitMs = patienceMs,
): Promise<MachineView> {
  let stop = () => {};
  let timer: NodeJS.Timeout | undefined;
  let last: MachineView | undefined;
  try {
    return await new Promise<MachineView>((resolve, reject) => {
      const look = (machine: MachineView) => {
        if (machine.name !== name) return;
        last = machine;
        if (good(machine)) resolve(machine);
      };
      stop = client.on('machine.changed', look);
      timer = setTimeout(
        () => reject(new Error(`${name} stays as it is: ${JSON.stringify(last)}`)),
        limitMs,
      );
      client
        .call('events.subscribe', {})
        .then(() => client.call('machine.get', { machine: name }))
        .then(look)
        .catch(reject);
    });
  } finally {
    stop();
    clearTimeout(timer);
  }
}

/** Running and reachable; ended instead, with the reason and its last words. */
export async function untilRunning(client: Client, name: string): Promise<MachineView> {
  const machine = await untilMachine(
    client,
    name,
    ({ state, agent }) => (state === 'running' && agent) || state === 'crashed' || state === 'off',
  );
  if (machine.state === 'running') return machine;
  throw new Error(
    `${name} is ${machine.state}: ${machine.reason} ${machine.lastLines?.join('\n')}`,
  );
}

export async function started(client: Client, name: string): Promise<MachineView> {
  await client.call('machine.start', { machine: name });
  return untilRunning(client, name);
}

export type Ran = { code: number; signal?: number; stdout: string; stderr: string };

/** A script in a running machine, with its output by channel. */
export function run(client: Client, machine: string, script: string, input?: string): Promise<Ran> {
  const argv = ['/bin/sh', '-c', script];
  return collect((sink) => client.open('machine.exec', { machine, argv }, sink), input);
}

export async function collect(
  open: (
    sink: (bytes: Uint8Array) => void,
  ) => ReturnType<typeof Client.prototype.open<'machine.exec'>>,
  input?: string,
): Promise<Ran> {
  const parts: Record<number, Buffer[]> = { 1: [], 2: [] };
  const stream = open((bytes) => void parts[bytes[0]!]!.push(Buffer.from(bytes.subarray(1))));
  if (input !== undefined) stream.write(new TextEncoder().encode(input));
  stream.end();
  const { code, signal } = await stream.result;
  const text = (kind: number) => Buffer.concat(parts[kind]!).toString();
  return { code, ...(signal === undefined ? {} : { signal }), stdout: text(1), stderr: text(2) };
}

/** One console: what it showed so far, and keys to type. */
export function attach(client: Client, machine: string, index = 0) {
  let shown = '';
  let receivedBytes = 0;
  const waiting = new Set<() => void>();
  const stream = client.open('console.attach', { machine, console: index }, (bytes) => {
    receivedBytes += bytes.length;
    shown = (shown + Buffer.from(bytes).toString('latin1')).slice(-65_536);
    for (const look of [...waiting]) look();
  });
  stream.result.catch(() => {});
  return {
    type: (text: string) => stream.write(new TextEncoder().encode(text)),
    shown: () => shown,
    receivedBytes: () => receivedBytes,
    clear: () => void (shown = ''),
    close: () => stream.cancel(),
    until: (pattern: RegExp, limitMs = patienceMs) =>
      new Promise<string>((resolve, reject) => {
        const timer = setTimeout(
          () => done(new Error(`no ${pattern} in: ${shown.slice(-2000)}`)),
          limitMs,
        );
        const done = (error?: Error) => {
          clearTimeout(timer);
          waiting.delete(look);
          if (error) reject(error);
          else resolve(shown);
        };
        const look = () => pattern.test(shown) && done();
        waiting.add(look);
        look();
      }),
  };
}

/** Processes, ours or not, whose command line names this run directory. */
export function processesOf(runDirectory: string): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && pid !== process.pid)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(`uml_dir=${runDirectory}/`);
      } catch {
        return false;
      }
    });
}

/** Everything a home's run directory has running, machine by machine, until nothing is left. */
async function killAll(run: string): Promise<void> {
  // A native machine says it in `uml_dir=`, a portable one as a word of its own.
  const pattern = `${run}/`;
  for (let round = 0; round < 100; round++) {
    const alive = readdirSync('/proc')
      .map(Number)
      .filter((pid) => pid > 0 && names(pid, pattern));
    if (alive.length === 0) return;
    for (const pid of alive) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // Gone already.
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function names(pid: number, text: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(text);
  } catch {
    return false;
  }
}

/** Runs the real command line as a process; its two channels are kept apart. */
export function nymph(home: string, words: readonly string[], input?: string): Promise<Ran> {
  const child = spawn(process.execPath, [join(root, 'src-main/shells/cli/main.ts'), ...words], {
    env: { ...process.env, NYMPH_HOME: home, NO_COLOR: '1' },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (bytes) => (stdout += String(bytes)));
  child.stderr.on('data', (bytes) => (stderr += String(bytes)));
  child.stdin.on('error', () => {});
  child.stdin.end(input ?? '');
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code: code ?? -1, stdout, stderr }));
  });
}

/** Cleans up in the reverse order of what was made, for `before`/`after` of a whole file. */
export class Undo implements Cleaner {
  private readonly steps: (() => Promise<void> | void)[] = [];

  after(work: () => Promise<void> | void): void {
    this.steps.push(work);
  }

  async run(): Promise<void> {
    for (const step of this.steps.splice(0).reverse()) await step();
  }
}

export type { TestContext };
