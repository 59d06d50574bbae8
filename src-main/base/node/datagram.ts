/**
 * Unix datagram sockets, which Node's own `net` and `dgram` do not have: the transport of the
 * UML management console. `DatagramClient` asks and collects replies.
 *
 * Nothing here blocks the event loop: the socket is non-blocking and looked at by short timers,
 * only while a request is under way, so an idle client costs nothing. A reply is sent to the
 * address the client is bound to, so the other process must be able to reach it: an abstract
 * address (the default) within one network namespace, else a `bindPath` that both see under the
 * same name.
 * Messages are cut at 64 KiB; a path longer than a socket name (107 bytes) is reached through
 * its folder's descriptor.
 */
import { closeSync, constants, openSync, unlinkSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { Refusal } from '../refusal.ts';
import { checked, close, errnoName, libc, linux, PosixError } from './posix.ts';

export interface RequestOptions {
  timeoutMs: number;
  /** Called once per reply datagram; returns true when that was the last one awaited. */
  onReply: (bytes: Uint8Array) => boolean;
  /**
   * Looks at the socket at every turn of the event loop for as long as replies keep coming: one
   * that sends more of them than its peer's queue holds, ten by default, drops the rest.
   */
  eager?: boolean;
  signal?: AbortSignal;
}

const messageBytesMax = 65536;
const socketNameBytesMax = 107;
const batchMax = 64;
const eagerMs = 50;

export class DatagramClient {
  #fd: number;
  readonly #bindPath: string | undefined;
  #queue: Promise<void> = Promise.resolve();

  private constructor(fd: number, bindPath: string | undefined) {
    this.#fd = fd;
    this.#bindPath = bindPath;
  }

  /** Without `bindPath` the kernel picks an abstract address. A stale socket there is replaced. */
  static open(options: { bindPath?: string } = {}): DatagramClient {
    const fd = openSocket(options.bindPath);
    return new DatagramClient(fd, options.bindPath);
  }

  /**
   * Sends one datagram and resolves when `onReply` says done. One request at a time per client;
   * later ones wait. Refusals: 'unavailable' nobody listens there, 'timeout', 'cancelled'.
   */
  request(path: string, bytes: Uint8Array, options: RequestOptions): Promise<void> {
    const turn = this.#queue.then(() => this.#exchange(path, bytes, options));
    this.#queue = turn.catch(() => undefined);
    return turn;
  }

  close(): void {
    if (this.#fd < 0) return;
    close(this.#fd);
    this.#fd = -1;
    if (this.#bindPath !== undefined) removeSocket(this.#bindPath);
  }

  async #exchange(path: string, bytes: Uint8Array, options: RequestOptions): Promise<void> {
    this.#assertOpen();
    // What an earlier, timed-out request left behind must not answer this one.
    receiveAll(this.#fd, () => undefined);
    const deadlineMs = performance.now() + options.timeoutMs;
    // A datagram socket queues ten messages; a busy receiver makes the eleventh wait its turn.
    while (!sendTo(this.#fd, path, bytes)) await this.#pause(1, deadlineMs, options.signal);
    let waitMs = 1;
    let eagerUntilMs = performance.now() + eagerMs;
    for (;;) {
      let done = false;
      let failure: unknown;
      const count = receiveAll(this.#fd, (reply) => {
        if (done || failure !== undefined) return;
        try {
          done = options.onReply(reply);
        } catch (thrown) {
          failure = thrown ?? new Error('a reply was rejected');
        }
      });
      if (failure !== undefined) throw failure;
      if (done) return;
      const nowMs = performance.now();
      if (count > 0) eagerUntilMs = nowMs + eagerMs;
      waitMs = count > 0 ? 1 : Math.min(waitMs * 2, 16);
      const turn = options.eager === true && nowMs < eagerUntilMs;
      await this.#pause(turn ? 0 : waitMs, deadlineMs, options.signal);
    }
  }

  async #pause(waitMs: number, deadlineMs: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) throw new Refusal('cancelled', 'Cancelled.');
    if (performance.now() >= deadlineMs) throw new Refusal('timeout', 'It did not answer in time.');
    if (waitMs > 0) await new Promise<void>((resolve) => setTimeout(resolve, waitMs));
    else await new Promise<void>((resolve) => setImmediate(resolve));
    this.#assertOpen();
  }

  #assertOpen(): void {
    if (this.#fd < 0) throw new Refusal('cancelled', 'The connection was closed.');
  }
}

function openSocket(bindPath: string | undefined): number {
  const flags = linux.SOCK_NONBLOCK | linux.SOCK_CLOEXEC;
  const socket = libc('int socket(int family, int type, int protocol)');
  // Two bytes of family and no name ask the kernel for an unused abstract address.
  const name = bindPath === undefined ? new Uint8Array([linux.AF_UNIX, 0]) : socketName(bindPath);
  const fd = checked('socket', socket(linux.AF_UNIX, linux.SOCK_DGRAM | flags, 0));
  try {
    if (bindPath !== undefined) removeSocket(bindPath);
    const bind = libc('int bind(int fd, const void *name, uint32_t length)');
    checked('bind', bind(fd, name, name.length));
  } catch (thrown) {
    close(fd);
    throw thrown;
  }
  return fd;
}

function socketName(path: string): Uint8Array {
  const text = new TextEncoder().encode(path);
  if (text.length === 0 || text.includes(0)) {
    throw new Refusal('usage', 'A socket path cannot be empty or contain a NUL character.');
  }
  if (text.length > socketNameBytesMax) {
    throw new Refusal('usage', `A socket path can be ${socketNameBytesMax} bytes long at most.`);
  }
  const name = new Uint8Array(2 + text.length + 1);
  name[0] = linux.AF_UNIX;
  name.set(text, 2);
  return name;
}

/** False when the receiver's queue is full. */
function sendTo(fd: number, path: string, bytes: Uint8Array): boolean {
  if (Buffer.byteLength(path) <= socketNameBytesMax) return sendToName(fd, socketName(path), bytes);
  const folder = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    return sendToName(fd, socketName(`/proc/self/fd/${folder}/${basename(path)}`), bytes);
  } finally {
    closeSync(folder);
  }
}

function sendToName(fd: number, name: Uint8Array, bytes: Uint8Array): boolean {
  const call = libc(
    'long sendto(int fd, const void *bytes, size_t size, int flags, const void *name, uint32_t n)',
  );
  const flags = linux.MSG_DONTWAIT | linux.MSG_NOSIGNAL;
  const sent = call(fd, bytes, bytes.length, flags, name, name.length);
  if (sent >= 0) return true;
  const code = errnoName();
  if (code === 'EAGAIN' || code === 'EINTR') return false;
  if (code === 'ENOENT' || code === 'ECONNREFUSED') {
    throw new Refusal('unavailable', 'Nobody answers on that socket.');
  }
  checked('sendto', sent);
  return false;
}

const arena = new Uint8Array(messageBytesMax);

/** Takes what is there, at most a batch; each message is handed over as its own copy. */
function receiveAll(fd: number, onMessage: (bytes: Uint8Array) => void): number {
  const call = libc('long recv(int fd, void *bytes, size_t size, int flags)');
  for (let count = 0; count < batchMax; count += 1) {
    const size = call(fd, arena, arena.length, linux.MSG_DONTWAIT);
    if (size >= 0) {
      onMessage(arena.slice(0, size));
      continue;
    }
    const code = errnoName();
    if (code === 'EINTR') continue;
    if (code === 'EAGAIN') return count;
    throw new PosixError('recv', -1, code);
  }
  return batchMax;
}

function removeSocket(path: string): void {
  try {
    unlinkSync(path);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'ENOENT') throw thrown;
  }
}
