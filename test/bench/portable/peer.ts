/**
 * What the table compares: a way to run the bench's programs, with the console of the machine (or,
 * on the host itself, the output of the program) on standard output. Each module beside this one
 * that is named after a peer exports one.
 *
 *   const samples = await follow(peer.command(job));   // ROW → runs, each with its milliseconds
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { cpuSeconds } from '../../../src-main/machine/node/processes.ts';
import type { Architecture } from '../debian.ts';
import { Listener, type Runs } from '../listener.ts';

/** One start of a machine. */
export interface Job {
  /** In this order; none only boots. */
  rows: readonly string[];
  harts: 1 | 2;
  /** How often each row runs; the first time is colder than the others. */
  repeats: number;
  /** A disk of its own to write to: with the programs' data and, for `gcc`, the compiler. */
  disk?: string;
  /** A folder of its own on the host. */
  folder?: string;
  /** One end of a cable to a second machine of the same kind. */
  cable?: { fd: number; own: string; peer: string };
}

export interface Command {
  program: string;
  args: string[];
  /** Beside our own environment. */
  env?: Record<string, string>;
  /** Inherited as descriptor 3; a pipe has its other end here, among the child's `stdio`. */
  fd?: number | 'pipe';
  /** Its rows are the host's own processes, which tell their processor time themselves. */
  onHost?: true;
}

export interface Peer {
  name: 'nymph' | 'tcg' | 'v86' | 'native';
  architecture: Architecture;
  hartsMax: 1 | 2;
  /** Rows that it cannot do, each with the reason. */
  cannot: Readonly<Record<string, string>>;
  /** What keeps it from running here, or undefined. */
  obstacle(): string | undefined;
  /** Brings and makes what it needs, once; at once when it is there. */
  prepare(say: (line: string) => void): Promise<void>;
  command(job: Job): Command;
}

/** What the program in the guest is told, on the kernel's command line. */
export function words(job: Job, names: { disk: string; card: string }): string {
  const { disk, cable } = job;
  return [
    'console=ttyS0 quiet panic=-1',
    `rows=${job.rows.join()} copies=${job.harts} repeats=${job.repeats}`,
    ...(disk === undefined ? [] : [`disk=${names.disk}`]),
    ...(cable === undefined ? [] : [`card=${names.card} own=${cable.own} peer=${cable.peer}`]),
  ].join(' ');
}

export const memoryMib = 512;

/** Only what hangs takes as long. */
const patienceMs = 900_000;
const running = new Set<ChildProcess>();

export function killAll(): void {
  for (const child of running) child.kill('SIGKILL');
}

/** Starts it, for `killAll` to end if nobody else does. */
export function begin(command: Command): ChildProcess {
  const child = spawn(command.program, command.args, {
    stdio: ['ignore', 'pipe', 'pipe', ...(command.fd === undefined ? [] : [command.fd])],
    env: { ...process.env, ...command.env },
  });
  running.add(child);
  child.once('close', () => running.delete(child));
  return child;
}

/** Begins it; `runs` settles when the guest has done all. `also` counts as part of it. */
export function follow(
  command: Command, also: readonly number[] = [],
): { runs: Promise<Runs>; pid: number; lastWords(): string; kill(): void } {
  const child = begin(command);
  const pid = child.pid ?? 0;
  const listener = new Listener(command.onHost ? {} : { cpuMs: () => cpuMsOf([pid, ...also]) });
  let said = '';
  const hear = (bytes: Buffer) => {
    said = (said + bytes.toString('latin1')).slice(-4000);
  };
  child.stderr!.on('data', hear);
  child.stdout!.on('data', (bytes: Buffer) => {
    hear(bytes);
    if (listener.hear(bytes.toString('latin1'))) child.kill('SIGKILL');
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), patienceMs);
  const runs = new Promise<Runs>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      if (listener.isDone) resolve(listener.runs);
      else reject(new Error(`${command.program} ended early, ${signal ?? code}:\n${said}`));
    });
  });
  return { runs, pid, lastWords: () => said, kill: () => child.kill('SIGKILL') };
}

function cpuMsOf(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + cpuSeconds(pid) * 1000, 0);
}
