/**
 * The server behind the windows: our own when this home has none, else the one that runs, to
 * which every port is passed through. Either way the same three things can be asked.
 */
import { createReadStream } from 'node:fs';
import { connect } from 'node:net';
import { basename } from 'node:path';
import { Readable } from 'node:stream';
import { Refusal } from '../../base/refusal.ts';
import { nymphPaths } from '../../app/node/paths.ts';
import { SocketChannel } from '../../rpc/node/socket-channel.ts';
import { Connection } from '../../rpc/server.ts';
import type { Channel } from '../../rpc/wire.ts';
import { findOrStart, type RunningServer } from '../headless/server.ts';
import { join } from './port-channel.ts';

export interface Backend {
  /** Serves one window's channel. */
  serve(channel: Channel): void;
  /** Makes a file of the user's known to the server. @returns the grant. */
  grant(path: string): Promise<string>;
  /** How many machines would be left running or stopped by a quit; 0 when it is not ours. */
  aliveCount(): number;
  /** Ends our own server; another's goes on. */
  quit(machines: 'stop' | 'leave'): Promise<void>;
}

/** @param onQuit called when the server has ended because a client asked it to. */
export async function openBackend(onQuit: () => void): Promise<Backend> {
  const { own, other } = await findOrStart({ onQuit });
  return own ? ownServer(own) : otherServer(other.url);
}

function ownServer({ app }: RunningServer): Backend {
  return {
    serve: (channel) => void new Connection(channel, app.api, { trusted: true }),
    grant: async (path) => app.uploads.grantPath(path),
    aliveCount: () => app.machines.all().filter((driver) => driver.alive).length,
    quit: (machines) => app.quit(machines),
  };
}

function otherServer(url: string): Backend {
  const { socket: socketPath } = nymphPaths(process.env);
  return {
    serve: (channel) => join(channel, new SocketChannel(connect(socketPath))),
    grant: (path) => upload(url, path),
    aliveCount: () => 0,
    quit: async () => {},
  };
}

/** Another process cannot be given a path's grant, so it gets the bytes as from a browser. */
async function upload(url: string, path: string): Promise<string> {
  const { origin, port, searchParams } = new URL(url);
  const answer = await fetch(`${origin}/upload?name=${encodeURIComponent(basename(path))}`, {
    method: 'PUT',
    body: Readable.toWeb(createReadStream(path)),
    headers: { cookie: `nymph-${port}=${searchParams.get('token')}` },
    duplex: 'half',
  } as RequestInit);
  const { grant } = (await answer.json()) as { grant?: string };
  if (!grant) throw new Refusal('unavailable', 'The running server did not take the file.');
  return grant;
}
