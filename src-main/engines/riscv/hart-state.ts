/**
 * One hart's words in the shared memory, by name and from any thread, and its mailbox.
 *
 * poke bits: 1 look at interrupts, 4 wfi, 8 pause or stop, 16 remote fences, 32 started by HSM,
 * 64 regions have been made.
 */
import { at, bankBytes, banked, fieldOffset, hartAt, hartSize } from './layout.ts';
import type { Narrow, Wide } from './layout.ts';

export const poke = { irq: 1, wfi: 4, attention: 8, remote: 16, start: 32, made: 64 } as const;
export const remote = { fence: 1, fenceI: 2 } as const;

/**
 * A hart's deadlines, in ticks, and the interrupt bit that each raises. The one of a guest's guest
 * is no bit of mip, but where the hart notes that it has to look (cpu/levels.ts).
 */
const timers = [
  ['stimecmp', 0x20],
  ['vsdeadline', 0x40],
  ['deepdeadline', 0x4000],
  ['mtimecmp', 0x80],
] as const;

export class HartState {
  readonly base: number;
  readonly i32: Int32Array;
  readonly i64: BigInt64Array;

  constructor(buffer: ArrayBufferLike, index: number, base = at.harts + index * hartSize) {
    this.base = base;
    this.i32 = new Int32Array(buffer);
    this.i64 = new BigInt64Array(buffer);
  }

  word(name: Narrow): number {
    return this.i32[(this.base + fieldOffset(name)) >> 2]!;
  }
  setWord(name: Narrow, value: number): void {
    this.i32[(this.base + fieldOffset(name)) >> 2] = value;
  }
  wide(name: Wide): bigint {
    return BigInt.asUintN(64, this.i64[(this.base + fieldOffset(name)) >> 3]!);
  }
  setWide(name: Wide, value: bigint): void {
    this.i64[(this.base + fieldOffset(name)) >> 3] = BigInt.asIntN(64, value);
  }
  x(index: number): bigint {
    return BigInt.asUintN(64, this.i64[(this.base >> 3) + index]!);
  }
  setX(index: number, value: bigint): void {
    if (index !== 0) this.i64[(this.base >> 3) + index] = BigInt.asIntN(64, value);
  }
  f(index: number): bigint {
    return BigInt.asUintN(64, this.i64[((this.base + hartAt.f) >> 3) + index]!);
  }
  setF(index: number, value: bigint): void {
    this.i64[((this.base + hartAt.f) >> 3) + index] = BigInt.asIntN(64, value);
  }

  /** Ors bits into the mailbox and wakes the hart. */
  poke(bits: number): void {
    const index = (this.base + fieldOffset('poke')) >> 2;
    Atomics.or(this.i32, index, bits);
    Atomics.notify(this.i32, index);
  }
  raiseIrq(bits: number): void {
    Atomics.or(this.i32, (this.base + fieldOffset('irq')) >> 2, bits);
    this.poke(poke.irq);
  }
  lowerIrq(bits: number): void {
    Atomics.and(this.i32, (this.base + fieldOffset('irq')) >> 2, ~bits);
  }

  /**
   * The first deadline after `ticks`; an unsigned 64-bit number. A bit that is set already says
   * nothing: it may be an earlier deadline's, and the hart is about to take it back.
   */
  nextDeadline(ticks: number): bigint {
    let next = 0xffff_ffff_ffff_ffffn;
    for (const [name] of timers) {
      const deadline = this.deadline(name);
      if (Number(deadline) > ticks && deadline < next) next = deadline;
    }
    return next;
  }
  /** Raises what is due; says whether anything was. */
  ring(ticks: number): boolean {
    let bits = 0;
    for (const [name, bit] of timers) if (ticks >= Number(this.deadline(name))) bits |= bit;
    bits &= ~this.word('irq');
    if (bits !== 0) this.raiseIrq(bits);
    return bits !== 0;
  }
  private deadline(name: Wide): bigint {
    return BigInt.asUintN(64, Atomics.load(this.i64, (this.base + fieldOffset(name)) >> 3));
  }
}

/** A guest's bank of hypervisor registers: as a hart of which only `banked` is there. */
export function bankState(buffer: ArrayBufferLike, index: number): HartState {
  return new HartState(buffer, index, at.banks + index * bankBytes - fieldOffset(banked[0]));
}
