/**
 * Finds the code that is translated together: from a hot entry, everything reachable by direct
 * branches and jumps inside one page, up to a limit. Offsets are bytes inside that page.
 *
 * A block ends in one of: 'goto' (jump or fall into `next`), 'branch' (`next` when taken, else
 * `other`), 'jump' (a direct jump that leaves the page), 'indirect' (jalr), 'call' (either, that
 * links: the region goes on at `other` when the callee has come back), 'return', 'trap' (ecall and
 * what comes back from one), 'stop' (an instruction that only the interpreter runs). What is a call
 * and what a return is told by x1 and x5, as to a return-address stack (RISC-V, jalr).
 */
import { decode, immediate } from '../cpu/isa.ts';
import type { Instruction } from '../cpu/isa.ts';
import { readsOf, systemPart, writesOf } from './operands.ts';
import type { RegisterSet, SystemPart } from './operands.ts';

export interface Step {
  at: number;
  length: number;
  bits: number;
  /** As it stands in memory, where a compressed one is not `bits`. */
  raw: number;
  what: Instruction;
  imm: number;
  system: SystemPart;
  /** Its second half stands on the next page: to be looked at before it is run. */
  across: boolean;
  reads: RegisterSet;
  writes: RegisterSet;
}

export interface Block {
  start: number;
  steps: Step[];
  end: 'goto' | 'branch' | 'jump' | 'indirect' | 'call' | 'return' | 'trap' | 'stop';
  /** The branch, jal, jalr or trap itself; null when the block only falls through or stops. */
  last: Step | null;
  next: number; // offset of the jump or taken target; for 'stop', where to go on
  other: number; // offset of the fall-through of a branch, or what follows a call or trap
  count: number; // instructions, with `last`
  after: number; // offset behind the last of them
}

export interface Limits {
  instructions: number;
  blocks: number;
}

export const usualLimits: Limits = { instructions: 250, blocks: 48 };

export class CodePage {
  private readonly halves: Uint16Array;
  private readonly expand: Uint32Array;
  private readonly behind: number;

  /**
   * `halves`: the page's 2048 half words; `expand`: the table of 16-bit codes; `behind`: the half
   * word that follows, -1 when it is not known.
   */
  constructor(halves: Uint16Array, expand: Uint32Array, behind: number) {
    this.halves = halves;
    this.expand = expand;
    this.behind = behind;
  }

  /** The instruction at an offset; null when illegal or with an end that is not known. */
  step(at: number): Step | null {
    const low = this.halves[at >> 1]!;
    let bits = 0;
    let length = 4;
    const across = (low & 3) === 3 && at === 4094;
    if ((low & 3) !== 3) {
      bits = this.expand[low]!;
      length = 2;
    } else {
      const high = across ? this.behind : this.halves[(at >> 1) + 1]!;
      if (high < 0) return null;
      bits = (low | (high << 16)) >>> 0;
    }
    const what = decode(bits);
    if (what === null) return null;
    const raw = length === 2 ? low : bits | 0;
    const imm = immediate(what.format, bits | 0);
    const reads = readsOf(what, bits);
    const system = systemPart(what, bits);
    const writes = writesOf(what, bits);
    return { at, length, bits, raw, what, imm, system, across, reads, writes };
  }
}

/** Whether the translator does this instruction; others are left to the interpreter. */
export function translatable(step: Step): boolean {
  const { kind } = step.what;
  if (kind === 'fencei' || (kind === 'system' && step.system === 'none')) return false;
  if (step.what.rounded) {
    const rm = (step.bits >>> 12) & 7;
    if (rm === 5 || rm === 6) return false;
  }
  return true;
}

/**
 * The blocks of a region by start offset, the entry first; empty when nothing can be done. A loop
 * without calls is kept by itself: what is behind the calls after it, and leads back to it by a
 * loop further out, would take the host's registers from it.
 */
export function formRegion(
  page: CodePage, entry: number, limits: Limits, isWarm: (offset: number) => boolean = () => true,
): Map<number, Block> { // prettier-ignore
  // The interpreter would be led back to it if it were left for its second half.
  if (page.step(entry)?.across === true) return new Map();
  const tight = gatherBlocks(page, entry, limits, () => false);
  for (const block of tight.values()) {
    if (block.end !== 'call' && successors(block).includes(entry)) return tight;
  }
  if (isReturnSite(page, entry)) return tight;
  return gatherBlocks(page, entry, limits, isWarm);
}

