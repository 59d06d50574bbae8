/**
 * What the translators of a machine have done, readable from any thread: each hart counts in its
 * own block of the shared memory, since its thread answers nobody while the machine runs.
 *
 *   const { hot, latest, harts, total } = jitReport(memory.buffer, layout.harts);
 *
 * Must hold: only the hart's own thread writes its counters; a reader may see them between two
 * steps of one translation, never torn (each is one aligned double).
 */
import { at, hartAt, hartSize } from '../layout.ts';
import { Samples, Trace, type EventKind, type Sample } from './trace.ts';

/** In the order of the block. The live ones and none else go down again. */
export const counterNames = [
  'regions', // translated since power-on
  'instructions', // of the guest, in those
  'wasmBytes',
  'milliseconds', // spent translating, compiling included
  'refused', // hot places whose first instruction only the interpreter runs
  'droppedRewritten', // regions whose frame was written before a fence.i
  'droppedOverrun', // regions dropped because the log of written frames had run over
  'droppedFull', // regions dropped because slots, maps or modules had run out
  'resets', // how often they had
  'liveRegions',
  'livePages',
  'slots', // of the table, used or free again
] as const;

export type CounterName = (typeof counterNames)[number];
export type Counters = Record<CounterName, number>;

/** Where the harts were met of late, the most frequent first. */
export interface HotPlace {
  /** Virtual, in hexadecimal: JSON has no 64-bit numbers. */
  pc: string;
  mode: 'U' | 'S' | 'M';
  /** Of the looks at all harts, and of those how many met it in translated code; 0 to 1. */
  share: number;
  translated: number;
}

export interface Done {
  hart: number;
  kind: EventKind;
  /** Physical, in hexadecimal. */
  address: string;
  /** Instructions translated, or regions dropped. */
  count: number;
  wasmBytes: number;
}

export interface JitReport {
  hot: HotPlace[];
  /** What each translator did last, newest first. */
  latest: Done[];
  harts: Counters[];
  total: Counters;
}

const hotMax = 24;
const latestMax = 16;

/** The counters of one hart, as its translator writes them. */
export class CounterBlock {
  private readonly values: Float64Array;

  constructor(buffer: ArrayBufferLike, hart: number) {
    const base = at.harts + hart * hartSize + hartAt.counters;
    this.values = new Float64Array(buffer, base, counterNames.length);
  }

  add(name: CounterName, amount: number): void {
    this.values[counterNames.indexOf(name)]! += amount;
  }

  set(name: CounterName, value: number): void {
    this.values[counterNames.indexOf(name)] = value;
  }

  read(): Counters {
    const pairs = counterNames.map((name, index) => [name, this.values[index]!] as const);
    return Object.fromEntries(pairs) as Counters;
  }
}

export function jitReport(buffer: ArrayBufferLike, hartCount: number): JitReport {
  const harts: Counters[] = [];
  for (let hart = 0; hart < hartCount; hart++) harts.push(new CounterBlock(buffer, hart).read());
  const sums = counterNames.map(
    (name) => [name, harts.reduce((sum, counters) => sum + counters[name], 0)] as const,
  );
  return {
    hot: hotPlaces(buffer, hartCount),
    latest: latestDone(buffer, hartCount),
    harts,
    total: Object.fromEntries(sums) as Counters,
  };
}

const hex = (value: bigint | number) => `0x${value.toString(16)}`;

function hotPlaces(buffer: ArrayBufferLike, hartCount: number): HotPlace[] {
  const samples: Sample[] = [];
  for (let hart = 0; hart < hartCount; hart++) samples.push(...new Samples(buffer, hart).read());
  const places = Map.groupBy(samples, ({ pc, mode }) => `${hex(pc)} ${'US M'[mode]}`);
  return [...places]
    .sort(([, some], [, others]) => others.length - some.length)
    .slice(0, hotMax)
    .map(([key, met]) => {
      const [pc, mode] = key.split(' ') as [string, HotPlace['mode']];
      const translated = met.filter((sample) => sample.translated).length / met.length;
      return { pc, mode, share: met.length / samples.length, translated };
    });
}

function latestDone(buffer: ArrayBufferLike, hartCount: number): Done[] {
  return Array.from({ length: hartCount }, (_, hart) =>
    new Trace(buffer, hart)
      .read()
      .slice(0, latestMax)
      .map(({ address, ...event }) => ({ hart, ...event, address: hex(address) })),
  ).flat();
}
