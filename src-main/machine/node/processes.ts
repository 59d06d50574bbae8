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
  const needle = `\0${argument}\0`;
  const named = allPids().filter((pid) => {
    try {
      const line = readFileSync(`/proc/${pid}/cmdline`, 'latin1');
      return line.includes(needle) && !/(^|\/)bwrap\0/.test(line.slice(0, line.indexOf('\0') + 1));
    } catch {
      return false;
    }
  });
  return named.find((pid) => !named.includes(readStat(pid)?.parent ?? 0));
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
