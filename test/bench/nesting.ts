/**
 * `npm run bench -- nesting [row…]`: machines inside machines on the native engine, three deep,
 * against the host itself. Each round makes the chain anew; every row runs at depth 0 (the host),
 * 1, 2 and 3 in turn. A figure is the least of all runs; ratios are to depth 0, of `boot` to 1.
 *
 * Processor time, of all processes of the outermost machine, stands beside time: it alone holds on
 * a host that has other work. `memory` is by how much those processes have grown when the machine
 * of a depth runs: proportional shares, so that what they share counts once.
 */
import { copyFileSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatExt4 } from '../../src-main/images/node/ext4.ts';
import { cpuSeconds, descendants } from '../../src-main/machine/node/processes.ts';
import { guestProgram, compilerObstacle } from './guest-program.ts';
import { Listener, type Runs } from './listener.ts';
import type { Table, TableOptions, TableResult } from './measure.ts';
import { aligned } from './portable/report.ts';
import { openWorld, type World } from './world.ts';
import { native } from './portable/native.ts';
import { follow } from './portable/peer.ts';

/** A loop of whole numbers, then what the kernel does. */
const programRows = ['integer', 'syscall', 'fault', 'fork', 'pipe'];
const machines = [
  { name: 'one', memoryMib: 768 },
  { name: 'two', memoryMib: 384 },
  { name: 'three', memoryMib: 160 },
];
/** The part of the work that is done at each depth, else the deepest would take minutes. */
const parts = [1, 4, 10, 20];
/** The loop is whole at every depth. */
const wholeRows = new Set(['integer']);
const repeats = 2;
const defaultRounds = 2;
const settleMs = 1500;

/** By `ROW UNIT DEPTH`. */
type Samples = Map<string, number[]>;
type Unit = 'ms' | 'cpu ms' | 'MB';

export const nesting: Table = {
  name: 'nesting',
  rows: ['boot', ...programRows, 'memory'],
  async run(options) {
    const why = compilerObstacle('amd64');
    if (why !== undefined) throw new Error(why);
    const program = await guestProgram('amd64', options.say);
    await native.prepare(options.say);
    const { rounds = defaultRounds } = options;
    const samples: Samples = new Map();
    for (let round = 0; round < rounds; round += 1) {
      await oneRound(program, options, samples);
      options.say(`round ${round + 1} of ${rounds} done`);
    }
    return report(samples);
  },
};

async function oneRound(program: string, options: TableOptions, samples: Samples): Promise<void> {
  const world = await openWorld();
  const isWanted = (row: string) => options.rows.length === 0 || options.rows.includes(row);
  const keep = (row: string, unit: Unit, depth: number, values: readonly number[]) => {
    if (!isWanted(row)) return;
    const key = `${row}, ${unit} ${depth}`;
    samples.set(key, [...(samples.get(key) ?? []), ...values]);
    options.say(`${key}: ${values.map((value) => value.toFixed(1)).join(' ')}`);
  };
  const keepRuns = (row: string, depth: number, runs: Runs, part: number) => {
    const own = runs.get(row) ?? [];
    keep(row, 'ms', depth, own.map(({ ms }) => ms * part));
    keep(row, 'cpu ms', depth, own.map(({ cpuMs }) => cpuMs * part));
  };
  try {
    await importProgram(world, program);
    let usedBytes = 0;
    for (const [index, { name, memoryMib }] of machines.entries()) {
      const outer = machines[index - 1]?.name;
      const inside = outer === undefined ? {} : { inside: outer };
      await world.client.call('machine.create', { name, memoryMib, image: 'tiny', ...inside });
      await world.client.call('disk.add', { machine: name, image: 'programs' });
      keep('boot', 'ms', index + 1, [await world.start(name)]);
      await new Promise((resolve) => setTimeout(resolve, settleMs));
      const nowBytes = sharesOf(outermostPid(world));
      keep('memory', 'MB', index + 1, [(nowBytes - usedBytes) / 1e6]);
      usedBytes = nowBytes;
    }
    for (const row of programRows.filter(isWanted)) {
      const job = { rows: [row], harts: 1, repeats } as const;
      keepRuns(row, 0, await follow(native.command(job)).runs, 1);
      for (const [index, { name }] of machines.entries()) {
        const part = wholeRows.has(row) ? 1 : parts[index + 1]!;
        keepRuns(row, index + 1, await inMachine(world, name, row, part), part);
      }
    }
  } finally {
    await world.close();
  }
}

function outermostPid(world: World): number {
  return world.view(machines[0]!.name).pid!;
}

/** The programs come to every machine on a disk. */
async function importProgram(world: World, program: string): Promise<void> {
  const content = join(world.home, 'content');
  mkdirSync(content);
  copyFileSync(program, join(content, 'work'));
  const path = join(world.home, 'programs.img');
  await formatExt4(path, { sizeMib: 16, label: 'programs', seed: 'programs', content });
  const job = await world.client.call('image.import', { source: { path }, name: 'programs' });
  const { state, error } = await world.client.call('job.wait', { job: job.id });
  if (state !== 'done') throw new Error(`the programs could not be imported: ${error}`);
}

async function inMachine(
  world: World, machine: string, row: string, part: number,
): Promise<Runs> {
  const listener = new Listener({ cpuMs: () => cpuSeconds(outermostPid(world)) * 1000 });
  const work = `/mnt/work rows=${row} repeats=${repeats} part=${part}`;
  const argv = ['/bin/sh', '-c', `mount -r /dev/ubdb /mnt 2>/dev/null; exec ${work}`];
  const stream = world.client.open('machine.exec', { machine, argv }, (bytes) => {
    // The first byte of each message says which output it is of.
    listener.hear(Buffer.from(bytes.subarray(1)).toString('latin1'));
  });
  await stream.result;
  if (!listener.isDone) throw new Error(`${row} did not end in “${machine}”`);
  return listener.runs;
}

function sharesOf(pid: number): number {
  return [pid, ...descendants(pid)].reduce((sum, each) => {
    const text = readFileSync(`/proc/${each}/smaps_rollup`, 'latin1');
    return sum + Number(/^Pss:\s+(\d+) kB/m.exec(text)?.[1] ?? 0) * 1024;
  }, 0);
}

function report(samples: Samples): TableResult {
  const depths = [0, 1, 2, 3];
  const lines = [['row', ...depths.map((depth) => `depth ${depth}`), '÷ 1', '÷ 2', '÷ 3']];
  const heads = new Set([...samples.keys()].map((key) => key.replace(/ \d$/, '')));
  const rows = [...heads].map((row) => {
    const least = depths.map((depth) => leastOf(samples.get(`${row} ${depth}`)));
    const base = row.startsWith('memory') ? undefined : least[0] ?? least[1];
    const ratios = least.map((value) =>
      value === undefined || base === undefined ? undefined : value / base);
    lines.push([
      row, ...least.map((value) => value?.toFixed(1) ?? '–'),
      ...ratios.slice(1).map((ratio) => ratio?.toFixed(2) ?? '–'),
    ]);
    return { row, least, ratios };
  });
  return {
    text: aligned(lines),
    plain: { rows, samples: Object.fromEntries(samples) },
    isWhole: rows.length > 0,
  };
}

function leastOf(values: readonly number[] | undefined): number | undefined {
  return values === undefined ? undefined : Math.min(...values);
}
