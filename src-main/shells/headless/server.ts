/**
 * The server: one `App` behind two doors, a unix socket for programs of this user and a loopback
 * address for browsers. One server for each home (home-lock.ts): whoever comes second is told who
 * the first is, or waits until it answers (`findOrStart`).
 */
import { randomBytes } from 'node:crypto';
import { chmodSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { dirname, join } from 'node:path';
import { Refusal } from '../../base/refusal.ts';
import { makeDirectory, writeFileAtomic } from '../../base/node/files.ts';
import { App, rendererDirectory } from '../../app/node/app.ts';
import { clock } from '../../app/node/clock.ts';
import { nymphPaths, type Paths } from '../../app/node/paths.ts';
import { PortableEngine } from '../../engines/riscv/node/engine.ts';
import { probeConfinement, UmlEngine } from '../../engines/uml/node/launch.ts';
import { SocketChannel } from '../../rpc/node/socket-channel.ts';
import { Connection } from '../../rpc/server.ts';
import { connectHome, holderOf, HomeHeld, takeHome } from './home-lock.ts';
import { openHttpDoor, portOf } from './http.ts';
import { Tickets } from './tickets.ts';

export interface ServerOptions {
  readonly home?: string;
  /** Loopback port for browsers; any free one when absent. */
  readonly port?: number;
  /** Builds the vkernel in the background when it is missing; on unless switched off. */
  readonly buildKernels?: boolean;
  readonly onQuit?: () => void;
}

export interface RunningServer {
  /** With its token: opening it is being let in. */
  readonly url: string;
  readonly app: App;
  /** Closes the doors and lets go of the machines, which live on. */
  close(): Promise<void>;
}

const noteFile = 'server.json';
const answerTimeoutMs = 60_000;
const lookEveryMs = 50;

/** @throws HomeHeld when this home has a server; Refusal `in-use` when the port is taken. */
export async function startServer(options: ServerOptions = {}): Promise<RunningServer> {
  const paths = nymphPaths(process.env, options.home);
  await makeDirectory(paths.run);
  refuseForeign(dirname(paths.run));
  await makeDirectory(paths.data);
  const lock = takeHome(paths);
  try {
    // A server without the lock is an older one, or on a system that has no such locks.
    if (await answers(paths)) throw new HomeHeld(undefined);
    return await serve(options, paths, () => lock.release());
  } catch (thrown) {
    lock.release();
    throw thrown;
  }
}

async function serve(
  options: ServerOptions,
  paths: Paths,
  release: () => void,
): Promise<RunningServer> {
  let ending: (() => void) | undefined;
  const app = await App.open({
    home: options.home,
    version: packageVersion(),
    engines: [new UmlEngine(clock.nowMs), new PortableEngine(clock.nowMs, paths.code)],
    confinement: await probeConfinement(),
    buildKernels: options.buildKernels ?? true,
    onQuit: () => {
      ending?.();
      options.onQuit?.();
    },
  });
  const token = randomBytes(24).toString('base64url');
  const http = await openHttpDoor(
    {
      root: rendererDirectory(),
      token,
      tickets: new Tickets(clock.elapsedMs),
      api: app.api,
      receive: (title, lengthBytes, body) => app.uploads.receive(title, lengthBytes, body),
    },
    options.port ?? 0,
  ).catch(async (thrown: NodeJS.ErrnoException) => {
    await app.close();
    if (thrown.code !== 'EADDRINUSE') throw thrown;
    throw new Refusal('in-use', `The port ${options.port} is taken by another program.`);
  });
  const url = `http://127.0.0.1:${portOf(http)}/?token=${token}`;
  // Before the socket answers: whoever finds us there reads this next.
  await writeFileAtomic(join(paths.run, noteFile), JSON.stringify({ pid: process.pid, url }));
  const unix = await openUnixDoor(app, paths);
  let closed = false;
  ending = () => {
    if (closed) return;
    closed = true;
    http.close();
    http.closeAllConnections();
    unix.close();
    rmSync(join(paths.run, noteFile), { force: true });
    rmSync(paths.socket, { force: true });
    release();
  };
  return {
    url,
    app,
    close: async () => {
      await app.close();
      ending();
    },
  };
}

/** In /tmp anybody could have made our run folder first, and would then own our sockets. */
function refuseForeign(directory: string): void {
  const { uid, mode } = statSync(directory);
  if (uid === process.getuid?.() && (mode & 0o022) === 0) return;
  throw new Refusal('denied', `The folder ${directory} belongs to somebody else; delete it.`);
}

export interface FoundServer {
  readonly url: string;
  readonly pid: number;
  /** Where programs of this user are let in. */
  readonly socket: string;
}

/** The running server of this home, if one answers. */
export async function findServer(home?: string): Promise<FoundServer | undefined> {
  const paths = nymphPaths(process.env, home);
  if (!(await answers(paths))) return undefined;
  try {
    const socket = holderOf(paths)?.socket ?? paths.socket;
    const note = readFileSync(join(dirname(socket), noteFile), 'utf8');
    return { ...(JSON.parse(note) as Omit<FoundServer, 'socket'>), socket };
  } catch {
    return undefined;
  }
}

/**
 * The server of this home, whoever it is: of several that start at once one becomes it and the
 * others wait until it answers. Should it die meanwhile, one of them takes its place.
 * @throws Refusal `timeout` when another holds the home and does not answer for a minute.
 */
export async function findOrStart(
  options: ServerOptions = {},
): Promise<{ own: RunningServer; other?: undefined } | { own?: undefined; other: FoundServer }> {
  const deadlineMs = performance.now() + answerTimeoutMs;
  for (;;) {
    const other = await findServer(options.home);
    if (other) return { other };
    try {
      return { own: await startServer(options) };
    } catch (thrown) {
      if (!(thrown instanceof HomeHeld)) throw thrown;
      if (performance.now() > deadlineMs) {
        throw new Refusal('timeout', `${thrown.message} It does not answer.`);
      }
      await new Promise((resolve) => setTimeout(resolve, lookEveryMs));
    }
  }
}

async function answers(paths: Paths): Promise<boolean> {
  const socket = await connectHome(paths);
  socket?.destroy();
  return socket !== undefined;
}

async function openUnixDoor(app: App, paths: Paths): Promise<Server> {
  const server = createServer((socket) => {
    new Connection(new SocketChannel(socket), app.api, { trusted: true });
  });
  // Nobody answered there, so it is what a killed server has left.
  rmSync(paths.socket, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(paths.socket, resolve);
  });
  chmodSync(paths.socket, 0o600);
  return server;
}

export function packageVersion(): string {
  const file = join(import.meta.dirname, '../../../package.json');
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
