/**
 * Frames between a socket end and JavaScript, for a machine whose network does not end in a
 * process of this host: a thread waits for the frames and hands them over, sending is direct.
 */
import { Worker } from 'node:worker_threads';
import { checked, close, libc, linux, socketpairSeqpacket } from '../../base/node/posix.ts';

export interface FramePumpStart {
  fds: number[];
  /** An eventfd: written, the thread ends. */
  end: number;
}

export class FramePump {
  /** Our side of each pair, and the side that is given to a switch. */
  private readonly near: number[] = [];
  private readonly far: number[] = [];
  private readonly end: number;
  private readonly worker: Worker;

  /** @throws Refusal `unavailable` where direct system calls are not. */
  constructor(slots: number, onFrame: (slot: number, frame: Uint8Array) => void) {
    for (let slot = 0; slot < slots; slot++) {
      const [near, far] = socketpairSeqpacket();
      this.near.push(near);
      this.far.push(far);
    }
    this.end = checked('eventfd', libc('int eventfd(uint32_t initial, int flags)')(0, 0));
    const workerData: FramePumpStart = { fds: this.near, end: this.end };
    this.worker = new Worker(new URL('./frame-pump-worker.ts', import.meta.url), { workerData });
    this.worker.unref();
    this.worker.on('message', ([slot, frame]: [number, Uint8Array]) => onFrame(slot, frame));
  }

  /** The end for a switch; it stays ours to close. */
  farEnd(slot: number): number | undefined {
    return this.far[slot];
  }

  /** A receiver that is full loses the frame. */
  send(slot: number, frame: Uint8Array): void {
    const fd = this.near[slot];
    if (fd === undefined || frame.length === 0) return;
    const call = libc('long send(int fd, const void *bytes, size_t size, int flags)');
    call(fd, frame, frame.length, linux.MSG_DONTWAIT | linux.MSG_NOSIGNAL);
  }

  close(): void {
    const one = new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]);
    libc('long write(int fd, const void *bytes, size_t size)')(this.end, one, one.length);
    // The thread still waits on them until it has ended.
    this.worker.once('exit', () => {
      for (const fd of [...this.near, ...this.far, this.end]) close(fd);
    });
  }
}
