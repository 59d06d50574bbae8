/**
 * Waiting for many descriptors and one wake-up in a single blocking call: epoll and an eventfd.
 * Each descriptor is registered with a number of ours that comes back with its events. `wake`
 * may be called from any thread, with only the eventfd's number.
 */
import { arch } from 'node:process';
import { checked, close, errnoName, libc } from '../../base/node/posix.ts';
import { addressOf } from './vectors.ts';

export const readable = 0x001;
export const writable = 0x004;
export const failed = 0x008 | 0x010; // EPOLLERR, EPOLLHUP

const add = 1;
const remove = 2;
const change = 3;
const cloexec = 0o2000000;
const nonblock = 0o4000;
const eventsMax = 64;
// struct epoll_event is packed on x86-64 and naturally aligned elsewhere.
const eventWords = arch === 'x64' ? 3 : 4;
const dataWord = arch === 'x64' ? 1 : 2;

export function openEventfd(): number {
  const call = libc('int eventfd(uint32_t initial, int flags)');
  return checked('eventfd', call(0, cloexec | nonblock));
}

export function wake(eventfd: number): void {
  const one = new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]);
  libc('long write(int fd, const void *bytes, size_t size)')(eventfd, one, 8);
}

export function drainEventfd(eventfd: number): void {
  libc('long read(int fd, void *bytes, size_t size)')(eventfd, new Uint8Array(8), 8);
}

export class Poll {
  readonly #fd = checked('epoll_create1', libc('int epoll_create1(int flags)')(cloexec));
  readonly #ctl = libc('int epoll_ctl(int epoll, int operation, int fd, void *event)');
  readonly #wait = libc('int epoll_wait(int epoll, uint64_t events, int count, int timeout)');
  readonly #words = new Uint32Array(eventsMax * eventWords);
  readonly #address = addressOf(this.#words);
  readonly #event = new Uint32Array(eventWords);

  add(fd: number, interest: number, data: number): void {
    checked('epoll_ctl', this.#control(add, fd, interest, data));
  }

  change(fd: number, interest: number, data: number): void {
    checked('epoll_ctl', this.#control(change, fd, interest, data));
  }

  /** Forgiving: a descriptor that is gone already is not an error. */
  remove(fd: number): void {
    this.#control(remove, fd, 0, 0);
  }

  /** Blocks up to `timeoutMs` (-1: for good). How many events there are now; 0 on a signal. */
  wait(timeoutMs: number): number {
    const count = this.#wait(this.#fd, this.#address, eventsMax, timeoutMs);
    if (count >= 0) return count;
    if (errnoName() === 'EINTR') return 0;
    return checked('epoll_wait', count);
  }

  eventsAt(index: number): number {
    return this.#words[index * eventWords]!;
  }

  dataAt(index: number): number {
    return this.#words[index * eventWords + dataWord]!;
  }

  close(): void {
    close(this.#fd);
  }

  #control(operation: number, fd: number, interest: number, data: number): number {
    this.#event[0] = interest;
    this.#event[dataWord] = data;
    return this.#ctl(this.#fd, operation, fd, this.#event);
  }
}
