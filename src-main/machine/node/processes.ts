/**
 * What the host's /proc says of the processes of machines: which one it is, which are below it,
 * what they use.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { readStat } from '../../base/node/process.ts';

/** USER_HZ, which Linux fixes at 100 for user space. */
const ticksPerSecond = 100;

function allPids(): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0);
}

export function childrenOf(pid: number): number[] {
  try {
    const children: number[] = [];
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      const text = readFileSync(`/proc/${pid}/task/${thread}/children`, 'latin1').trim();
      if (text) children.push(...text.split(' ').map(Number));
    }
    return children;
  } catch {
    // A host kernel without CONFIG_PROC_CHILDREN, or a process that is gone.
    return allPids().filter((other) => readStat(other)?.parent === pid);
  }
}

/** The process that was given this very argument: the topmost one that is no bubblewrap. */
export function findByArgument(argument: string): number | undefined {
  const named = namedBy(argument).programs;
  return named.find((pid) => !named.includes(readStat(pid)?.parent ?? 0));
}

/** Ends whatever was given this very argument, and the compartments of it. */
export function killByArgument(argument: string): void {
  const { programs, compartments } = namedBy(argument);
  for (const pid of [...programs, ...compartments]) tryKill(pid);
}

/**
 * The first process of the compartment that a program runs in, by its number here. With it
 * everything in the compartment ends, at once and whatever state it is in.
 */
export function compartmentOf(pid: number): number | undefined {
  const parent = readStat(pid)?.parent ?? 0;
  try {
    const status = readFileSync(`/proc/${parent}/status`, 'latin1');
    return /^NSpid:\t\d+\t(\d+\t)*1$/m.test(status) ? parent : undefined;
  } catch {
    return undefined;
  }
}

/** What runs in the session that a process began, which may be gone itself. */
export function membersOfSession(leader: number): number[] {
  return allPids().filter((pid) => {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
      const [, , , session] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return Number(session) === leader;
    } catch {
      return false;
    }
  });
}

function namedBy(argument: string): { programs: number[]; compartments: number[] } {
  const needle = `\0${argument}\0`;
  const found = { programs: [] as number[], compartments: [] as number[] };
  for (const pid of allPids()) {
    try {
      const line = readFileSync(`/proc/${pid}/cmdline`, 'latin1');
      if (!line.includes(needle)) continue;
      const isCompartment = /(^|\/)bwrap\0/.test(line.slice(0, line.indexOf('\0') + 1));
      (isCompartment ? found.compartments : found.programs).push(pid);
    } catch {
      // Gone meanwhile.
    }
  }
  return found;
}

/** Processor seconds of a process and of all that are below it. */
export function cpuSeconds(pid: number): number {
  let ticks = 0;
  const queue = [pid];
  for (let index = 0; index < queue.length && index < 4096; index++) {
    const stat = readStat(queue[index]!);
    if (!stat) continue;
    ticks += stat.cpuTicks;
    queue.push(...childrenOf(queue[index]!));
  }
  return ticks / ticksPerSecond;
}

export function descendants(pid: number): number[] {
  const found = childrenOf(pid);
  for (let index = 0; index < found.length && index < 4096; index++) {
    found.push(...childrenOf(found[index]!));
  }
  return found;
}

export function tryKill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Gone already.
  }
}
