/**
 * Accesses of one block that go by the same value of a register: one look at the TLB serves them
 * all, where all of what they touch lies in one page.
 */
import type { Instruction } from '../cpu/isa.ts';
import { isCsr } from './region.ts';
import type { Block, Step } from './region.ts';
import { writes } from './registers.ts';

export interface Group {
  readonly base: number; // the register
  low: number; // offset of the first byte touched
  bytes: number; // from there on
  writes: boolean;
  readonly members: Step[];
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
export function groupsOf(block: Block): Map<Step, Group> {
  const open = new Map<number, Group>();
  const all: Group[] = [];
  for (const step of block.steps) {
    const access = accessOf(step.what);
    const base = (step.bits >>> 15) & 31;
    if (access !== null && base !== 0 && !joins(open.get(base), step, access)) {
      const group = { base, low: step.imm, ...access, members: [step] };
      open.set(base, group);
      all.push(group);
    }
    if (isCsr(step.what)) open.clear();
    const written = writes(step).x;
    for (const register of open.keys()) {
      if (((written >>> register) & 1) !== 0) open.delete(register);
    }
  }
  const found = new Map<Step, Group>();
  for (const group of all) {
    if (group.members.length > 1) for (const step of group.members) found.set(step, group);
  }
  return found;
}

function joins(group: Group | undefined, step: Step, access: Access): boolean {
  if (group === undefined) return false;
  const low = Math.min(group.low, step.imm);
  const bytes = Math.max(group.low + group.bytes, step.imm + access.bytes) - low;
  if (bytes > spanMax) return false;
  group.low = low;
  group.bytes = bytes;
  group.writes ||= access.writes;
  group.members.push(step);
  return true;
}
