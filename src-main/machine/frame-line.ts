/**
 * A console or the agent's line of an inner machine, as a channel of frames. A listener that asks
 * to wait stops its channel at the other end until it has caught up.
 */
import type { BytePipe } from './engine.ts';
import { encodeFrame, framesOf, word } from './frames.ts';

export class FrameLine implements BytePipe {
  onBytes: (bytes: Uint8Array) => void | Promise<void> = () => {};
  private readonly channel: number;
  private readonly send: (frame: Uint8Array) => void;
  private delivery: Promise<void> | undefined;

  constructor(channel: number, send: (frame: Uint8Array) => void) {
    this.channel = channel;
    this.send = send;
  }

  write(bytes: Uint8Array): void {
    for (const frame of framesOf(this.channel, bytes)) this.send(frame);
  }

  close(): void {
    this.onBytes = () => {};
  }

  /** What was on its way when the channel was stopped is kept, in order. */
  take(bytes: Uint8Array): void {
    if (this.delivery) {
      this.delivery = this.delivery.then(() => this.onBytes(bytes));
      return;
    }
    const busy = this.onBytes(bytes);
    if (!busy) return;
    this.send(encodeFrame(word.stop, Uint8Array.of(this.channel)));
    this.delivery = busy;
    void this.drain();
  }

  private async drain(): Promise<void> {
    for (let last: Promise<void> | undefined; last !== this.delivery; ) {
      last = this.delivery;
      await last?.catch(() => {});
    }
    this.delivery = undefined;
    this.send(encodeFrame(word.go, Uint8Array.of(this.channel)));
  }
}
