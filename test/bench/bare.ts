/**
 * The peer of a launch: the same kernel with the same words, as a bare child of this process,
 * without a compartment, until its agent says that the guest's init runs.
 *
 * The words are read off a machine that Nymph has started, so that they cannot differ but in the
 * places of its files. Overlay and FIFOs are made beforehand and do not count, nor does the
 * overlay of a machine, which is made when the machine is.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mkfifo } from '../../src-main/base/node/posix.ts';
import { createOverlay } from '../../src-main/disks/node/overlay.ts';
import { AgentClient } from '../../src-main/guest/agent-client.ts';
import { realTimers, streamLine } from '../guest/agent-line.ts';
import type { World } from './world.ts';

const patienceMs = 60_000;
const both = constants.O_RDWR | constants.O_NONBLOCK;

export interface Words {
  kernel: string;
  line: string[];
  runDirectory: string;
  overlay: string;
  image: string;
  /** The FIFOs that it inherits from descriptor 3 on: an input and an output for each console. */
  fifos: string[];
}

/** From a running machine of the world. */
export function readWords(world: World, name: string): Words {
  const { pid } = world.view(name);
  const [kernel, ...line] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
  const runDirectory = valueOf(line, 'uml_dir=');
  const [overlay, image] = valueOf(line, 'ubd0=').split(',');
  if (!kernel || !overlay || !image) throw new Error(`not a kernel’s line: ${line.join(' ')}`);
  const consoles = line.filter((word) => /^con\d+=fd:/.test(word)).length;
  const labels = Array.from({ length: consoles }, (_, index) => `console${index}`);
  const fifos = [...labels, 'agent'].flatMap((label) => [`${label}.in`, `${label}.out`]);
  return { kernel, line, runDirectory, overlay, image, fifos };
}

function valueOf(line: readonly string[], key: string): string {
  const word = line.find((each) => each.startsWith(key));
  if (word === undefined) throw new Error(`no ${key} in: ${line.join(' ')}`);
  return word.slice(key.length);
}

let nonce = 1;
const running = new Set<BareGuest>();

export function killBare(): void {
  for (const guest of [...running]) guest.kill();
}

export class BareGuest {
  private readonly words: Words;
  private readonly folder = mkdtempSync(join(tmpdir(), 'nb-'));
  private readonly overlay = join(this.folder, 'root.cow');
  private child?: ChildProcess;
  private client?: AgentClient;
  private readonly sockets: Socket[] = [];

  private constructor(words: Words) {
    this.words = words;
  }

  static async prepare(words: Words): Promise<BareGuest> {
    const guest = new BareGuest(words);
    running.add(guest);
    for (const name of words.fifos) mkfifo(join(guest.folder, name));
    await createOverlay(guest.overlay, words.image);
    return guest;
  }

  /** Milliseconds from the spawn to the guest's init. */
  async start(): Promise<number> {
    const { kernel, line, runDirectory, overlay, fifos } = this.words;
    const fds = fifos.map((name) => openSync(join(this.folder, name), both));
    const own = line.map((word) =>
      word.replace(runDirectory, `${this.folder}/`).replace(overlay, this.overlay));
    const began = performance.now();
    const child = spawn(kernel, own, {
      cwd: this.folder,
      env: { HOME: this.folder, TMPDIR: '/dev/shm' },
      detached: true,
      stdio: ['ignore', 'ignore', 'ignore', ...fds],
    });
    this.child = child;
    for (const fd of fds) closeSync(fd);
    const agentIn = this.socket('agent.in');
    const agentOut = this.socket('agent.out');
    for (const name of fifos) if (/^console\d+\.out$/.test(name)) this.socket(name).resume();
    this.client = new AgentClient(streamLine(agentOut, agentIn), {
      nonce: nonce++, timers: realTimers,
    });
    const ended = new Promise<never>((_, reject) => {
      child.once('error', reject);
      child.once('exit', () => reject(new Error('the bare kernel ended')));
    });
    await Promise.race([this.client.ready(patienceMs), ended]);
    const tookMs = performance.now() - began;
    ended.catch(() => {});
    return tookMs;
  }

  private socket(name: string): Socket {
    const fd = openSync(join(this.folder, name), both);
    const readable = name.endsWith('.out');
    const socket = new Socket({ fd, readable, writable: !readable });
    this.sockets.push(socket);
    return socket;
  }

  kill(): void {
    if (!running.delete(this)) return;
    this.client?.close();
    for (const socket of this.sockets) socket.destroy();
    try {
      // Its helper processes are in its group.
      if (this.child?.pid !== undefined) process.kill(-this.child.pid, 'SIGKILL');
    } catch {
      // Gone already.
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}
