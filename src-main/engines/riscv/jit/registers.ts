/**
 * Which registers a region reads and writes, as bit masks over x and f: what must be loaded on
 * entry, and what may be newer in a local than in memory at each block's start.
 */
import type { Instruction } from '../cpu/isa.ts';
import type { Flow } from './flow.ts';
import { edgeKey } from './flow.ts';
import { successors } from './region.ts';
import type { Step } from './region.ts';

export interface RegisterSet {
  x: number;
  f: number;
}

export interface RegisterUse {
  load: RegisterSet; // to be loaded on entry
  used: RegisterSet; // has a local
  dirty: RegisterSet[]; // by block
  /** Distinct dirty sets at instructions that may fault, by `setKey`. */
  faults: Map<string, RegisterSet>;
}

export const setKey = (set: RegisterSet) => `${set.x},${set.f}`;

interface Use {
  rd: boolean;
  rs1: boolean;
  rs2: boolean;
  fd: boolean;
  fs1: boolean;
  fs2: boolean;
  fs3: boolean;
}

const operandUse = new Map<Instruction, Use>();

function operandsOf(what: Instruction): Use {
  let use = operandUse.get(what);
  if (use === undefined) {
    const jumps = what.kind === 'jal' || what.kind === 'jalr';
    const has = (name: string) => new RegExp(`\\b${name}\\b`).test(what.code);
    use = {
      rd: jumps || has('rd'),
      rs1: what.kind === 'jalr' || has('rs1'),
      rs2: has('rs2'),
      fd: has('fd'),
      fs1: has('fs1'),
      fs2: has('fs2'),
      fs3: has('fs3'),
    };
    operandUse.set(what, use);
  }
  return use;
}

const bit = (bits: number, at: number) => 1 << ((bits >>> at) & 31);

export function reads(step: Step): RegisterSet {
  const use = operandsOf(step.what);
  const { bits } = step;
  const x = (use.rs1 ? bit(bits, 15) : 0) | (use.rs2 ? bit(bits, 20) : 0);
  const f =
    (use.fs1 ? bit(bits, 15) : 0) | (use.fs2 ? bit(bits, 20) : 0) | (use.fs3 ? bit(bits, 27) : 0);
  return { x: x & ~1, f };
}

export function writes(step: Step): RegisterSet {
  const use = operandsOf(step.what);
  return { x: use.rd ? bit(step.bits, 7) & ~1 : 0, f: use.fd ? bit(step.bits, 7) : 0 };
}

export function mayFault(step: Step): boolean {
  return step.what.kind === 'mem' || step.what.kind === 'fp' || step.what.kind === 'fpmem';
}

/** What is known at one point: written on some way here, written on every way here. */
interface Point {
  dirty: RegisterSet;
  sure: RegisterSet;
}

export function registerUse(flow: Flow): RegisterUse {
  const count = flow.order.length;
  const points: Point[] = flow.order.map((_, n) => ({
    dirty: { x: 0, f: 0 },
    sure: n === 0 ? { x: 0, f: 0 } : { x: -1, f: -1 },
  }));
  const load: RegisterSet = { x: 0, f: 0 };
  const used: RegisterSet = { x: 0, f: 0 };
  const faults = new Map<string, RegisterSet>();
  const leave = (d: RegisterSet, w: RegisterSet) => {
    load.x |= d.x & ~w.x;
    load.f |= d.f & ~w.f;
  };
  for (let changed = true; changed; ) {
    changed = false;
    faults.clear();
    for (let n = 0; n < count; n++) {
      const block = flow.order[n]!;
      const d = { ...points[n]!.dirty };
      const w = { ...points[n]!.sure };
      const visit = (step: Step) => {
        const r = reads(step);
        leave(r, w);
        if (mayFault(step)) {
          const key = setKey(d);
          if (!faults.has(key)) faults.set(key, { ...d });
          leave(d, w);
        }
        const written = writes(step);
        used.x |= r.x | written.x;
        used.f |= r.f | written.f;
        d.x |= written.x;
        d.f |= written.f;
        w.x |= written.x;
        w.f |= written.f;
      };
      for (const step of block.steps) visit(step);
      if (block.last !== null) visit(block.last);
      if (passOn(flow, n, points, d, w)) changed = true;
      if (leaves(flow, n)) leave(d, w);
    }
  }
  load.x &= ~1;
  used.x &= ~1;
  return { load, used, dirty: points.map((p) => p.dirty), faults };
}

/** Merges what holds at a block's end into its successors; true when that told them anything. */
function passOn(
  flow: Flow, n: number, points: Point[], d: RegisterSet, w: RegisterSet,
): boolean { // prettier-ignore
  let changed = false;
  const block = flow.order[n]!;
  for (const target of successors(block)) {
    const to = flow.index.get(target);
    if (to === undefined || flow.cut.has(edgeKey(block.start, target))) continue;
    const { dirty, sure } = points[to]!;
    const before = setKey(dirty) + setKey(sure);
    dirty.x |= d.x;
    dirty.f |= d.f;
    sure.x &= w.x;
    sure.f &= w.f;
    if (setKey(dirty) + setKey(sure) !== before) changed = true;
  }
  return changed;
}

/** Whether the region may be left at a block's end; a back edge is left when the fuel is gone. */
function leaves(flow: Flow, n: number): boolean {
  const block = flow.order[n]!;
  const targets = successors(block);
  if (targets.length < (block.end === 'branch' ? 2 : 1)) return true;
  return targets.some((target) => {
    const to = flow.index.get(target);
    return to === undefined || to <= n || flow.cut.has(edgeKey(block.start, target));
  });
}
