/**
 * Accesses of a region that go by the same value of a register: one look at the TLB, at the first
 * of them, serves all, where what they touch lies in one page. What that look has found holds as
 * long as the region runs, for fences of other harts wait until it is left (`h.poke`).
 *
 * Values are numbered: a write makes a new one, and so does a block into which differing ones lead.
 */
import { waysOf } from './flow.ts';
import type { Flow } from './flow.ts';
import { accessOf } from './operands.ts';
import type { Access } from './operands.ts';
import type { Block, Step } from './region.ts';

export interface Group {
  readonly base: number; // the register
  readonly first: Step; // is run before all others
  readonly block: number; // where that stands, in the order of the flow
  low: number; // offset of the first byte touched
  bytes: number; // from there on
  writes: boolean;
  count: number;
}

/** Farther than this the page's end is likely to stand between. */
const spanMax = 512;

/** The group of each access that has company. */
export function groupsOf(flow: Flow): Map<Step, Group> {
  const all = new Map<Step, Group>();
  const bases = basesOf(flow);
  if (bases.length === 0) return all;
  const values = valuesAtStarts(flow, bases);
  /** By block: the group that an access by a value may join. */
  const open: Map<number, Group>[] = [];
  flow.order.forEach((block, n) => {
    const here = new Map(n === 0 ? [] : open[flow.parent[n]!]);
    open.push(here);
    const value = values[n]!;
    for (const step of block.steps) {
      const access = accessOf(step.what);
      const base = (step.bits >>> 15) & 31;
      if (access !== null && value[base] !== unknown) {
        let group = here.get(value[base]!);
        if (group === undefined || !joins(group, step, access)) {
          group = { base, first: step, block: n, low: step.imm, ...access, count: 1 };
          here.set(value[base]!, group);
        }
        all.set(step, group);
      }
      number(value, step, bases);
    }
  });
  for (const [step, { count }] of all) if (count === 1) all.delete(step);
  return all;
}

/** The registers by which there are several accesses. */
function basesOf(flow: Flow): number[] {
  let once = 0;
  let often = 0;
  for (const { steps } of flow.order) {
    for (const step of steps) {
      if (accessOf(step.what) === null) continue;
      const bit = 1 << ((step.bits >>> 15) & 31);
      often |= once & bit;
      once |= bit;
    }
  }
  const bases: number[] = [];
  for (let n = 1; n < 32; n++) if (((often >>> n) & 1) !== 0) bases.push(n);
  return bases;
}

function joins(group: Group, step: Step, access: Access): boolean {
  const low = Math.min(group.low, step.imm);
  const bytes = Math.max(group.low + group.bytes, step.imm + access.bytes) - low;
  if (bytes > spanMax) return false;
  group.low = low;
  group.bytes = bytes;
  group.writes ||= access.writes;
  group.count++;
  return true;
}

/** After a step: what it writes has a value of its own. CSRs, fences and calls change the pages. */
function number(value: Int32Array, step: Step, bases: readonly number[]): void {
  const written = step.system === 'inside' ? -1 : step.writes.x;
  if (written !== 0) renumber(value, step, bases, written);
}

function renumber(
  value: Int32Array, step: Step, bases: readonly number[], written: number,
): void { // prettier-ignore
  for (const n of bases) {
    if (((written >>> n) & 1) !== 0) value[n] = ((step.at + 1) << 5) | n;
  }
}

const unknown = -1;
const entered = (block: Block, n: number) => -(((block.start + 1) << 5) | n);

/** The number of each base's value at each block's start. */
function valuesAtStarts(flow: Flow, bases: readonly number[]): Int32Array[] {
  const { order } = flow;
  const ways = waysOf(flow);
  const starts = order.map(() => new Int32Array(32).fill(unknown));
  for (const n of bases) starts[0]![n] = entered(order[0]!, n);
  const end = new Int32Array(32);
  for (let changed = true; changed; ) {
    changed = false;
    for (let from = 0; from < order.length; from++) {
      const block = order[from]!;
      end.set(starts[from]!);
      for (const step of block.steps) number(end, step, bases);
      if (block.end === 'call') renumber(end, block.last!, bases, -1);
      for (const to of ways[from]!) {
        if (meet(starts[to]!, end, order[to]!, bases)) changed = true;
      }
    }
  }
  return starts;
}

/** A way more leads into a block; whether that has changed what is known at its start. */
function meet(
  start: Int32Array, end: Int32Array, block: Block, bases: readonly number[],
): boolean { // prettier-ignore
  let changed = false;
  for (const n of bases) {
    const value = end[n]!;
    const own = entered(block, n);
    if (value === unknown || start[n] === value || start[n] === own) continue;
    start[n] = start[n] === unknown ? value : own;
    changed = true;
  }
  return changed;
}
