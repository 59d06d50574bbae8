/**
 * `npm run bench -- nesting [row…]`: machines inside machines on the native engine, three deep,
 * against the host itself. Each round makes the chain anew; every row runs at depth 0 (the host),
 * 1, 2 and 3 in turn, in many short runs, by the guest's clock, which in these kernels is the
 * host's. A figure is the least of all runs; ratios are to depth 0, of `boot` to 1.
 *
 * `memory` is by how much the processes of the outermost machine have grown when the machine of a
 * depth runs: proportional shares, so that what they share counts once.
 */
import { copyFileSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatExt4 } from '../../src-main/images/node/ext4.ts';
import { runProgram } from '../../src-main/kernels/node/run.ts';
import { descendants } from '../../src-main/machine/node/processes.ts';
import { guestProgram, compilerObstacle } from './guest-program.ts';
import { Listener, type Runs } from './listener.ts';
import type { Table, TableOptions, TableResult } from './measure.ts';
import { aligned } from './portable/report.ts';
import { openWorld, type World } from './world.ts';

/** A loop of whole numbers, then what the kernel does. */
const programRows = ['integer', 'syscall', 'fault', 'fork', 'pipe'];
const machines = [
  { name: 'one', memoryMib: 768 },
  { name: 'two', memoryMib: 384 },
  { name: 'three', memoryMib: 160 },
];
/** The part of the work that a run does at each depth: a short one is seldom interrupted. */
const parts = [10, 15, 30, 60];
const repeats = 8;
const defaultRounds = 2;
const settleMs = 1500;

/** By `ROW DEPTH`. */
type Samples = Map<string, number[]>;

export const nesting: Table = {
  name: 'nesting',
  rows: ['boot', ...programRows, 'memory'],
  async run(options) {
    const why = compilerObstacle('amd64');
    if (why !== undefined) throw new Error(why);
    const program = await guestProgram('amd64', options.say);
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
  const keep = (row: string, depth: number, values: readonly number[]) => {
    if (!isWanted(row)) return;
    samples.set(`${row} ${depth}`, [...(samples.get(`${row} ${depth}`) ?? []), ...values]);
    options.say(`${row} at depth ${depth}: ${values.map((value) => value.toFixed(1)).join(' ')}`);
  };
  try {
    await importProgram(world, program);
    let usedBytes = 0;
    for (const [index, { name, memoryMib }] of machines.entries()) {
      const outer = machines[index - 1]?.name;
      const inside = outer === undefined ? {} : { inside: outer };
      await world.client.call('machine.create', { name, memoryMib, image: 'tiny', ...inside });
      await world.client.call('disk.add', { machine: name, image: 'programs' });
      keep('boot', index + 1, [await world.start(name)]);
      await new Promise((resolve) => setTimeout(resolve, settleMs));
      const nowBytes = sharesOf(outermostPid(world));
      keep('memory', index + 1, [(nowBytes - usedBytes) / 1e6]);
      usedBytes = nowBytes;
    }
    for (const row of programRows.filter(isWanted)) {
      for (const [depth, part] of parts.entries()) {
        const line = `rows=${row} repeats=${repeats} part=${part}`;
        const runs = depth === 0
          ? await onHost(program, line)
          : await inMachine(world, machines[depth - 1]!.name, line);
        keep(row, depth, (runs.get(row) ?? []).map(({ ms }) => ms * part));
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

async function onHost(program: string, line: string): Promise<Runs> {
  const listener = new Listener({});
  listener.hear(await runProgram([program, ...line.split(' ')], {}));
  return listener.runs;
}

async function inMachine(world: World, machine: string, line: string): Promise<Runs> {
  const listener = new Listener({});
  const work = `mount -r /dev/ubdb /mnt 2>/dev/null; exec /mnt/work ${line}`;
  const argv = ['/bin/sh', '-c', work];
  const stream = world.client.open('machine.exec', { machine, argv }, (bytes) => {
    // The first byte of each message says which output it is of.
    listener.hear(Buffer.from(bytes.subarray(1)).toString('latin1'));
  });
  await stream.result;
  if (!listener.isDone) throw new Error(`${line} did not end in “${machine}”`);
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
  const rows = nesting.rows.flatMap((row) => {
    const least = depths.map((depth) => leastOf(samples.get(`${row} ${depth}`)));
    if (least.every((value) => value === undefined)) return [];
    const unit = row === 'memory' ? 'MB' : 'ms';
    const base = row === 'memory' ? undefined : least[0] ?? least[1];
    const ratios = least.map((value) =>
      value === undefined || base === undefined ? undefined : value / base);
    lines.push([
      `${row}, ${unit}`, ...least.map((value) => value?.toFixed(1) ?? '–'),
      ...ratios.slice(1).map((ratio) => ratio?.toFixed(2) ?? '–'),
    ]);
    return [{ row, unit, least, ratios }];
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
