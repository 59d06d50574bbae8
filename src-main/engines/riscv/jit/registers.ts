import type { Flow } from './flow.ts';
import { edgeKey } from './flow.ts';
import { successors } from './region.ts';
import type { Step } from './region.ts';

/**
 * Which integer registers a region reads and writes, as bit masks: what must be loaded on entry
 * and what may be newer in a local than in memory at each block's start (`dirty`) and what is so
 * for certain (`written`).
 */
export interface RegisterUse {
  load: number; // to be loaded on entry
  used: number; // has a local
  dirty: number[]; // by block
  /** Distinct dirty masks at instructions that may fault. */
  faultMasks: number[];
}

const operandUse = new Map<string, { rd: boolean; rs1: boolean; rs2: boolean }>();

function operandsOf(step: Step): { rd: boolean; rs1: boolean; rs2: boolean } {
  const { what } = step;
  let use = operandUse.get(what.name);
  if (use === undefined) {
    const has = (name: string) => new RegExp(`\\b${name}\\b`).test(what.code);
    use =
      what.kind === 'jal' ? { rd: true, rs1: false, rs2: false }
      : what.kind === 'jalr' ? { rd: true, rs1: true, rs2: false }
      : { rd: has('rd'), rs1: has('rs1'), rs2: has('rs2') }; // prettier-ignore
    operandUse.set(what.name, use);
  }
  return use;
}

export function readMask(step: Step): number {
  const use = operandsOf(step);
  let mask = 0;
  if (use.rs1) mask |= 1 << ((step.bits >>> 15) & 31);
  if (use.rs2) mask |= 1 << ((step.bits >>> 20) & 31);
  return mask & ~1;
}

export function writeMask(step: Step): number {
  return operandsOf(step).rd ? (1 << ((step.bits >>> 7) & 31)) & ~1 : 0;
}

export function mayFault(step: Step): boolean {
  return step.what.kind === 'mem' || step.what.kind === 'fp' || step.what.kind === 'fpmem';
}

export function registerUse(flow: Flow): RegisterUse {
  const count = flow.order.length;
  const dirty = new Array<number>(count).fill(0);
  const written = new Array<number>(count).fill(-1);
  written[0] = 0;
  let load = 0;
  let used = 0;
  const masks = new Set<number>();
  for (let pass = 0, changed = true; changed; pass++) {
    changed = false;
    masks.clear();
    for (let n = 0; n < count; n++) {
      const block = flow.order[n]!;
      let d = dirty[n]!;
      let w = written[n]!;
      for (const step of [...block.steps, ...(block.last === null ? [] : [block.last])]) {
        const reads = readMask(step);
        load |= reads & ~w;
        if (mayFault(step)) {
          masks.add(d);
          load |= d & ~w;
        }
        const writes = writeMask(step);
        used |= reads | writes;
        d |= writes;
        w |= writes;
      }
      let leaves = block.end !== 'goto' && block.end !== 'branch';
      for (const target of successors(block)) {
        const to = flow.index.get(target);
        if (to === undefined || flow.cut.has(edgeKey(block.start, target))) {
          leaves = true;
          continue;
        }
        if (to <= n) leaves = true; // a back edge may leave when the fuel is gone
        const nextDirty = dirty[to]! | d;
        const nextWritten = written[to]! & w;
        if (nextDirty !== dirty[to] || nextWritten !== written[to]) {
          dirty[to] = nextDirty;
          written[to] = nextWritten;
          changed = true;
        }
      }
      if (block.end === 'branch' && successors(block).length < 2) leaves = true;
      if (leaves) load |= d & ~w;
    }
  }
  return { load: load & ~1, used: used & ~1, dirty, faultMasks: [...masks] };
}
