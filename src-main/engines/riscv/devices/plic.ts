/**
 * Platform-level interrupt controller, 63 sources, one context (S-mode) per hart. Its registers
 * are words of the shared memory; call everything with the device lock held.
 */
import { HartState } from '../hart-state.ts';

const sources = 64;
const at = { priority: 0, line: 64, pending: 66, claimed: 68, enable: 80, threshold: 128 } as const;
const interruptBit = 0x200;

export class Plic {
  private readonly words: Int32Array;
  private readonly harts: HartState[];

  /** `words`: 256 words of shared memory. */
  constructor(words: Int32Array, harts: HartState[]) {
    this.words = words;
    this.harts = harts;
  }

  private bit(block: number, source: number): boolean {
    return ((this.words[block + (source >> 5)]! >>> (source & 31)) & 1) !== 0;
  }
  private setBit(block: number, source: number, on: boolean): void {
    const index = block + (source >> 5);
    if (on) this.words[index] = this.words[index]! | (1 << (source & 31));
    else this.words[index] = this.words[index]! & ~(1 << (source & 31));
  }

  /** Level-triggered line of a source. */
  setLine(source: number, level: boolean): void {
    if (this.bit(at.line, source) === level) return;
    this.setBit(at.line, source, level);
    if (level && !this.bit(at.claimed, source)) this.setBit(at.pending, source, true);
    this.update();
  }

  private best(context: number): number {
    let best = 0;
    let highest = this.words[at.threshold + context]! >>> 0;
    for (let half = 0; half < 2; half++) {
      let set = this.words[at.pending + half]! & this.words[at.enable + context * 2 + half]!;
      while (set !== 0) {
        const source = half * 32 + (31 - Math.clz32(set & -set));
        set &= set - 1;
        const priority = this.words[at.priority + source]! >>> 0;
        if (priority > highest) {
          highest = priority;
          best = source;
        }
      }
    }
    return best;
  }

  private update(): void {
    for (let context = 0; context < this.harts.length; context++) {
      if (this.best(context) !== 0) this.harts[context]!.raiseIrq(interruptBit);
      else this.harts[context]!.lowerIrq(interruptBit);
    }
  }

  load(offset: number): number {
    if (offset < 0x1000) return offset < sources * 4 ? this.words[at.priority + (offset >> 2)]! : 0;
    if (offset < 0x1008) return this.words[at.pending + ((offset - 0x1000) >> 2)]!;
    if (offset >= 0x2000 && offset < 0x2000 + this.harts.length * 0x80) {
      const word = ((offset - 0x2000) >> 2) & 31;
      return word < 2 ? this.words[at.enable + ((offset - 0x2000) >> 7) * 2 + word]! : 0;
    }
    if (offset < 0x20_0000) return 0;
    const context = (offset - 0x20_0000) >> 12;
    if (context >= this.harts.length) return 0;
    if ((offset & 0xfff) === 0) return this.words[at.threshold + context]!;
    if ((offset & 0xfff) !== 4) return 0;
    const source = this.best(context);
    if (source !== 0) {
      this.setBit(at.pending, source, false);
      this.setBit(at.claimed, source, true);
      this.update();
    }
    return source;
  }

  store(offset: number, value: number): void {
    if (offset < 0x1000) {
      if (offset > 0 && offset < sources * 4) this.words[at.priority + (offset >> 2)] = value & 7;
    } else if (offset >= 0x2000 && offset < 0x2000 + this.harts.length * 0x80) {
      const word = ((offset - 0x2000) >> 2) & 31;
      if (word < 2) this.words[at.enable + ((offset - 0x2000) >> 7) * 2 + word] = value;
    } else if (offset >= 0x20_0000) {
      const context = (offset - 0x20_0000) >> 12;
      if (context >= this.harts.length) return;
      if ((offset & 0xfff) === 0) this.words[at.threshold + context] = value & 7;
      else if ((offset & 0xfff) === 4) this.complete(value);
    }
    this.update();
  }

  private complete(source: number): void {
    if (source <= 0 || source >= sources) return;
    this.setBit(at.claimed, source, false);
    if (this.bit(at.line, source)) this.setBit(at.pending, source, true);
  }
}
