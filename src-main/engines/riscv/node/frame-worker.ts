/**
 * The thread that waits for frames: blocked in poll(2) on the near ends of all network slots, it
 * puts what arrives into the slots' rings and rings the machine's doorbell. It ends when its
 * eventfd is written: a thread in a system call cannot be ended otherwise. A full ring loses
 * frames, as a card does whose driver is too slow.
 */
import { workerData } from 'node:worker_threads';
import { libc, linux } from '../../../base/node/posix.ts';
import { FrameRing } from '../devices/frame-ring.ts';
import { at, machine } from '../layout.ts';

export interface FrameWorkerStart {
  memory: WebAssembly.Memory;
  slots: { fd: number; ring: SharedArrayBuffer }[];
  /** An eventfd. */
  end: number;
}

const frameBytesMax = 65_536;
/** Frames of one slot before the others have their turn. */
const batchMax = 64;
const readable = 1;

const start = workerData as FrameWorkerStart;
const doorbell = new Int32Array(start.memory.buffer, at.machine + machine.doorbell, 1);
const slots = start.slots.map(({ fd, ring }) => ({ fd, ring: new FrameRing(ring) }));

const poll = libc('int poll(void *fds, uint64_t count, int timeout)');
const receive = libc('long recv(int fd, void *bytes, size_t size, int flags)');
const arena = new Uint8Array(frameBytesMax);

// struct pollfd: int fd, short events, short revents.
const fds = [...slots.map(({ fd }) => fd), start.end];
const asked = new Int32Array(fds.length * 2);
const answered = (n: number) => asked[n * 2 + 1]! >> 16 !== 0;
do {
  fds.forEach((fd, n) => {
    asked[n * 2] = fd;
    asked[n * 2 + 1] = readable;
  });
  if (poll(asked, fds.length, -1) <= 0) continue;
  let came = false;
  slots.forEach(({ fd, ring }, n) => {
    if (!answered(n)) return;
    for (let count = 0; count < batchMax; count++) {
      const length = receive(fd, arena, arena.length, linux.MSG_DONTWAIT);
      if (length <= 0) break;
      ring.put(arena.subarray(0, length));
      came = true;
    }
  });
  if (!came) continue;
  Atomics.add(doorbell, 0, 1);
  Atomics.notify(doorbell, 0);
} while (!answered(slots.length));
