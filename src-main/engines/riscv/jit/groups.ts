/**
 * Accesses of a region that go by the same value of a register: one look at the TLB, at the first
 * of them, serves all, where what they touch lies in one page. What that look has found holds as
 * long as the region runs, for fences of other harts wait until it is left (`h.poke`).
 *
 * Values are numbered: a write makes a new one, and so does a block into which differing ones lead.
 */
import type { Instruction } from '../cpu/isa.ts';
import { edgeKey } from './flow.ts';
import type { Flow } from './flow.ts';
import { isCsr, successors } from './region.ts';
import type { Block, Step } from './region.ts';
import { writes } from './registers.ts';

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

interface Access {
  bytes: number;
  writes: boolean;
}

const known = new Map<Instruction, Access | null>();

/** Plain loads and stores; null for all else. */
function accessOf(what: Instruction): Access | null {
  let access = known.get(what);
  if (access === undefined) {
    const [, word, bits] = /\b(ld|st)(\d+)[su]?\(h, rs1 \+ imm\b/.exec(what.code) ?? [];
    access = word === undefined ? null : { bytes: Number(bits) / 8, writes: word === 'st' };
    known.set(what, access);
  }
  return access;
}

/** The group of each access that has company. */
export function groupsOf(flow: Flow): Map<Step, Group> {
  const values = valuesAtStarts(flow);
  const all = new Map<Step, Group>();
  /** By block: the group that an access by a value may join. */
  const open: Map<number, Group>[] = [];
  flow.order.forEach((block, n) => {
    const here = new Map(n === 0 ? [] : open[flow.parent[n]!]);
    open.push(here);
    const value = values[n]!;
    for (const step of block.steps) {
      const access = accessOf(step.what);
      const base = (step.bits >>> 15) & 31;
      if (access !== null && base !== 0) {
        let group = here.get(value[base]!);
        if (group === undefined || !joins(group, step, access)) {
          group = { base, first: step, block: n, low: step.imm, ...access, count: 1 };
          here.set(value[base]!, group);
        }
        all.set(step, group);
      }
      number(value, step);
    }
  });
  for (const [step, { count }] of all) if (count === 1) all.delete(step);
  return all;
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

/** After a step: what it writes has a value of its own. A CSR may change what pages there are. */
function number(value: Int32Array, step: Step): void {
  const written = isCsr(step.what) ? -1 : writes(step).x;
  if (written === 0) return;
  const fresh = (step.at + 1) << 5;
  for (let n = 1; n < 32; n++) if (((written >>> n) & 1) !== 0) value[n] = fresh | n;
}

const unknown = -1;

/** The number of each register's value at each block's start. */
function valuesAtStarts(flow: Flow): Int32Array[] {
  const { order, index, cut } = flow;
  const starts = order.map(() => new Int32Array(32).fill(unknown));
  const entered = (block: Block, n: number) => -(((block.start + 1) << 5) | n);
  for (let n = 0; n < 32; n++) starts[0]![n] = entered(order[0]!, n);
  const end = new Int32Array(32);
  for (let changed = true; changed; ) {
    changed = false;
    order.forEach((block, from) => {
      end.set(starts[from]!);
      for (const step of block.steps) number(end, step);
      for (const target of successors(block)) {
        const to = index.get(target);
        if (to === undefined || cut.has(edgeKey(block.start, target))) continue;
        const start = starts[to]!;
        for (let n = 1; n < 32; n++) {
          const own = entered(order[to]!, n);
          const value = end[n]!;
          if (value === unknown || start[n] === value || start[n] === own) continue;
          start[n] = start[n] === unknown ? value : own;
          changed = true;
        }
      }
    });
  }
  return starts;
}
