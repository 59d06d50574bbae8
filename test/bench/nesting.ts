/**
 * `npm run bench -- nesting [row…]`: machines inside machines on the native engine, three deep,
 * against the host itself; `-- nesting-portable [row…]` on the portable engine, against the
 * outermost machine, as the host is of another architecture. Each round makes the chain anew; every
 * row runs at depth 0 (the host), 1, 2 and 3 in turn, in many short runs, by the guest's clock,
 * which in these kernels is the host's. A figure is the least of all runs; ratios are to the least
 * depth that has one. `boot` ends when the agent answers.
 *
 * `memory` is by how much the processes of the outermost machine have grown when the machine of a
 * depth runs: proportional shares, so that what they share counts once.
 */
import { copyFileSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { EngineName } from '../../src-main/contract/machine.ts';
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
const rows = ['boot', ...programRows, 'memory'];
const machines = [
  { name: 'one', memoryMib: 768 },
  { name: 'two', memoryMib: 384 },
  { name: 'three', memoryMib: 160 },
];
interface Engine {
  readonly name: EngineName;
  readonly architecture: 'amd64' | 'riscv64';
  /** What the disk with the programs is called. */
  readonly disk: string;
  /** The part of the work that a run does at each depth: a short one is seldom interrupted. */
  readonly parts: readonly (number | undefined)[];
}
const native: Engine = {
  name: 'native', architecture: 'amd64', disk: '/dev/ubdb', parts: [10, 15, 30, 60],
};
const portable: Engine = {
  name: 'portable', architecture: 'riscv64', disk: '/dev/vdb', parts: [undefined, 30, 60, 60],
};
const repeats = 8;
const defaultRounds = 2;
const settleMs = 1500;

/** By `ROW DEPTH`. */
type Samples = Map<string, number[]>;

export const nesting = tableOf('nesting', native);
export const nestingPortable = tableOf('nesting-portable', portable);

function tableOf(name: string, engine: Engine): Table {
  return {
    name,
    rows,
    async run(options) {
      const why = compilerObstacle(engine.architecture);
      if (why !== undefined) throw new Error(why);
      const program = await guestProgram(engine.architecture, options.say);
      const { rounds = defaultRounds } = options;
      const samples: Samples = new Map();
      for (let round = 0; round < rounds; round += 1) {
        await oneRound(engine, program, options, samples);
        options.say(`round ${round + 1} of ${rounds} done`);
      }
      return report(samples);
    },
  };
}

async function oneRound(
  engine: Engine, program: string, options: TableOptions, samples: Samples,
): Promise<void> {
  const world = await openWorld();
  const isWanted = (row: string) => options.rows.length === 0 || options.rows.includes(row);
  const keep = (row: string, depth: number, values: readonly number[]) => {
    if (!isWanted(row)) return;
    samples.set(`${row} ${depth}`, [...(samples.get(`${row} ${depth}`) ?? []), ...values]);
    options.say(`${row} at depth ${depth}: ${values.map((value) => value.toFixed(1)).join(' ')}`);
  };
  try {
    await prepare(world, engine.name);
    await importProgram(world, program);
    let usedBytes = 0;
    for (const [index, { name, memoryMib }] of machines.entries()) {
      const outer = machines[index - 1]?.name;
      const inside = outer === undefined ? {} : { inside: outer };
      await world.client.call('machine.create', {
        name, memoryMib, engine: engine.name, ...inside,
      });
      await world.client.call('disk.add', { machine: name, image: 'programs' });
      const began = performance.now();
      await world.start(name);
      await world.untilAgent(name);
      keep('boot', index + 1, [performance.now() - began]);
      await new Promise((resolve) => setTimeout(resolve, settleMs));
      const nowBytes = sharesOf(outermostPid(world));
      keep('memory', index + 1, [(nowBytes - usedBytes) / 1e6]);
      usedBytes = nowBytes;
    }
    for (const row of programRows.filter(isWanted)) {
      for (const [depth, part] of engine.parts.entries()) {
        if (part === undefined) continue;
        const line = `rows=${row} repeats=${repeats} part=${part}`;
        const runs = depth === 0
          ? await onHost(program, line)
          : await inMachine(world, machines[depth - 1]!.name, engine.disk, line);
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

/** What the engine needs and does not have yet. */
async function prepare(world: World, engine: EngineName): Promise<void> {
  const job = await world.client.call('engine.prepare', { engine });
  if (job === null) return;
  const { state, error } = await world.client.call('job.wait', { job: job.id });
  if (state !== 'done') throw new Error(`the ${engine} engine could not be prepared: ${error}`);
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

async function inMachine(
  world: World, machine: string, disk: string, line: string,
): Promise<Runs> {
  const listener = new Listener({});
  const work = `mount -r ${disk} /mnt 2>/dev/null; exec /mnt/work ${line}`;
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
  const found = rows.flatMap((row) => {
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
    plain: { rows: found, samples: Object.fromEntries(samples) },
    isWhole: found.length > 0,
  };
}

function leastOf(values: readonly number[] | undefined): number | undefined {
  return values === undefined ? undefined : Math.min(...values);
}
