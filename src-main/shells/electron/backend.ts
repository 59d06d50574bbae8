/**
 * The server behind the windows: our own when this home has none, else the one that runs, to
 * which every port is passed through. Either way the same three things can be asked.
 */
import { connect } from 'node:net';
import { Client } from '../../rpc/client.ts';
import { SocketChannel } from '../../rpc/node/socket-channel.ts';
import { Connection } from '../../rpc/server.ts';
import type { Channel } from '../../rpc/wire.ts';
import { findOrStart, type FoundServer, type RunningServer } from '../headless/server.ts';
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
  return own ? ownServer(own) : otherServer(other);
}

function ownServer({ app }: RunningServer): Backend {
  return {
    serve: (channel) => void new Connection(channel, app.api, { trusted: true }),
    grant: async (path) => app.uploads.grantPath(path),
    aliveCount: () => app.machines.all().filter((driver) => driver.alive).length,
    quit: (machines) => app.quit(machines),
  };
}

/** Of this user and trusted as we are: it opens a file by its path, as our own server would. */
function otherServer({ socket }: FoundServer): Backend {
  return {
    serve: (channel) => join(channel, new SocketChannel(connect(socket))),
    grant: async (path) => {
      const client = new Client(new SocketChannel(connect(socket)));
      try {
        return (await client.call('file.grant', { path })).grant;
      } finally {
        client.close();
      }
    },
    aliveCount: () => 0,
    quit: async () => {},
  };
}
