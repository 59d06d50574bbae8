/**
 * The network slots of a machine: socket ends that it inherited, read by a thread of their own
 * (`frame-worker.ts`), written from here. A slot without a card throws its frames away.
 */
import { Worker } from 'node:worker_threads';
import { checked, close, libc, linux } from '../../../base/node/posix.ts';
import { FrameRing, frameRingBytes } from '../devices/frame-ring.ts';
import type { FramePort } from '../ports.ts';
import type { FrameWorkerStart } from './frame-worker.ts';

const ringBytes = 1 << 19;
/** Per slot and look; the doorbell rings again for the rest. */
const framesMax = 256;

type Slot = { fd: number; ring: FrameRing; listener: (frame: Uint8Array) => void };

export class FrameSlots {
  private readonly slots: Slot[];
  private readonly start: FrameWorkerStart['slots'];
  private worker?: Worker;
  private end = -1;

  constructor(fds: readonly number[]) {
    this.start = fds.map((fd) => ({ fd, ring: new SharedArrayBuffer(frameRingBytes(ringBytes)) }));
    this.slots = this.start.map(({ fd, ring }) => ({
      fd,
      ring: new FrameRing(ring),
      listener: () => {},
    }));
  }

  /** @throws Refusal `unavailable` where direct system calls are not. */
  open(memory: WebAssembly.Memory): void {
    const eventfd = libc('int eventfd(uint32_t initial, int flags)');
    this.end = checked('eventfd', eventfd(0, 0));
    const workerData: FrameWorkerStart = { memory, slots: this.start, end: this.end };
    this.worker = new Worker(new URL('./frame-worker.ts', import.meta.url), { workerData });
    // Without its thread the machine would go on without a network, and nobody would know why.
    this.worker.on('error', (error) => process.stderr.write(`frames: ${error.message}\n`));
  }

  /** The thread has ended when this settles. */
  async close(): Promise<void> {
    if (this.worker === undefined) return;
    const ended = new Promise((resolve) => this.worker!.once('exit', resolve));
    const one = new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]);
    libc('long write(int fd, const void *bytes, size_t size)')(this.end, one, one.length);
    await ended;
    close(this.end);
    this.worker = undefined;
  }

  port(slot: number, mac: Uint8Array): FramePort {
    const { fd } = this.slots[slot]!;
    const write = libc('long send(int fd, const void *bytes, size_t size, int flags)');
    return {
      mac,
      // A receiver that is full loses the frame: the network is not to hold the machine up.
      send: (frame) => void write(fd, frame, frame.length, linux.MSG_DONTWAIT | linux.MSG_NOSIGNAL),
      onFrame: (listener) => {
        this.slots[slot]!.listener = listener;
      },
    };
  }

  /** The slot has no card any more: what arrives is thrown away. */
  idle(slot: number): void {
    this.slots[slot]!.listener = () => {};
  }

  /** Hands over what has arrived. */
  look(): void {
    for (const { ring, listener } of this.slots) {
      for (let count = 0; count < framesMax; count++) {
        const frame = ring.take();
        if (frame === null) break;
        listener(frame);
      }
    }
  }
}
