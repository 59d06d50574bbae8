/**
 * memory and idle: what fifty running machines that have nothing to do cost beside themselves.
 *
 * memory: growth of the server's resident memory from its start (no machine made) to fifty that
 * run, and the proportional share of the fifty bubblewrap processes, for each machine. The guests'
 * own memory does not count. idle: processor time of the server, the compartments and the kernels
 * with everything below them, as a share of one core.
 */
import { readFileSync } from 'node:fs';
import { childrenOf, cpuSeconds } from '../../src-main/machine/node/processes.ts';
import { machineCount, makeMany, startMany } from './launch-many.ts';
import { once, type Row, type RunOptions } from './measure.ts';
import { openWorld } from './world.ts';

const settleMs = 8000;
const watchMs = 20_000;

const measureFifty = once(async ({ say }: RunOptions) => {
  const world = await openWorld();
  try {
    const { serverPid } = world;
    await delay(2000);
    const beforeBytes = residentBytes(serverPid);
    await startMany(world, await makeMany(world, 'idle'));
    say('fifty run; they settle');
    await delay(settleMs);
    const beganSeconds = cpuSeconds(serverPid);
    const began = performance.now();
    await delay(watchMs);
    const cpu = cpuSeconds(serverPid) - beganSeconds;
    const idlePercent = (cpu * 100) / ((performance.now() - began) / 1000);
    const serverBytes = residentBytes(serverPid) - beforeBytes;
    const helpers = childrenOf(serverPid).flatMap((pid) => [pid, ...childrenOf(pid)])
      .filter((pid) => isBubblewrap(pid));
    const helperBytes = helpers.reduce((sum, pid) => sum + shareBytes(pid), 0);
    say(`server ${mb(beforeBytes)} MB + ${mb(serverBytes)}; bwrap ${mb(helperBytes)} MB in all`);
    return { idlePercent, serverBytes, helperBytes, helperCount: helpers.length };
  } finally {
    await world.close();
  }
});

export const memory: Row = {
  name: 'memory',
  goal: { atMost: 2 },
  unit: ' MB',
  how: 'growth of the server’s memory and its helpers’, for each of fifty that run',
  obstacle: () => undefined,
  async run(options) {
    const { serverBytes, helperBytes, helperCount } = await measureFifty(options);
    return {
      value: (serverBytes + helperBytes) / machineCount / 1e6,
      samples: {
        serverBytes: [serverBytes], helperBytes: [helperBytes], helperCount: [helperCount],
      },
    };
  },
};

export const idle: Row = {
  name: 'idle',
  goal: { atMost: 3 },
  unit: ' %',
  how: 'processor time of everything with fifty idle machines over 20 s, of one core',
  obstacle: () => undefined,
  async run(options) {
    const { idlePercent } = await measureFifty(options);
    return { value: idlePercent, samples: { percent: [idlePercent] } };
  },
};

function residentBytes(pid: number): number {
  return kibOf(`/proc/${pid}/status`, 'VmRSS');
}

function shareBytes(pid: number): number {
  return kibOf(`/proc/${pid}/smaps_rollup`, 'Pss');
}

function kibOf(path: string, key: string): number {
  const kib = new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(readFileSync(path, 'latin1'))?.[1];
  if (kib === undefined) throw new Error(`no ${key} in ${path}`);
  return Number(kib) * 1024;
}

function isBubblewrap(pid: number): boolean {
  return readFileSync(`/proc/${pid}/comm`, 'latin1').trim() === 'bwrap';
}

function mb(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
