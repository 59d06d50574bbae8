/**
 * Which process it is: a number alone may have been given to another since, a number and the time
 * when it started name one process for as long as the host is up.
 *
 *   const holder = identify(process.pid);
 *   if (isSameProcess(holder)) …   // that very process still runs
 *
 * A process that only waits to be buried counts as gone. Read from Linux' /proc; where there is
 * none no process is ever found.
 */
import { readFileSync } from 'node:fs';

export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks after boot, field 22 of /proc/PID/stat. */
  readonly startTicks: number;
}

export interface ProcessStat {
  readonly state: string;
  readonly parent: number;
  /** Own user and system time, and that of children already waited for. */
  readonly cpuTicks: number;
  readonly startTicks: number;
}

/** Undefined for a process that is gone; a zombie is still there, with state `Z`. */
export function readStat(pid: number): ProcessStat | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return undefined;
  }
  // The name may hold spaces and parentheses, so count the fields from its last parenthesis.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return {
    state: fields[0]!,
    parent: Number(fields[1]),
    cpuTicks: [11, 12, 13, 14].reduce((sum, index) => sum + Number(fields[index]), 0),
    startTicks: Number(fields[19]),
  };
}

export function identify(pid: number): ProcessIdentity | undefined {
  const stat = readStat(pid);
  return stat && stat.state !== 'Z' ? { pid, startTicks: stat.startTicks } : undefined;
}

export function isSameProcess(identity: ProcessIdentity): boolean {
  return identify(identity.pid)?.startTicks === identity.startTicks;
}
