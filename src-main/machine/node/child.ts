/**
 * Starting the process of a machine, in its compartment or without one, and holding on to it: the
 * descriptors it inherits, its number, its end, and the far ends of its network.
 *
 * A machine is exactly that process. Everything a later server needs is in its run directory:
 * `launch.json` (written before the process exists) and the FIFOs of its consoles. The network
 * ends are inside the process itself and taken out with pidfd_getfd(2).
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, constants, openSync } from 'node:fs';
import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Refusal } from '../../base/refusal.ts';
import { makeDirectory, readTextIfThere } from '../../base/node/files.ts';
import {
  close,
  mkfifo,
  pidfdGetfd,
  pidfdOpen,
  socketpairSeqpacket,
} from '../../base/node/posix.ts';
import { identify, isSameProcess, type ProcessIdentity } from '../../base/node/process.ts';
import { layoutDescriptors, type DescriptorLayout } from '../descriptors.ts';
import type { ExitReport, LaunchPlan } from '../engine.ts';
import { closePipes, fifoNames, openPipes, type Pipes } from './pipe.ts';
import { childrenOf, descendants, tryKill } from './processes.ts';

export const bubblewrap = '/usr/bin/bwrap';
const launchFile = 'launch.json';
/** How often a machine that is not our child is looked at, should its pipes not tell. */
const watchMs = 1000;

type LaunchRecord = { consoles: number; confined: boolean; startedMs: number };

export interface Program {
  readonly path: string;
  readonly line: readonly string[];
  readonly env: Record<string, string>;
  /** How `ps` shows it where it is not the path. */
  readonly argv0?: string;
  /** bubblewrap's arguments up to `--`; none runs it without a compartment. */
  readonly compartment?: readonly string[];
}

export interface Started {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly startedMs: number;
  readonly layout: DescriptorLayout;
  readonly pipes: Pipes;
  /** Slot → our end. */
  readonly ends: Map<number, number>;
}

export interface Found {
  readonly startedMs: number;
  readonly layout: DescriptorLayout;
  readonly pipes: Pipes;
}

/**
 * Empties the run directory and starts the program there. `programOf` is asked once the run
 * directory exists. @throws Refusal `unavailable`.
 */
export async function startChild(
  plan: LaunchPlan,
  startedMs: number,
  programOf: (layout: DescriptorLayout) => Program | Promise<Program>,
): Promise<Started> {
  const layout = layoutDescriptors(plan.spec.consoles);
  await rm(plan.runDirectory, { recursive: true, force: true });
  await makeDirectory(plan.runDirectory);
  await writeRecord(plan.runDirectory, {
    consoles: plan.spec.consoles,
    confined: plan.confined,
    startedMs,
  });
  const program = await programOf(layout);
  const handles = openHandles(plan.runDirectory, layout);
  const ends = new Map(handles.far.map((fd, slot) => [slot, fd]));
  let child: ChildProcess;
  let pipes: Pipes | undefined;
  try {
    child = spawnProgram(plan, program, layout, handles);
    pipes = openPipes(plan.runDirectory, layout);
  } catch (thrown) {
    for (const fd of handles.far) closeSync(fd);
    throw thrown;
  } finally {
    for (const fd of handles.given) closeSync(fd);
  }
  try {
    const pid = program.compartment ? await insidePid(child) : await ownPid(child);
    return { child, pid, startedMs, layout, pipes, ends };
  } catch (thrown) {
    // bubblewrap itself would leave what it has begun.
    const begun = child.pid === undefined ? [] : [child.pid, ...descendants(child.pid)];
    begun.forEach(tryKill);
    for (const fd of handles.far) closeSync(fd);
    closePipes(pipes);
    throw thrown;
  }
}

/** What an earlier server wrote of a machine of this run directory, and its pipes anew. */
export async function findChild(
  runDirectory: string,
  find: () => number | undefined,
): Promise<(Found & { pid: number }) | undefined> {
  const text = await readTextIfThere(join(runDirectory, launchFile));
  if (text === undefined) return undefined;
  const record = JSON.parse(text) as LaunchRecord;
  const pid = find();
  if (pid === undefined) return undefined;
  const layout = layoutDescriptors(record.consoles);
  return { pid, startedMs: record.startedMs, layout, pipes: openPipes(runDirectory, layout) };
}

/** The far end of a network slot: known since the start, or taken out of the process. */
export function takeNetworkEnd(
  pid: number,
  layout: DescriptorLayout,
  ends: Map<number, number>,
  slot: number,
): number | undefined {
  const known = ends.get(slot);
  if (known !== undefined) return known;
  const nic = layout.nics[slot];
  if (!nic) return undefined;
  let pidfd: number | undefined;
  try {
    pidfd = pidfdOpen(pid);
    const fd = pidfdGetfd(pidfd, nic.far);
    ends.set(slot, fd);
    return fd;
  } catch {
    // Not allowed to look into it (Yama, no compartment): its network rests until it restarts.
    return undefined;
  } finally {
    if (pidfd !== undefined) close(pidfd);
  }
}

