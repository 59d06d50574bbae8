/**
 * What the table says of what was measured, all of it in time: less is faster. `÷ 1` to `÷ 3` are a
 * depth by the least depth that has a figure; `tcg 2` is TCG's figure at depth 2, and `÷ tcg 2`
 * ours by it.
 */
import type { TableResult } from '../measure.ts';
import { aligned } from '../portable/report.ts';

/** A loop of whole numbers, then what the kernel does. */
export const programRows = ['integer', 'syscall', 'fault', 'fork', 'pipe'] as const;
export const rows = ['boot', ...programRows, 'memory'] as const;

export type PeerName = 'nymph' | 'tcg';
/** By `ROW DEPTH PEER`. */
export type Samples = Map<`${string} ${number} ${PeerName}`, number[]>;

type Figures = (number | undefined)[];
const depths = [0, 1, 2, 3];

export function report(samples: Samples): TableResult {
  const tcgDepths = depths.filter((depth) =>
    rows.some((row) => samples.has(`${row} ${depth} tcg`)));
  const lines = [[
    'row', ...depths.map((depth) => `depth ${depth}`), '÷ 1', '÷ 2', '÷ 3',
    ...tcgDepths.map((depth) => `tcg ${depth}`), ...tcgDepths.map((depth) => `÷ tcg ${depth}`),
  ]];
  const found = rows.flatMap((row) => {
    const least = depths.map((depth) => leastOf(samples.get(`${row} ${depth} nymph`)));
    const tcg = depths.map((depth) => leastOf(samples.get(`${row} ${depth} tcg`)));
    if (least.every((value) => value === undefined)) return [];
    const unit = row === 'memory' ? 'MB' : 'ms';
    // Memory is a depth's own, so that of another is nothing to divide by.
    const base = row === 'memory' ? undefined : least[0] ?? least[1];
    const ratios = least.map((value) => quotient(value, base));
    const toTcg = least.map((value, depth) => quotient(value, tcg[depth]));
    const ofTcg = (figures: Figures, digits: number) =>
      tcgDepths.map((depth) => shown(figures[depth], digits));
    lines.push([
      `${row}, ${unit}`, ...least.map((value) => shown(value, 1)),
      ...ratios.slice(1).map((ratio) => shown(ratio, 2)), ...ofTcg(tcg, 1), ...ofTcg(toTcg, 2),
    ]);
    return [{ row, unit, least, ratios, tcg, toTcg }];
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

function quotient(value: number | undefined, by: number | undefined): number | undefined {
  return value === undefined || by === undefined ? undefined : value / by;
}

function shown(value: number | undefined, digits: number): string {
  return value?.toFixed(digits) ?? '–';
}
