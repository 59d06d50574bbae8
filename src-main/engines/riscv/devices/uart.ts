/**
 * A 16550 UART with FIFOs, as far as Linux's 8250 driver goes. It sends as fast as the output ring
 * takes bytes, and is busy while nobody takes them away. Registers are shared words; call with the
 * device lock held.
 */
import type { Ring } from './ring.ts';

/** A driver that finds the transmitter empty sends a FIFO's worth without looking again. */
const roomNeeded = 64;

const word = { ier: 0, lcr: 1, mcr: 2, scr: 3, dll: 4, dlm: 5, thri: 6, fcr: 7 } as const;

export class Uart {
  private readonly words: Int32Array;
  private readonly out: Ring;
  private readonly input: Ring;
  private readonly setLine: (level: boolean) => void;
  private readonly sent: () => void;

  constructor(
    words: Int32Array, out: Ring, input: Ring,
    setLine: (level: boolean) => void, sent: () => void,
  ) { // prettier-ignore
    this.words = words;
    this.out = out;
    this.input = input;
    this.setLine = setLine;
    this.sent = sent;
  }

  private cause(): number {
    const ier = this.words[word.ier]!;
    if ((ier & 1) !== 0 && this.input.length > 0) return 4;
    if ((ier & 2) !== 0 && this.words[word.thri] !== 0 && this.ready) return 2;
    return 1;
  }

  private get ready(): boolean {
    return this.out.room >= roomNeeded;
  }

  /** Also called when input has arrived or output was taken away. */
  update(): void {
    this.setLine(this.cause() !== 1);
  }

  load(offset: number): number {
    const w = this.words;
    const dlab = (w[word.lcr]! & 0x80) !== 0;
    switch (offset) {
      case 0: {
        if (dlab) return w[word.dll]!;
        const byte = this.input.take();
        this.update();
        return byte < 0 ? 0 : byte;
      }
      case 1:
        return dlab ? w[word.dlm]! : w[word.ier]!;
      case 2: {
        const cause = this.cause();
        if (cause === 2) {
          w[word.thri] = 0;
          this.update();
        }
        return cause | ((w[word.fcr]! & 1) !== 0 ? 0xc0 : 0);
      }
      case 3:
        return w[word.lcr]!;
      case 4:
        return w[word.mcr]!;
      case 5:
        return (this.ready ? 0x60 : 0) | (this.input.length > 0 ? 1 : 0);
      case 6:
        return 0xb0;
      case 7:
        return w[word.scr]!;
      default:
        return 0;
    }
  }

  store(offset: number, value: number): void {
    const w = this.words;
    const dlab = (w[word.lcr]! & 0x80) !== 0;
    switch (offset) {
      case 0:
        if (dlab) {
          w[word.dll] = value;
          return;
        }
        if ((w[word.mcr]! & 0x10) === 0) {
          this.out.put(value);
          this.sent();
        }
        w[word.thri] = 1;
        return this.update();
      case 1:
        if (dlab) {
          w[word.dlm] = value;
          return;
        }
        if ((value & 2) !== 0 && (w[word.ier]! & 2) === 0) w[word.thri] = 1;
        w[word.ier] = value & 15;
        return this.update();
      case 2:
        w[word.fcr] = value;
        return;
      case 3:
        w[word.lcr] = value;
        return;
      case 4:
        w[word.mcr] = value;
        return;
      case 7:
        w[word.scr] = value;
    }
  }
}
