/**
 * The server of another host: its unix socket, forwarded by the system's own ssh, so that keys,
 * agents, jump hosts and known_hosts are exactly as they are for `ssh HOST`. Nothing listens on a
 * port, here or there. `NYMPH_SSH` names another ssh to use.
 *
 *   const { socket, close } = await connectOverSsh('ada@lab');   // then a SocketChannel over it
 *
 * Where the server answers is read from the lock of the other side's home (headless/home-lock.ts).
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Refusal } from '../../base/refusal.ts';

export interface RemoteServer {
  readonly socket: Socket;
  close(): void;
}

const answerMax = 4096;
const forwardTimeoutMs = 60_000;
/** For the shell of whatever kind over there; prints where its server answers. */
const findLock =
  `sh -c 'd=\${NYMPH_HOME:+$NYMPH_HOME/data}; ` +
  `cat "\${d:-\${XDG_DATA_HOME:-$HOME/.local/share}/nymph}/server.lock"'`;

/** @throws Refusal `usage`, `unavailable`, `timeout`; ssh itself says more on standard error. */
export async function connectOverSsh(host: string): Promise<RemoteServer> {
  if (!/^[^\s-]\S*$/.test(host)) throw new Refusal('usage', 'A host is written as USER@HOST.');
  const remote = socketIn(await ask(host), host);
  const directory = mkdtempSync(join(tmpdir(), 'nymph-ssh-'));
  const local = join(directory, 's');
  const given = ['-N', '-T', '-o', 'ExitOnForwardFailure=yes', '-L', `${local}:${remote}`];
  const child = spawn(program(), [...given, '--', host], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const close = () => {
    child.kill();
    rmSync(directory, { recursive: true, force: true });
  };
  process.once('exit', close);
  try {
    const ended = new Promise<never>((_, reject) => {
      child.once('exit', () => reject(unreachable(host)));
      child.once('error', () => reject(unreachable(host)));
    });
    return { socket: await Promise.race([untilThere(local), ended]), close };
  } catch (thrown) {
    close();
    throw thrown;
  }
}

function program(): string {
  return process.env['NYMPH_SSH'] || 'ssh';
}

function unreachable(host: string): Refusal {
  return new Refusal('unavailable', `${host} cannot be reached by ssh.`);
}

/** What the other side's lock says; empty when there is none. */
async function ask(host: string): Promise<string> {
  const child = spawn(program(), ['-T', '--', host, findLock], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [said, complaint] = ['', ''];
  child.stdout.on('data', (part) => (said = `${said}${String(part)}`.slice(0, answerMax)));
  child.stderr.on('data', (part) => (complaint = `${complaint}${String(part)}`.slice(-answerMax)));
  const code = await new Promise<number | null>((resolve) => {
    child.once('close', resolve);
    child.once('error', () => resolve(null));
  });
  // ssh's own failures are 255; anything else is the command's, which has found no lock.
  if (code !== null && code !== 255) return said;
  const why = complaint.trim().split('\n').at(-1)?.slice(0, 200);
  throw new Refusal('unavailable', `${host} cannot be reached by ssh${why ? `: ${why}` : '.'}`);
}

function socketIn(lock: string, host: string): string {
  try {
    const { socket } = JSON.parse(lock) as { socket?: unknown };
    // It becomes a part of an option of ssh, which splits at colons.
    if (typeof socket === 'string' && /^\/[^\s:]{1,107}$/.test(socket)) return socket;
  } catch {
    // No lock, or none of ours.
  }
  const how = 'start one there with “nymph serve”';
  throw new Refusal('unavailable', `No Nymph server runs on ${host}; ${how}.`);
}

async function untilThere(path: string): Promise<Socket> {
  const deadline = performance.now() + forwardTimeoutMs;
  while (!existsSync(path)) {
    if (performance.now() > deadline) throw new Refusal('timeout', 'ssh took too long.');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const socket = connect(path);
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  return socket;
}
