/** What the table says of what was measured: ratios by row, their means, and the goals. */
import type { TableResult } from '../measure.ts';
import type { Run } from '../listener.ts';
import type { Peer } from './peer.ts';

/** By `ROW HARTS PEER`. */
export type Kept = Map<string, Run[]>;

const units = ['ms', 'cpuMs'] as const;
type Unit = (typeof units)[number];
type Figures = Partial<Record<Peer['name'], Record<Unit, number>>>;

export interface RowResult {
  row: string;
  harts: number;
  least: Figures;
  runs: Partial<Record<Peer['name'], Run[]>>;
}

export function rowsOf(
  names: readonly string[], hartCounts: readonly number[], kept: Kept, peers: readonly Peer[],
): RowResult[] {
  return hartCounts.flatMap((harts) => names.map((row) => {
    const result: RowResult = { row, harts, least: {}, runs: {} };
    for (const { name } of peers) {
      const runs = kept.get(`${row} ${harts} ${name}`);
      if (runs === undefined) continue;
      result.runs[name] = runs;
      result.least[name] = {
        ms: Math.min(...runs.map(({ ms }) => ms)),
        cpuMs: Math.min(...runs.map(({ cpuMs }) => cpuMs)),
      };
    }
    return result;
  }));
}

/** How many times as fast as the peer we are, of each unit. */
export function ratios(result: RowResult, peer: Peer['name']): Record<Unit, number> | undefined {
  const { nymph, [peer]: other } = result.least;
  if (nymph === undefined || other === undefined) return undefined;
  return { ms: other.ms / nymph.ms, cpuMs: other.cpuMs / nymph.cpuMs };
}

export function report(
  results: readonly RowResult[], peers: readonly Peer[], failures: readonly string[],
): TableResult {
  const others = ['tcg', 'v86', 'native'] as const;
  const differing = results.filter(({ runs }) =>
    new Set(Object.values(runs).flat().map(({ answer }) => answer)).size > 1);
  const wrong = [...failures, ...differing.map(({ row }) => `${row}: the answers differ`)];
  const hartCounts = [...new Set(results.map(({ harts }) => harts))];
  const means = hartCounts.map((harts) => ({
    harts,
    ...Object.fromEntries(others.map((peer) => [peer, meansOf(results, harts, peer)])),
  }));
  const heads = others.flatMap((peer) => [`÷ ${peer}`, 'by cpu']);
  const lines = [['row', 'harts', 'ms', ...heads]];
  for (const result of results) {
    lines.push([
      result.row, String(result.harts), shown(result.least.nymph?.ms, 0),
      ...others.flatMap((peer) => units.map((unit) => shown(ratios(result, peer)?.[unit], 2))),
    ]);
  }
  for (const harts of hartCounts) {
    lines.push(['geometric mean', String(harts), '', ...others.flatMap((peer) =>
      units.map((unit) => shown(meansOf(results, harts, peer)[unit], 2)))]);
  }
  const goals = goalsOf(results);
  return {
    text: [
      aligned(lines),
      ...absences(results, peers),
      ...goals.map(({ goal, reached, isMet }) => `${goal}: ${reached} ${isMet ? 'ok' : 'over'}`),
      ...wrong.map((each) => `failed: ${each}`),
    ].join('\n'),
    plain: { rows: results, means, goals, failures: wrong },
    isWhole: wrong.length === 0,
  };
}

/** Why there is no figure where there is none. */
function absences(results: readonly RowResult[], peers: readonly Peer[]): string[] {
  const wanted = new Set(results.map(({ row }) => row));
  return peers.flatMap(({ name, hartsMax, cannot }) => [
    ...Object.entries(cannot).filter(([row]) => wanted.has(row))
      .map(([row, why]) => `– ${row}, ${name}: ${why}`),
    ...(hartsMax === 1 ? [`– 2 harts, ${name}: it has one processor`] : []),
  ]);
}

function meansOf(results: readonly RowResult[], harts: number, peer: Peer['name']) {
  const found = results
    .filter((result) => result.harts === harts)
    .flatMap((result) => ratios(result, peer) ?? []);
  const mean = (unit: Unit) =>
    Math.exp(found.reduce((sum, each) => sum + Math.log(each[unit]), 0) / found.length);
  return { ms: mean('ms'), cpuMs: mean('cpuMs') };
}

/** With one hart, by time. */
function goalsOf(
  results: readonly RowResult[],
): { goal: string; reached: string; isMet: boolean }[] {
  const least = results
    .filter(({ harts }) => harts === 1)
    .map((result) => ({ row: result.row, ratio: ratios(result, 'tcg')?.ms ?? Infinity }))
    .toSorted((a, b) => a.ratio - b.ratio);
  const below = least.filter(({ ratio }) => ratio < 0.6);
  const mean = (peer: Peer['name']) => meansOf(results, 1, peer).ms;
  return [
    { goal: 'mean ÷ tcg ≥ 1', reached: shown(mean('tcg'), 2), isMet: mean('tcg') >= 1 },
    {
      goal: 'no row ÷ tcg < 0.6',
      reached: below.map(({ row, ratio }) => `${row} ${ratio.toFixed(2)}`).join(', '),
      isMet: below.length === 0,
    },
    { goal: 'mean ÷ v86 ≥ 4', reached: shown(mean('v86'), 2), isMet: mean('v86') >= 4 },
  ];
}

function shown(value: number | undefined, digits: number): string {
  return value === undefined || !Number.isFinite(value) ? '–' : value.toFixed(digits);
}

export function aligned(lines: readonly string[][]): string {
  const widths = lines[0]!.map((_, at) => Math.max(...lines.map((line) => line[at]!.length)));
  return lines
    .map((line) => line.map((word, at) =>
      at === 0 ? word.padEnd(widths[at]!) : word.padStart(widths[at]!)).join('  ').trimEnd())
    .join('\n');
}
