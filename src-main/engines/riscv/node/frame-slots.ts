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
/** How long a receiver that is full has to take some. */
const patienceMs = 2;
const writable = 4;
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
    return {
      mac,
      send: sender(this.slots[slot]!.fd),
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

/**
 * A segment is many frames at once, more than the socket holds: a receiver that is full is waited
 * for, a moment. One that takes nothing loses what comes until it does again: the network is not
 * to hold the machine up.
 */
function sender(fd: number): (frame: Uint8Array) => void {
  const write = libc('long send(int fd, const void *bytes, size_t size, int flags)');
  const poll = libc('int poll(void *fds, uint64_t count, int timeout)');
  const asked = Int32Array.of(fd, writable);
  const flags = linux.MSG_DONTWAIT | linux.MSG_NOSIGNAL;
  let takes = true;
  return (frame) => {
    let sent = write(fd, frame, frame.length, flags) >= 0;
    if (!sent && takes && poll(asked, 1, patienceMs) > 0) {
      sent = write(fd, frame, frame.length, flags) >= 0;
    }
    takes = sent;
  };
}
