/**
 * The core-local interruptor of firmware in M-mode (ACLINT's MSWI and MTIMER in SiFive's layout):
 * software interrupts, one timer for each hart, the time. All of its state is in the harts' words;
 * call everything with the device lock held. Without firmware nobody is told that it is there.
 */
import type { HartState } from '../hart-state.ts';
import type { Clock } from '../ports.ts';

const at = { msip: 0, mtimecmp: 0x4000, mtime: 0xbff8 } as const;
const bit = { software: 8, timer: 0x80 } as const;
export const clintBytes = 0x1_0000;

export class Clint {
  private readonly harts: readonly HartState[];
  private readonly clock: Pick<Clock, 'ticks'>;
  private readonly timerMoved: () => void;

  constructor(
    harts: readonly HartState[],
    clock: Pick<Clock, 'ticks'>,
    timerMoved: () => void,
  ) {
    this.harts = harts;
    this.clock = clock;
    this.timerMoved = timerMoved;
  }

  /** Four bytes; the halves of 64-bit registers are read one after the other. */
  load(offset: number): number {
    if (offset >= at.mtime && offset < at.mtime + 8) {
      return half(BigInt(this.clock.ticks()), offset);
    }
    if (offset >= at.mtimecmp) {
      const hart = this.harts[(offset - at.mtimecmp) >> 3];
      return hart === undefined ? 0 : half(hart.wide('mtimecmp'), offset);
    }
    const hart = this.harts[offset >> 2];
    return hart !== undefined && (hart.word('irq') & bit.software) !== 0 ? 1 : 0;
  }

  store(offset: number, value: number): void {
    if (offset >= at.mtimecmp) {
      const hart = this.harts[(offset - at.mtimecmp) >> 3];
      if (hart !== undefined) this.setTimer(hart, offset, value);
      return;
    }
    const hart = this.harts[offset >> 2];
    if ((value & 1) !== 0) hart?.raiseIrq(bit.software);
    else hart?.lowerIrq(bit.software);
  }

  private setTimer(hart: HartState, offset: number, value: number): void {
    const shift = (offset & 4) === 0 ? 0n : 32n;
    const kept = hart.wide('mtimecmp') & ~(0xffff_ffffn << shift);
    hart.setWide('mtimecmp', kept | (BigInt(value >>> 0) << shift));
    hart.lowerIrq(bit.timer);
    hart.ring(this.clock.ticks());
    this.timerMoved();
  }
}

function half(value: bigint, offset: number): number {
  return Number(BigInt.asIntN(32, (offset & 4) === 0 ? value : value >> 32n));
}
