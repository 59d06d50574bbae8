/**
 * Which registers a region reads and writes, as bit masks over x and f: at each block's start, what
 * may be newer in a local than in memory, and what has to be in a local. Behind a call nothing is.
 */
import type { Flow } from './flow.ts';
import { edgeKey, waysOf } from './flow.ts';
import { mayFault } from './operands.ts';
import type { RegisterSet } from './operands.ts';
import { successors } from './region.ts';
import type { Block, Step } from './region.ts';

export interface RegisterUse {
  used: RegisterSet; // has a local
  dirty: RegisterSet[]; // by block
  need: RegisterSet[]; // by block: what it or one after it reads or leaves with
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

export function registerUse(flow: Flow): RegisterUse {
  const ways = waysOf(flow);
  const written = flow.order.map((block) => {
    const all = { x: 0, f: 0 };
    for (const step of stepsOf(block)) add(all, step.writes);
    return all;
  });
  const dirty = dirtyAtStarts(flow, ways, written);
  const used: RegisterSet = { x: 0, f: 0 };
  const exits: RegisterSet[] = [{ x: 0, f: 0 }];
  const need = flow.order.map((block, n) => {
    const wants: RegisterSet = { x: 0, f: 0 };
    const d = { ...dirty[n]! };
    const w = { x: 0, f: 0 };
    const leave = (set: RegisterSet) => {
      wants.x |= set.x & ~w.x;
      wants.f |= set.f & ~w.f;
    };
    const leaveToInterpreter = () => {
      if (!exits.some((set) => sameSet(set, d))) exits.push({ ...d });
      leave(d);
    };
    for (const step of stepsOf(block)) {
      const { reads, writes } = step;
      if (step.across) leaveToInterpreter();
      leave(reads);
      if (mayFault(step.what, step.system)) leaveToInterpreter();
      add(used, reads);
      add(used, writes);
      add(d, writes);
      add(w, writes);
      if (step.system === 'inside') leaveToInterpreter();
    }
    if (block.end === 'call') leave(d);
    else if (block.end === 'stop' || turnsBack(flow, n)) leaveToInterpreter();
    else if (leaves(flow, n)) leave(d);
    return wants;
  });
  addNeedsBehind(flow, ways, written, need);
  exits.sort((a, b) => size(a) - size(b));
  return { used, dirty, need, exits };
}

function stepsOf(block: Block): Step[] {
  return block.last === null ? block.steps : [...block.steps, block.last];
}

function add(to: RegisterSet, more: RegisterSet): void {
  to.x |= more.x;
  to.f |= more.f;
}

function dirtyAtStarts(flow: Flow, ways: number[][], written: RegisterSet[]): RegisterSet[] {
  const dirty = flow.order.map(() => ({ x: 0, f: 0 }));
  untilSettled(() => {
    let changed = false;
    flow.order.forEach(({ end }, n) => {
      if (end === 'call') return;
      for (const to of ways[n]!) {
        if (grow(dirty[to]!, dirty[n]!)) changed = true;
        if (grow(dirty[to]!, written[n]!)) changed = true;
      }
    });
    return changed;
  });
  return dirty;
}

/** Adds to what each block needs what those after it do and it does not write. */
function addNeedsBehind(
  flow: Flow, ways: number[][], written: RegisterSet[], need: RegisterSet[],
): void { // prettier-ignore
  untilSettled(() => {
    let changed = false;
    for (let n = ways.length - 1; n >= 0; n--) {
      if (flow.order[n]!.end === 'call') continue;
      const { x, f } = written[n]!;
      for (const to of ways[n]!) {
        if (grow(need[n]!, { x: need[to]!.x & ~x, f: need[to]!.f & ~f })) changed = true;
      }
    }
    return changed;
  });
}

function untilSettled(step: () => boolean): void {
  while (step());
}

/** Whether that has made it larger. */
function grow(set: RegisterSet, more: RegisterSet): boolean {
  const before = { ...set };
  add(set, more);
  return !sameSet(set, before);
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
