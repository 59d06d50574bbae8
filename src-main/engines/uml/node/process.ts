/**
 * What the host's /proc says of a running kernel: which process it is, which are below it, what
 * they use.
 */
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { readStat } from '../../../base/node/process.ts';

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

/** The kernel process of a run directory: the topmost one that names it and is no bubblewrap. */
export function findKernel(runDirectory: string): number | undefined {
  const needle = `\0uml_dir=${runDirectory}/\0`;
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

/** Processor seconds of the kernel and of the host processes that carry its guest's programs. */
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

/** The descriptor of the file that is the guest's memory, unlinked when it was made. */
export function findMemoryFd(pid: number): number | undefined {
  try {
    for (const fd of readdirSync(`/proc/${pid}/fd`)) {
      const target = readlinkSync(`/proc/${pid}/fd/${fd}`);
      if (/\/(vm_file-\w+|#\d+) \(deleted\)$/.test(target)) return Number(fd);
    }
  } catch {
    // Gone, or not ours to look into.
  }
  return undefined;
}

/** What the host really holds for the guest's memory: the blocks of that file, in bytes. */
export function memoryHostBytes(pid: number, memoryFd: number): number {
  try {
    return statSync(`/proc/${pid}/fd/${memoryFd}`).blocks * 512;
  } catch {
    return 0;
  }
}