/** Whether what stands before it may be a call. */
function isReturnSite(page: CodePage, entry: number): boolean {
  return [2, 4].some((length) => {
    const step = entry < length ? null : page.step(entry - length);
    if (step?.length !== length || !isLink((step.bits >>> 7) & 31)) return false;
    return step.what.kind === 'jal' || step.what.kind === 'jalr';
  });
}

function gatherBlocks(
  page: CodePage, entry: number, limits: Limits, pastCall: (offset: number) => boolean,
): Map<number, Block> { // prettier-ignore
  const blocks = new Map<number, Block>();
  const leaders = new Set<number>([entry]);
  const queue = [entry];
  let total = 0;
  for (let start = queue.shift(); start !== undefined; start = queue.shift()) {
    if (blocks.has(start)) continue;
    if (blocks.size >= limits.blocks || total >= limits.instructions) break;
    const inside = splitAt(blocks, start);
    if (inside) continue;
    const block = readBlock(page, start, blocks, limits.instructions - total);
    if (block.count === 0 && start === entry) return new Map();
    blocks.set(start, block);
    total += block.count;
    if (block.end === 'call' && !pastCall(block.other)) continue;
    for (const target of successors(block)) {
      if (leaders.has(target)) continue;
      leaders.add(target);
      queue.push(target);
    }
  }
  return blocks;
}

/** In-page offsets that a block goes on to. */
export function successors(block: Block): number[] {
  const inPage = (offset: number) => offset >= 0 && offset < 4096;
  if (block.end === 'goto') return [block.next].filter(inPage);
  if (block.end === 'branch') return [block.next, block.other].filter(inPage);
  if (block.end === 'call') return [block.other].filter(inPage);
  return [];
}

/** In-page offsets at which control comes in when it has left a region: called, or returned to. */
export function exits(blocks: ReadonlyMap<number, Block>): number[] {
  const found: number[] = [];
  for (const block of blocks.values()) {
    if (block.end === 'trap') found.push(block.other);
    if (block.end === 'jump' || (block.end === 'call' && block.last!.what.kind === 'jal')) {
      found.push(block.next);
    }
    for (const next of successors(block)) if (!blocks.has(next)) found.push(next);
  }
  return found.filter((offset) => offset >= 0 && offset < 4096);
}

/** Cuts the block that has an instruction boundary at `start` in two. */
function splitAt(blocks: Map<number, Block>, start: number): boolean {
  for (const block of blocks.values()) {
    if (block.start >= start || block.after <= start) continue;
    const index = block.steps.findIndex((step) => step.at === start);
    const atLast = index < 0 && block.last?.at === start;
    if (index <= 0 && !atLast) continue;
    const kept = atLast ? block.steps : block.steps.slice(0, index);
    const moved = atLast ? [] : block.steps.slice(index);
    blocks.set(start, {
      ...block, start, steps: moved, count: moved.length + (block.last === null ? 0 : 1),
    }); // prettier-ignore
    block.steps = kept;
    block.after = start;
    block.count = kept.length;
    block.end = 'goto';
    block.last = null;
    block.next = start;
    block.other = -1;
    return true;
  }
  return false;
}

function readBlock(
  page: CodePage, start: number, blocks: Map<number, Block>, room: number,
): Block { // prettier-ignore
  const block: Block = {
    start, steps: [], end: 'stop', last: null, next: start, other: -1, count: 0, after: start,
  }; // prettier-ignore
  let at = start;
  for (;;) {
    block.next = at;
    if (at >= 4096 || (at !== start && blocks.has(at)) || block.count >= room) {
      block.end = 'goto';
      return block;
    }
    const step = page.step(at);
    if (step === null || !translatable(step)) return block;
    at += step.length;
    block.after = at;
    block.count++;
    const { kind } = step.what;
    if (kind === 'branch' || kind === 'jal' || kind === 'jalr' || step.system === 'leads out') {
      block.last = step;
      finish(block, step, at);
      return block;
    }
    block.steps.push(step);
  }
}

function finish(block: Block, step: Step, after: number): void {
  const target = step.at + step.imm;
  if (step.what.kind === 'branch') {
    block.end = 'branch';
    block.next = target;
    block.other = after;
    return;
  }
  block.other = after;
  block.next = target;
  const rd = (step.bits >>> 7) & 31;
  if (step.system === 'leads out') block.end = 'trap';
  else if (isLink(rd)) block.end = 'call';
  else if (step.what.kind === 'jalr') {
    block.end = rd === 0 && isLink((step.bits >>> 15) & 31) ? 'return' : 'indirect';
  } else block.end = rd !== 0 || target < 0 || target >= 4096 ? 'jump' : 'goto';
}

const isLink = (register: number) => register === 1 || register === 5;