export function childExit(child: ChildProcess): Promise<ExitReport> {
  return new Promise((resolve) => {
    child.once('exit', (code, signal) => {
      // bubblewrap tells of a signal the way a shell does.
      if (code !== null && code > 128) resolve({ code, signal: signalName(code - 128) });
      else resolve({ ...(code === null ? {} : { code }), ...(signal ? { signal } : {}) });
    });
  });
}

/** The end of a process that is not our child; `close` stops the watching. */
export function strangerExit(
  identity: ProcessIdentity,
  pipes: Pipes,
): { exited: Promise<ExitReport>; close: () => void } {
  let watch: NodeJS.Timeout | undefined;
  const exited = new Promise<ExitReport>((resolve) => {
    const check = () => {
      if (isSameProcess(identity)) return;
      clearInterval(watch);
      resolve({});
    };
    watch = setInterval(check, watchMs).unref();
    for (const pipe of pipes.consoles) pipe.onEnd = () => setTimeout(check, 20);
  });
  return { exited, close: () => clearInterval(watch) };
}

function signalName(number: number): string {
  return (
    { 6: 'SIGABRT', 9: 'SIGKILL', 11: 'SIGSEGV', 15: 'SIGTERM', 7: 'SIGBUS' }[number] ??
    `signal ${number}`
  );
}

/**
 * Whole or not there, should we be killed. It is not synced, which would hold every launch up for
 * the disk: a crash of the host ends the machine as well, and then nobody asks for its record.
 */
async function writeRecord(runDirectory: string, record: LaunchRecord): Promise<void> {
  const path = join(runDirectory, launchFile);
  await writeFile(`${path}.new`, JSON.stringify(record), { mode: 0o600 });
  await rename(`${path}.new`, path);
}

type Handles = { given: number[]; far: number[] };

/** Everything the kernel inherits, in the order of the layout. */
function openHandles(runDirectory: string, layout: DescriptorLayout): Handles {
  const given: number[] = [];
  const far: number[] = [];
  try {
    const names = fifoNames(runDirectory, layout);
    for (const { input, output } of [...names.consoles, names.agent]) {
      for (const path of [input, output]) {
        mkfifo(path);
        given.push(openSync(path, constants.O_RDWR | constants.O_NONBLOCK));
      }
    }
    for (let slot = 0; slot < layout.nics.length; slot++) {
      const [near, end] = socketpairSeqpacket();
      given.push(near);
      far.push(end);
    }
  } catch (thrown) {
    for (const fd of [...given, ...far]) closeSync(fd);
    throw thrown;
  }
  return { given, far };
}

function spawnProgram(
  plan: LaunchPlan,
  program: Program,
  layout: DescriptorLayout,
  handles: Handles,
): ChildProcess {
  const log = openSync(join(plan.runDirectory, 'kernel.log'), 'a', 0o600);
  const pipeFds = handles.given.slice(0, layout.count - 3 - layout.nics.length * 2);
  const nears = handles.given.slice(pipeFds.length);
  const nicFds = nears.flatMap((near, slot) => [near, handles.far[slot]!]);
  const stdio = ['ignore', log, log, ...pipeFds, ...nicFds] as (number | 'ignore' | 'pipe')[];
  const { path, line, env, argv0, compartment } = program;
  try {
    if (!compartment) {
      const shown = argv0 === undefined ? {} : { argv0 };
      return spawn(path, line, { cwd: plan.directory, env, detached: true, stdio, ...shown });
    }
    // The path and line of the program last, so that `ps` and `top` show which machine it is.
    const argv = [...compartment, path, ...line];
    return spawn(bubblewrap, argv, {
      cwd: '/',
      env: {},
      detached: true,
      stdio: [...stdio, 'pipe'],
    });
  } finally {
    closeSync(log);
  }
}

function spawned(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (error) =>
      reject(new Refusal('unavailable', `It cannot start: ${error.message}.`)),
    );
  });
}

async function ownPid(child: ChildProcess): Promise<number> {
  await spawned(child);
  return child.pid!;
}

/**
 * bubblewrap tells the host number of its namespace's first process; the kernel is the child of
 * that, a moment later.
 */
async function insidePid(child: ChildProcess): Promise<number> {
  await spawned(child);
  const info = child.stdio.at(-1) as NodeJS.ReadableStream;
  let text = '';
  for await (const chunk of info) text += String(chunk);
  const first = /"child-pid":\s*(\d+)/.exec(text)?.[1];
  if (!first)
    throw new Refusal('unavailable', 'The compartment could not be made: see the machine’s log.');
  for (let attempt = 0; attempt < 500; attempt++) {
    const kernel = childrenOf(Number(first))[0];
    if (kernel !== undefined) return kernel;
    if (!identify(Number(first))) break;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  throw new Refusal('unavailable', 'The kernel ended before it began: see the machine’s log.');
}
