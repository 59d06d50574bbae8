/**
 * The native engine: starts a User Mode Linux kernel as a process of its own session, inside its
 * compartment, and finds it again after a restart of ours.
 *
 * A machine is exactly that process. Everything a later server needs is in its run directory:
 * `launch.json` (written before the process exists: the descriptor layout), the FIFOs of its
 * consoles, the socket of its management console. The network ends are inside the process itself
 * and taken out with pidfd_getfd(2).
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, constants, existsSync, openSync, readFileSync } from 'node:fs';
import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Refusal } from '../../../base/refusal.ts';
import { makeDirectory, readTextIfThere } from '../../../base/node/files.ts';
import { mkfifo, socketpairSeqpacket } from '../../../base/node/posix.ts';
import { identify } from '../../../base/node/process.ts';
import type { Engine, LaunchPlan, RunningMachine } from '../../../machine/engine.ts';
import {
  commandLine,
  layoutDescriptors,
  nicSlots,
  type DescriptorLayout,
} from '../command-line.ts';
import { bareEnvironment, sandboxArguments } from '../sandbox.ts';
import { closePipes, fifoNames, openPipes, type Pipes } from './pipe.ts';
import { childrenOf, findKernel } from './process.ts';
import { UmlMachine } from './machine.ts';

const bubblewrap = '/usr/bin/bwrap';
const launchFile = 'launch.json';

type LaunchRecord = { consoles: number; confined: boolean; startedMs: number };

export class UmlEngine implements Engine {
  readonly name = 'native';
  readonly nicSlots = nicSlots;
  private readonly now: () => number;

  constructor(now: () => number) {
    this.now = now;
  }

  async launch(plan: LaunchPlan): Promise<RunningMachine> {
    const layout = layoutDescriptors(plan.spec.consoles);
    const startedMs = this.now();
    await rm(plan.runDirectory, { recursive: true, force: true });
    await makeDirectory(plan.runDirectory);
    const record: LaunchRecord = {
      consoles: plan.spec.consoles,
      confined: plan.confined,
      startedMs,
    };
    await writeRecord(plan.runDirectory, record);
    const handles = openHandles(plan.runDirectory, layout);
    const ends = new Map(handles.far.map((fd, slot) => [slot, fd]));
    let child: ChildProcess;
    let pipes: Pipes | undefined;
    try {
      child = spawnKernel(plan, layout, handles);
      pipes = openPipes(plan.runDirectory, layout);
    } catch (thrown) {
      for (const fd of handles.far) closeSync(fd);
      throw thrown;
    } finally {
      for (const fd of handles.given) closeSync(fd);
    }
    try {
      const pid = plan.confined ? await insidePid(child) : await ownPid(child);
      return new UmlMachine({ plan, layout, pid, startedMs, ends, pipes, child });
    } catch (thrown) {
      child.kill('SIGKILL');
      for (const fd of handles.far) closeSync(fd);
      closePipes(pipes);
      throw thrown;
    }
  }

  async adopt(
    plan: Pick<LaunchPlan, 'runDirectory' | 'spec'>,
  ): Promise<RunningMachine | undefined> {
    const text = await readTextIfThere(join(plan.runDirectory, launchFile));
    if (text === undefined) return undefined;
    const record = JSON.parse(text) as LaunchRecord;
    const pid = findKernel(plan.runDirectory);
    if (pid === undefined) return undefined;
    const layout = layoutDescriptors(record.consoles);
    return new UmlMachine({
      plan,
      layout,
      pid,
      startedMs: record.startedMs,
      ends: new Map(),
      pipes: openPipes(plan.runDirectory, layout),
    });
  }
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

function spawnKernel(plan: LaunchPlan, layout: DescriptorLayout, handles: Handles): ChildProcess {
  const log = openSync(join(plan.runDirectory, 'kernel.log'), 'a', 0o600);
  const pipeFds = handles.given.slice(0, layout.count - 3 - layout.nics.length * 2);
  const nears = handles.given.slice(pipeFds.length);
  const nicFds = nears.flatMap((near, slot) => [near, handles.far[slot]!]);
  const line = commandLine(plan, layout);
  try {
    if (!plan.confined) {
      return spawn(plan.kernel.path, line, {
        cwd: plan.directory,
        env: bareEnvironment(plan),
        detached: true,
        stdio: ['ignore', log, log, ...pipeFds, ...nicFds],
      });
    }
    // The name of its process first, so that `ps` and `top` show which machine it is.
    const argv = [...sandboxArguments(plan, layout.count), plan.kernel.path, ...line];
    return spawn(bubblewrap, argv, {
      cwd: '/',
      env: {},
      detached: true,
      stdio: ['ignore', log, log, ...pipeFds, ...nicFds, 'pipe'],
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

/** Whether a compartment can be made here, and if not, why. Asked once, kept by the caller. */
export async function probeConfinement(): Promise<{ works: boolean; reason?: string }> {
  if (!existsSync(bubblewrap)) {
    return { works: false, reason: 'bubblewrap is not installed (apt install bubblewrap).' };
  }
  const child = spawn(bubblewrap, ['--unshare-all', '--ro-bind', '/', '/', '--', '/bin/true'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr!.on('data', (bytes) => (said += String(bytes)));
  const code = await new Promise<number | null>((resolve) => {
    child.once('close', resolve);
    child.once('error', () => resolve(-1));
  });
  if (code === 0) return { works: true };
  const restricted = readRestriction();
  const why = restricted ?? said.trim().split('\n')[0]?.slice(0, 200) ?? 'it ended at once';
  return { works: false, reason: `bubblewrap does not work here: ${why}.` };
}

function readRestriction(): string | undefined {
  try {
    const value = readFileSync('/proc/sys/kernel/apparmor_restrict_unprivileged_userns', 'utf8');
    return value.trim() === '1' ? 'AppArmor restricts unprivileged user namespaces' : undefined;
  } catch {
    return undefined;
  }
}
