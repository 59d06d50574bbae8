/**
 * Which registers a region reads and writes, as bit masks over x and f: what must be loaded on
 * entry, and what may be newer in a local than in memory at each block's start.
 */
import type { Flow } from './flow.ts';
import { edgeKey } from './flow.ts';
import { mayFault } from './operands.ts';
import type { RegisterSet } from './operands.ts';
import { successors } from './region.ts';
import type { Block, Step } from './region.ts';

export interface RegisterUse {
  load: RegisterSet; // to be loaded on entry
  used: RegisterSet; // has a local
  dirty: RegisterSet[]; // by block
  /** Distinct dirty sets at which the region may be left for the interpreter, small ones first. */
  exits: RegisterSet[];
}

function size(set: RegisterSet): number {
  return ones(set.x) + ones(set.f);
}

function ones(bits: number): number {
  let count = 0;
  for (let rest = bits; rest !== 0; rest &= rest - 1) count++;
  return count;
}

export const sameSet = (a: RegisterSet, b: RegisterSet) => a.x === b.x && a.f === b.f;

/** What is known at one point: written on some way here, written on every way here. */
interface Point {
  dirty: RegisterSet;
  sure: RegisterSet;
}

export function registerUse(flow: Flow): RegisterUse {
  const points = settle(flow);
  const load: RegisterSet = { x: 0, f: 0 };
  const used: RegisterSet = { x: 0, f: 0 };
  const exits: RegisterSet[] = [{ x: 0, f: 0 }];
  flow.order.forEach((block, n) => {
    const d = { ...points[n]!.dirty };
    const w = { ...points[n]!.sure };
    const leave = (set: RegisterSet) => {
      load.x |= set.x & ~w.x;
      load.f |= set.f & ~w.f;
    };
    const leaveToInterpreter = () => {
      if (!exits.some((set) => sameSet(set, d))) exits.push({ ...d });
      leave(d);
    };
    for (const step of stepsOf(block)) {
      const { reads, writes } = step;
      leave(reads);
      if (mayFault(step.what, step.system)) leaveToInterpreter();
      add(used, reads);
      add(used, writes);
      add(d, writes);
      add(w, writes);
      if (step.system === 'inside') leaveToInterpreter();
    }
    if (block.end === 'stop' || turnsBack(flow, n)) leaveToInterpreter();
    else if (leaves(flow, n)) leave(d);
  });
  exits.sort((a, b) => size(a) - size(b));
  return { load, used, dirty: points.map((p) => p.dirty), exits };
}

function stepsOf(block: Block): Step[] {
  return block.last === null ? block.steps : [...block.steps, block.last];
}

function add(to: RegisterSet, more: RegisterSet): void {
  to.x |= more.x;
  to.f |= more.f;
}

/** What holds at each block's start, whatever way control takes. */
function settle(flow: Flow): Point[] {
  const points: Point[] = flow.order.map((_, n) => ({
    dirty: { x: 0, f: 0 },
    sure: n === 0 ? { x: 0, f: 0 } : { x: -1, f: -1 },
  }));
  const written = flow.order.map((block) => {
    const all = { x: 0, f: 0 };
    for (const step of stepsOf(block)) add(all, step.writes);
    return all;
  });
  const targets = flow.order.map((block) =>
    successors(block).flatMap((target) => {
      const to = flow.index.get(target);
      return to === undefined || flow.cut.has(edgeKey(block.start, target)) ? [] : [to];
    }),
  );
  for (let changed = true; changed; ) {
    changed = false;
    for (let n = 0; n < points.length; n++) {
      const { dirty, sure } = points[n]!;
      const all = written[n]!;
      for (const to of targets[n]!) {
        const point = points[to]!;
        const before = { dirty: { ...point.dirty }, sure: { ...point.sure } };
        add(point.dirty, dirty);
        add(point.dirty, all);
        point.sure.x &= sure.x | all.x;
        point.sure.f &= sure.f | all.f;
        if (!sameSet(point.dirty, before.dirty) || !sameSet(point.sure, before.sure)) {
          changed = true;
        }
      }
    }
  }
  return points;
}

/** Whether a block ends in a jump to one that stands before it, inside the region. */
function turnsBack(flow: Flow, n: number): boolean {
  const block = flow.order[n]!;
  return successors(block).some((target) => {
    const to = flow.index.get(target);
    return to !== undefined && to <= n && !flow.cut.has(edgeKey(block.start, target));
  });
}

/** Whether the region may be left at a block's end for another region. */
function leaves(flow: Flow, n: number): boolean {
  const block = flow.order[n]!;
  const targets = successors(block);
  if (targets.length < (block.end === 'branch' ? 2 : 1)) return true;
  return targets.some((target) => {
    return !flow.index.has(target) || flow.cut.has(edgeKey(block.start, target));
  });
}
