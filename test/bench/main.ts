/**
 * `npm run bench [-- name…] [--json] [--rounds N]`: every promise about speed and size, as a ratio
 * to a peer measured in the same run. Never compare the samples of two runs, only the ratios.
 *
 * `npm run bench -- portable [row…] [--harts 1|2]` and `-- nesting [row…]`, `-- nesting-portable
 * [row…]` are tables of their own.
 *
 * A table on stdout, or JSON with `--json`; progress goes to stderr. The exit code says whether
 * the rows could be measured, not whether they reach their goals: a row whose peer is missing here
 * is left out with its reason, a row that fails makes the code 1.
 */
import { loadavg, cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { killBare } from './bare.ts';
import { diskRead, diskWrite } from './disk.ts';
import { echo } from './echo.ts';
import { idle, memory } from './fifty.ts';
import { lan } from './lan-row.ts';
import { launch } from './launch.ts';
import { launchMany } from './launch-many.ts';
import { isMet, type Measured, type Row, type Table } from './measure.ts';
import { nesting, nestingPortable } from './nesting/table.ts';
import { killAll } from './portable/peer.ts';
import { portable } from './portable/table.ts';
import { killQemu, qemu } from './qemu.ts';
import { resume } from './resume.ts';
import { closeAll } from './world.ts';

const rows: readonly Row[] = [
  launch, launchMany, memory, idle, echo, lan, diskRead, diskWrite, qemu, resume,
];
const tables: readonly Table[] = [portable, nesting, nestingPortable];

type Outcome = { row: Row } & (
  | { kind: 'measured'; measured: Measured }
  | { kind: 'skipped' | 'failed'; why: string }
);

const { values: wanted, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    harts: { type: 'string' },
  },
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    killBare();
    killQemu();
    killAll();
    void closeAll().finally(() => process.exit(130));
  });
}
process.exitCode = await main();
// Nothing is under way any more; what still holds the process is a timer of no interest.
process.exit();

async function main(): Promise<number> {
  const table = tables.find(({ name }) => name === positionals[0]);
  const known = table?.rows ?? rows.map(({ name }) => name);
  const names = positionals.slice(table === undefined ? 0 : 1);
  const rounds = wanted.rounds === undefined ? undefined : Number(wanted.rounds);
  const isUnknown = names.some((name) => !known.includes(name));
  if (isUnknown || (rounds !== undefined && !(rounds >= 1 && rounds <= 1000))) {
    const head = table === undefined ? '' : `${table.name} `;
    say(`usage: npm run bench -- ${head}[name…] [--json] [--rounds N]`);
    say(`the names are: ${known.join(' ')}`);
    return 2;
  }
  say(`${cpus().length} processors; load before: ${loadavg()[0]!.toFixed(1)}`);
  return table === undefined ? runRows(names, rounds) : runTable(table, names, rounds);
}

async function runTable(table: Table, names: string[], rounds?: number): Promise<number> {
  const loadBefore = loadavg()[0]!;
  const harts = wanted.harts === undefined ? undefined : Number(wanted.harts);
  const result = await table.run({ rows: names, rounds, harts, say });
  const host = { processors: cpus().length, loadBefore, loadAfter: loadavg()[0]! };
  const json = () => JSON.stringify({ host, ...result.plain }, null, 2);
  process.stdout.write(`${wanted.json ? json() : result.text}\n`);
  return result.isWhole ? 0 : 1;
}

async function runRows(names: string[], rounds?: number): Promise<number> {
  const chosen = rows.filter((row) => names.length === 0 || names.includes(row.name));
  const loadBefore = loadavg()[0]!;
  const outcomes: Outcome[] = [];
  for (const row of chosen) outcomes.push(await runRow(row, rounds));
  const loadAfter = loadavg()[0]!;
  if (wanted.json) {
    const host = { processors: cpus().length, loadBefore, loadAfter };
    process.stdout.write(`${JSON.stringify({ host, rows: outcomes.map(plain) }, null, 2)}\n`);
  } else {
    process.stdout.write(textOf(outcomes));
  }
  return outcomes.some(({ kind }) => kind === 'failed') ? 1 : 0;
}

async function runRow(row: Row, rounds: number | undefined): Promise<Outcome> {
  const why = row.obstacle();
  if (why !== undefined) return { row, kind: 'skipped', why };
  say(`${row.name}: ${row.how}`);
  try {
    const measured = await row.run({ rounds, say: (line) => say(`  ${line}`) });
    return { row, kind: 'measured', measured };
  } catch (thrown) {
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    say(`  ${thrown instanceof Error ? thrown.stack : message}`);
    return { row, kind: 'failed', why: message.split('\n')[0]! };
  }
}

function plain(outcome: Outcome): object {
  const { name, goal, unit, how } = outcome.row;
  const head = { name, goal, unit: unit.trim(), how };
  if (outcome.kind !== 'measured') return { ...head, state: outcome.kind, why: outcome.why };
  const { value, samples } = outcome.measured;
  const state = isMet(outcome.row, value) ? 'ok' : 'over';
  return { ...head, state, measured: value, samples };
}

function textOf(outcomes: readonly Outcome[]): string {
  const lines = [['name', 'measured', 'goal', '', 'how']];
  for (const outcome of outcomes) {
    const { row } = outcome;
    const { name, goal, unit, how } = row;
    const aim = 'atMost' in goal ? `≤ ${goal.atMost}${unit}` : `≥ ${goal.atLeast}${unit}`;
    if (outcome.kind !== 'measured') lines.push([name, '–', aim, outcome.kind, outcome.why]);
    else {
      const { value } = outcome.measured;
      const shown = `${value.toFixed(value < 0.1 ? 3 : 2)}${unit}`;
      lines.push([name, shown, aim, isMet(row, value) ? 'ok' : 'over', how]);
    }
  }
  const widths = lines[0]!.map((_, at) => Math.max(...lines.map((line) => line[at]!.length)));
  return lines
    .map((line) => `${line.map((word, at) => word.padEnd(widths[at]!)).join('  ').trimEnd()}\n`)
    .join('');
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
