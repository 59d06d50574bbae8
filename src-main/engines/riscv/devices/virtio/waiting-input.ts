/** What a line has brought for a driver that has no buffer for it yet; what is too much is lost. */
import { bytesToText, textToBytes } from '../../saved.ts';
import { scatter } from './queue.ts';
import type { Queue } from './queue.ts';

const waitingMax = 0x1_0000;

export class WaitingInput {
  private waiting: Uint8Array = new Uint8Array(0);

  add(bytes: Uint8Array): void {
    const room = Math.max(0, waitingMax - this.waiting.length);
    const more = new Uint8Array(this.waiting.length + Math.min(room, bytes.length));
    more.set(this.waiting);
    more.set(bytes.subarray(0, room), this.waiting.length);
    this.waiting = more;
  }

  clear(): void {
    this.waiting = new Uint8Array(0);
  }

  /** Says whether the driver wants an interrupt for what it was given. */
  giveTo(queue: Queue): boolean {
    let wanted = false;
    while (this.waiting.length > 0) {
      const chain = queue.take();
      if (chain === null) break;
      const taken = scatter(this.waiting, chain.writable);
      this.waiting = this.waiting.subarray(taken);
      wanted = queue.give(chain, taken) || wanted;
    }
    return wanted;
  }

  save(): string {
    return bytesToText(this.waiting);
  }

  restore(saved: unknown): void {
    this.waiting = textToBytes(saved, waitingMax);
  }
}
