/**
 * The server: one `App` behind two doors, a unix socket for programs of this user and a loopback
 * address for browsers. One server for each home: whoever comes second is told where the first is.
 */
import { randomBytes } from 'node:crypto';
import { chmodSync, readFileSync, rmSync, statSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { dirname, join } from 'node:path';
import { Refusal } from '../../base/refusal.ts';
import { makeDirectory, writeFileAtomic } from '../../base/node/files.ts';
import { App, rendererDirectory } from '../../app/node/app.ts';
import { clock } from '../../app/node/clock.ts';
import { nymphPaths, type Paths } from '../../app/node/paths.ts';
import { probeConfinement, UmlEngine } from '../../engines/uml/node/launch.ts';
import { SocketChannel } from '../../rpc/node/socket-channel.ts';
import { Connection } from '../../rpc/server.ts';
import { openHttpDoor, portOf } from './http.ts';

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

/** @throws Refusal `in-use` when a server of this home runs already or the port is taken. */
export async function startServer(options: ServerOptions = {}): Promise<RunningServer> {
  const paths = nymphPaths(process.env, options.home);
  await makeDirectory(paths.run);
  refuseForeign(dirname(paths.run));
  if (await answers(paths.socket)) {
    throw new Refusal('in-use', 'A Nymph server is running already.');
  }
  let ending: (() => Promise<void>) | undefined;
  const app = await App.open({
    home: options.home,
    version: packageVersion(),
    engines: [new UmlEngine(clock.nowMs)],
    confinement: await probeConfinement(),
    buildKernels: options.buildKernels ?? true,
    onQuit: () => void ending?.().then(() => options.onQuit?.()),
  });
  const token = randomBytes(24).toString('base64url');
  const http = await openHttpDoor(
    {
      root: rendererDirectory(),
      token,
      api: app.api,
      receive: (title, lengthBytes, body) => app.uploads.receive(title, lengthBytes, body),
    },
    options.port ?? 0,
  ).catch(async (thrown: NodeJS.ErrnoException) => {
    await app.close();
    if (thrown.code !== 'EADDRINUSE') throw thrown;
    throw new Refusal('in-use', `The port ${options.port} is taken by another program.`);
  });
  const unix = await openUnixDoor(app, paths);
  const url = `http://127.0.0.1:${portOf(http)}/?token=${token}`;
  await writeFileAtomic(join(paths.run, noteFile), JSON.stringify({ pid: process.pid, url }));
  let closed = false;
  ending = async () => {
    if (closed) return;
    closed = true;
    http.close();
    http.closeAllConnections();
    unix.close();
    rmSync(join(paths.run, noteFile), { force: true });
    rmSync(paths.socket, { force: true });
  };
  return {
    url,
    app,
    close: async () => {
      await app.close();
      await ending();
    },
  };
}

/** In /tmp anybody could have made our run folder first, and would then own our sockets. */
function refuseForeign(directory: string): void {
  const { uid, mode } = statSync(directory);
  if (uid === process.getuid?.() && (mode & 0o022) === 0) return;
  throw new Refusal('denied', `The folder ${directory} belongs to somebody else; delete it.`);
}

/** The running server of this home, if one answers. */
export async function findServer(home?: string): Promise<{ url: string; pid: number } | undefined> {
  const paths = nymphPaths(process.env, home);
  if (!(await answers(paths.socket))) return undefined;
  try {
    return JSON.parse(readFileSync(join(paths.run, noteFile), 'utf8')) as {
      url: string;
      pid: number;
    };
  } catch {
    return undefined;
  }
}

function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
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
