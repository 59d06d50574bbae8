/**
 * How the bench measures: the thing and its peer in turn, in one run on one host, so that whatever
 * else the host does burdens both alike. Only the ratio of the medians means anything.
 *
 *   const { ratio } = await compare(5, () => timeOurs(), () => timePeer());
 */

export interface Row {
  name: string;
  /** Which side of the goal is good. */
  goal: { atMost: number } | { atLeast: number };
  unit: '' | ' MB' | ' %' | ' ms';
  /** One line: what was divided by what. */
  how: string;
  /** What keeps it from running here (a missing peer), or undefined. */
  obstacle(): string | undefined;
  run(options: RunOptions): Promise<Measured>;
}

export interface RunOptions {
  /** Rounds instead of the row's own number. */
  rounds?: number;
  say(line: string): void;
}

export interface Measured {
  value: number;
  /** What the value was made of, for whoever doubts it; plain data. */
  samples: Record<string, number[]>;
}

/** A whole table of its own, which is run alone, by its name: `npm run bench -- portable`. */
export interface Table {
  name: string;
  /** What can be chosen of it. */
  rows: readonly string[];
  run(options: TableOptions): Promise<TableResult>;
}

export interface TableOptions extends RunOptions {
  /** The rows that are wanted; all when there is none. */
  rows: readonly string[];
  /** Only with so many harts, for a table that has several. */
  harts?: number;
}

export interface TableResult {
  text: string;
  /** The same and all that it was made of, as plain data. */
  plain: object;
  /** Every row could be measured. */
  isWhole: boolean;
}

export interface Comparison {
  /** Median of ours ÷ median of the peer. */
  ratio: number;
  ours: number[];
  peer: number[];
}

/**
 * One round of each that does not count, then `rounds` of each; who goes first alternates.
 * Either function answers with one figure, in the same unit as the other.
 */
export async function compare(
  rounds: number, ours: () => Promise<number>, peer: () => Promise<number>,
): Promise<Comparison> {
  await ours();
  await peer();
  const figures = { ours: [] as number[], peer: [] as number[] };
  for (let round = 0; round < rounds; round += 1) {
    if (round % 2 === 0) figures.ours.push(await ours());
    figures.peer.push(await peer());
    if (round % 2 === 1) figures.ours.push(await ours());
  }
  return { ratio: median(figures.ours) / median(figures.peer), ...figures };
}

/** The middle one, or the mean of the middle two. */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError('The median of nothing.');
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export function isMet(row: Pick<Row, 'goal'>, value: number): boolean {
  return 'atMost' in row.goal ? value <= row.goal.atMost : value >= row.goal.atLeast;
}

/** The same work for several rows, done for the first that asks. */
export function once<A, R>(work: (argument: A) => Promise<R>): (argument: A) => Promise<R> {
  let result: Promise<R> | undefined;
  return (argument) => (result ??= work(argument));
}
