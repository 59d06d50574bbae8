/** The thread of `FramePump`: blocked in poll(2) until a frame comes or its eventfd is written. */
import { parentPort, workerData } from 'node:worker_threads';
import { libc, linux } from '../../base/node/posix.ts';
import type { FramePumpStart } from './frame-pump.ts';

const frameBytesMax = 16_384;
const batchMax = 64;
const readable = 1;

const start = workerData as FramePumpStart;
const poll = libc('int poll(void *fds, uint64_t count, int timeout)');
const receive = libc('long recv(int fd, void *bytes, size_t size, int flags)');
const arena = new Uint8Array(frameBytesMax);

// struct pollfd: int fd, short events, short revents.
const fds = [...start.fds, start.end];
const asked = new Int32Array(fds.length * 2);
const answered = (n: number) => asked[n * 2 + 1]! >> 16 !== 0;
do {
  fds.forEach((fd, n) => {
    asked[n * 2] = fd;
    asked[n * 2 + 1] = readable;
  });
  if (poll(asked, fds.length, -1) <= 0) continue;
  start.fds.forEach((fd, slot) => {
    if (!answered(slot)) return;
    for (let count = 0; count < batchMax; count++) {
      const length = receive(fd, arena, arena.length, linux.MSG_DONTWAIT);
      if (length <= 0) return;
      parentPort!.postMessage([slot, arena.slice(0, length)]);
    }
  });
} while (!answered(start.fds.length));
