/**
 * Finds the server of this home, or starts a headless one and waits until it answers. The command
 * line is a client like any other: everything it does goes through the contract.
 */
import { spawn } from 'node:child_process';
import { openSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { Refusal } from '../../base/refusal.ts';
import { makeDirectory } from '../../base/node/files.ts';
import { nymphPaths } from '../../app/node/paths.ts';
import { connectOverSsh } from '../../hosts/node/ssh.ts';
import { Client } from '../../rpc/client.ts';
import { SocketChannel } from '../../rpc/node/socket-channel.ts';
import { connectHome } from '../headless/home-lock.ts';

const startTimeoutMs = 60_000;

/** The server of another host, which has to run there; `ssh` brings us to it. */
export async function connectRemote(host: string): Promise<Client> {
  const { socket } = await connectOverSsh(host);
  return new Client(new SocketChannel(socket));
}

export async function connectClient(): Promise<Client> {
  const socket = (await connectHome(nymphPaths())) ?? (await startAndConnect());
  return new Client(new SocketChannel(socket));
}

async function startAndConnect(): Promise<Socket> {
  const paths = nymphPaths();
  await makeDirectory(paths.state);
  const log = openSync(join(paths.state, 'server.log'), 'a', 0o600);
  const server = join(import.meta.dirname, '../headless/main.ts');
  const child = spawn(process.execPath, [server, '--quiet'], {
    detached: true,
    stdio: ['ignore', 'pipe', log],
  });
  const ready = new Promise<void>((resolve, reject) => {
    child.stdout!.once('data', () => resolve());
    child.once('exit', () =>
      reject(new Refusal('unavailable', 'The server did not start: see server.log.')),
    );
    setTimeout(
      () => reject(new Refusal('timeout', 'The server did not start in time.')),
      startTimeoutMs,
    ).unref();
  });
  await ready;
  child.stdout!.destroy();
  child.unref();
  const socket = await connectHome(paths);
  if (!socket) throw new Refusal('unavailable', 'The server started, but does not answer.');
  return socket;
}
