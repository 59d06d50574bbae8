/**
 * Boots an image with our boot file system on our kernel, with a console and the agent's line on
 * FIFOs as in production: below every engine, for the tests of the agent and of the images.
 *
 *   const machine = await bootMachine(t, { image });
 *   await machine.console('login: ');  machine.type('root\n');
 *   const client = await machine.attach();     // again after client.close(): the line is re-opened
 *   const { code, signal } = await machine.ended;
 */
import { execFileSync, spawn } from 'node:child_process';
import { closeSync, constants, copyFileSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { AgentClient } from '../../src-main/guest/agent-client.ts';
import { realTimers, streamLine } from './agent-line.ts';
import { buildInitramfs } from '../../src-main/images/node/initramfs.ts';
import { cacheDirectory, ourKernel } from './kernel-guest.ts';

export const imageCache = join(cacheDirectory, '../images');

export interface MachineOptions {
  /** A raw image; the machine works on a copy. */
  image?: string;
  /** Words of the kernel's command line, after (and so before) the usual ones. */
  words?: string[];
  memoryMib?: number;
  kernelPath?: string;
}

export interface Machine {
  /** Resolves with the console so far when it shows `text` (after `from`, a length of it). */
  console(text: string | RegExp, from?: number): Promise<string>;
  output(): string;
  type(keys: string): void;
  attach(): Promise<AgentClient>;
  ended: Promise<{ code: number | null; signal: string | null }>;
  directory: string;
  pid: number;
}

const patienceMs = 120_000;
let nonce = 1;

export async function bootMachine(t: TestContext, options: MachineOptions): Promise<Machine> {
  const kernel = options.kernelPath ?? (await ourKernel('up')).path;
  const initramfs = await buildInitramfs({ cache: imageCache });
  const directory = mkdtempSync(join(tmpdir(), 'na-'));
  const disk = join(directory, 'disk');
  if (options.image) copySparse(options.image, disk);
  const fifos = ['con-in', 'con-out', 'agent-in', 'agent-out'].map((name) => join(directory, name));
  execFileSync('mkfifo', fifos);
  // Opened for both directions the FIFOs live as long as the kernel, whoever comes and goes.
  const ours = fifos.map((path) => openSync(path, constants.O_RDWR | constants.O_NONBLOCK));
  const child = spawn(kernel, [
    `mem=${options.memoryMib ?? 96}M`, `uml_dir=${directory}/`, 'umid=m',
    `initrd=${initramfs.path}`, `ubd0=${options.image ? disk : '/dev/null'}`,
    'con=null', 'ssl=null', 'con0=fd:3,fd:4', 'ssl7=fd:5,fd:6',
    'lpj=5000000', 'console=tty0', 'quiet',
    'nymph.root=/dev/ubda', 'nymph.rootfs=ext4', 'nymph.agent=/dev/ttyS7', 'nymph.hostname=test',
    ...(options.words ?? []),
  ], {
    stdio: ['ignore', 'ignore', 'ignore', ...ours],
    env: { HOME: directory, PATH: '/usr/bin:/bin', TMPDIR: '/dev/shm' },
    detached: true,
  });
  ours.forEach((fd) => closeSync(fd));
  const ended = new Promise<{ code: number | null; signal: string | null }>((resolve) =>
    child.on('exit', (code, signal) => resolve({ code, signal })),
  );
  const pid = child.pid ?? 0;
  const [conIn = '', conOut = '', agentIn = '', agentOut = ''] = fifos;
  const screen = watchConsole(conOut, ended);
  const keys = openSync(conIn, constants.O_RDWR | constants.O_NONBLOCK);
  // Not readable: it would take back its own bytes.
  const typist = new Socket({ fd: keys, readable: false, writable: true });
  const lines: (() => void)[] = [];
  t.after(() => {
    for (const end of [...lines, screen.close, () => typist.destroy()]) end();
    if (child.exitCode === null) kill(pid);
    rmSync(directory, { recursive: true, force: true });
  });
  const attach = async () => {
    const reader = new Socket({ fd: openSync(agentOut, constants.O_RDWR | constants.O_NONBLOCK) });
    const toGuest = openSync(agentIn, constants.O_RDWR | constants.O_NONBLOCK);
    const writer = new Socket({ fd: toGuest, readable: false, writable: true });
    const line = streamLine(reader, writer);
    const client = new AgentClient(line, { nonce: nonce++, timers: realTimers });
    const close = client.close.bind(client);
    client.close = () => {
      close();
      reader.destroy();
      writer.destroy();
    };
    lines.push(() => client.close());
    await client.ready(patienceMs);
    return client;
  };
  return { ...screen, type: (text) => void typist.write(text), attach, ended, directory, pid };
}

export async function run(client: AgentClient, script: string, input?: Uint8Array) {
  const stdout: Uint8Array[] = [];
  const stderr: Uint8Array[] = [];
  const session = client.exec({
    argv: ['/bin/sh', '-c', script],
    stdout: (bytes) => void stdout.push(bytes),
    stderr: (bytes) => void stderr.push(bytes),
  });
  if (input) void session.write(input).then(() => session.end());
  const ending = await session.exit;
  const text = (parts: Uint8Array[]) => Buffer.concat(parts).toString();
  return { ending, stdout: text(stdout), stderr: text(stderr) };
}

function watchConsole(path: string, ended: Promise<unknown>) {
  const socket = new Socket({ fd: openSync(path, constants.O_RDWR | constants.O_NONBLOCK) });
  let said = '';
  const waiting = new Set<() => void>();
  let over = false;
  socket.on('data', (bytes) => {
    said += bytes.toString('latin1');
    for (const look of [...waiting]) look();
  });
  void ended.then(() => setTimeout(() => {
    over = true;
    for (const look of [...waiting]) look();
  }, 100));
  return {
    output: () => said,
    close: () => void socket.destroy(),
    console: (text: string | RegExp, from = 0) =>
      new Promise<string>((resolve, reject) => {
        const timer = setTimeout(() => finish(new Error(`no ${text} in:\n${said}`)), patienceMs);
        const finish = (error?: Error) => {
          clearTimeout(timer);
          waiting.delete(look);
          if (error) reject(error);
          else resolve(said);
        };
        const look = () => {
          const rest = said.slice(from);
          if (typeof text === 'string' ? rest.includes(text) : text.test(rest)) finish();
          else if (over) finish(new Error(`ended without ${text}:\n${said}`));
        };
        waiting.add(look);
        look();
      }),
  };
}

function copySparse(from: string, to: string): void {
  try {
    execFileSync('cp', ['--sparse=always', '--reflink=auto', from, to]);
  } catch {
    copyFileSync(from, to);
  }
}

/** The kernel's helper processes are in its group; they end with their owner, a little later. */
function kill(pid: number): void {
  for (const target of [-pid, pid]) {
    try {
      process.kill(target, 'SIGKILL');
    } catch {
      // Gone already.
    }
  }
}
