/**
 * `npm run bench -- nesting [row…]`: machines inside machines on the native engine, three deep,
 * against the host itself. Each round makes the chain anew; every row runs at depth 0 (the host),
 * 1, 2 and 3 in turn. A figure is the least of all runs; ratios are to depth 0, of `boot` to 1.
 *
 * `memory` is by how much the outermost machine's processes on the host have grown when the
 * machine of a depth runs: proportional shares, so that what they share counts once.
 */
import { readFileSync } from 'node:fs';
import { descendants } from '../../src-main/machine/node/processes.ts';
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

/** By `ROW DEPTH`. */
type Samples = Map<string, number[]>;

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
  const keep = (row: string, depth: number, values: readonly number[]) => {
    if (!isWanted(row)) return;
    samples.set(`${row} ${depth}`, [...(samples.get(`${row} ${depth}`) ?? []), ...values]);
    options.say(`${row} at depth ${depth}: ${values.map((value) => value.toFixed(1)).join(' ')}`);
  };
  try {
    let usedBytes = 0;
    for (const [index, { name, memoryMib }] of machines.entries()) {
      const outer = machines[index - 1]?.name;
      const inside = outer === undefined ? {} : { inside: outer };
      await world.client.call('machine.create', { name, memoryMib, image: 'tiny', ...inside });
      keep('boot', index + 1, [await world.start(name)]);
      await new Promise((resolve) => setTimeout(resolve, settleMs));
      const nowBytes = sharesOf(world.view(machines[0]!.name).pid!);
      keep('memory', index + 1, [(nowBytes - usedBytes) / 1e6]);
      usedBytes = nowBytes;
      await send(world, name, readFileSync(program));
    }
    for (const row of programRows.filter(isWanted)) {
      const job = { rows: [row], harts: 1, repeats } as const;
      keep(row, 0, timesOf(await follow(native.command(job)).runs, row));
      for (const [index, { name }] of machines.entries()) {
        const part = wholeRows.has(row) ? 1 : parts[index + 1]!;
        const runs = await inMachine(world, name, row, part);
        keep(row, index + 1, timesOf(runs, row).map((ms) => ms * part));
      }
    }
  } finally {
    await world.close();
  }
}

function timesOf(runs: Runs, row: string): number[] {
  return (runs.get(row) ?? []).map(({ ms }) => ms);
}

async function send(world: World, machine: string, bytes: Uint8Array): Promise<void> {
  const argv = ['/bin/sh', '-c', 'cat > /tmp/work && chmod +x /tmp/work'];
  const stream = world.client.open('machine.exec', { machine, argv }, () => {});
  await stream.write(bytes);
  stream.end();
  const { code } = await stream.result;
  if (code !== 0) throw new Error(`the program did not arrive in “${machine}”`);
}

async function inMachine(
  world: World, machine: string, row: string, part: number,
): Promise<Runs> {
  const listener = new Listener({});
  const argv = ['/tmp/work', `rows=${row}`, `repeats=${repeats}`, `part=${part}`];
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
