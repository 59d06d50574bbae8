/**
 * Two ends of one channel in memory. Messages pass in order, one a microtask, as over a real
 * carrier: never within the call that sends them. `log` keeps what was sent, for a test to read.
 */
import type { Channel } from '../../src-main/rpc/wire.ts';

export class MemoryChannel implements Channel {
  readonly pendingBytes = 0;
  readonly log: (string | Uint8Array)[] = [];
  onMessage: (message: string | Uint8Array) => void = () => {};
  onClose: () => void = () => {};
  other!: MemoryChannel;
  closed = false;

  send(message: string | Uint8Array): void {
    if (this.closed) return;
    const copy = typeof message === 'string' ? message : message.slice();
    this.log.push(copy);
    // As a socket does with what is on its way: it still arrives when one end has just closed.
    queueMicrotask(() => this.other.onMessage(copy));
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    queueMicrotask(() => {
      this.onClose();
      this.other.close();
    });
  }
}

export function channelPair(): { near: MemoryChannel; far: MemoryChannel } {
  const near = new MemoryChannel();
  const far = new MemoryChannel();
  near.other = far;
  far.other = near;
  return { near, far };
}

/** Lets everything that is ready to run do so; nothing here depends on a clock. */
export async function settled(): Promise<void> {
  for (let round = 0; round < 20; round++) await new Promise((resolve) => setImmediate(resolve));
}
