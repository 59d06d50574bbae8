/**
 * Batches of datagrams in one system call: `recvmmsg` into a fixed arena of slots, `sendmmsg`
 * from any of those slots without copying. The structures are laid out here by hand (Linux,
 * 64-bit, little-endian); their addresses are taken once, so a call passes three numbers.
 *
 * `arena` must never be resized or let go while a vector built on it is in use.
 */
import { libc, linux, loadKoffi } from '../../base/node/posix.ts';
import { frameBytesMax } from '../switch.ts';

/** Frames per system call; the kernel's own vector driver uses as many. */
export const batchMax = 64;

// struct mmsghdr: name, namelen, iov, iovlen, control, controllen, flags, then msg_len.
const headerBytes = 64;
const iovecBytes = 16;
const iovWord = 4;
const iovlenWord = 6;
const flagsWord = 12;
const lengthWord = 14;
const headerWords = headerBytes / 4;

/**
 * One slot holds the largest frame and one byte more, which tells a larger one apart. The stride
 * is not a power of two: else all slots would fight for the same few lines of the cache.
 */
export const slotBytes = 65_600 + 25 * 64;

export interface Arena {
  bytes: Uint8Array;
  slots: number;
  addressLow: Uint32Array;
  addressHigh: Uint32Array;
}

export function makeArena(): Arena {
  const bytes = new Uint8Array(batchMax * slotBytes);
  const base = addressOf(bytes);
  const addressLow = new Uint32Array(batchMax);
  const addressHigh = new Uint32Array(batchMax);
  for (let slot = 0; slot < batchMax; slot += 1) {
    const address = base + BigInt(slot * slotBytes);
    addressLow[slot] = Number(address & 0xffffffffn);
    addressHigh[slot] = Number(address >> 32n);
  }
  return { bytes, slots: batchMax, addressLow, addressHigh };
}

export class ReceiveVector {
  readonly #words = new Uint32Array(batchMax * headerWords);
  readonly #iovecs = new Uint32Array(batchMax * (iovecBytes / 4));
  readonly #recvmmsg = libc(
    'int recvmmsg(int fd, uint64_t messages, uint32_t count, int flags, uint64_t timeout)',
  );
  readonly #address = addressOf(this.#words);

  constructor(arena: Arena) {
    for (let index = 0; index < batchMax; index += 1) {
      this.#iovecs[index * 4] = arena.addressLow[index]!;
      this.#iovecs[index * 4 + 1] = arena.addressHigh[index]!;
      this.#iovecs[index * 4 + 2] = frameBytesMax + 1;
    }
    pointHeaders(this.#words, addressOf(this.#iovecs));
  }

  /** Frames now in slots 0 .. n-1, or negative with errno set. Never blocks. */
  receive(fd: number): number {
    return this.#recvmmsg(fd, this.#address, batchMax, linux.MSG_DONTWAIT, 0);
  }

  /** Bytes in a slot; more than `frameBytesMax` means that the frame was cut. */
  lengthOf(slot: number): number {
    return this.#words[slot * headerWords + lengthWord]!;
  }
}

export class SendVector {
  readonly #words = new Uint32Array(batchMax * headerWords);
  readonly #iovecs = new Uint32Array(batchMax * (iovecBytes / 4));
  readonly #sendmmsg = libc(
    'int sendmmsg(int fd, uint64_t messages, uint32_t count, int flags)',
  );
  readonly #address = addressOf(this.#words);

  constructor() {
    pointHeaders(this.#words, addressOf(this.#iovecs));
  }

  put(index: number, addressLow: number, addressHigh: number, length: number): void {
    this.#iovecs[index * 4] = addressLow;
    this.#iovecs[index * 4 + 1] = addressHigh;
    this.#iovecs[index * 4 + 2] = length;
  }

  /** Sends messages `first .. first + count - 1`: how many went, or negative with errno set. */
  send(fd: number, first: number, count: number): number {
    const at = this.#address + BigInt(first * headerBytes);
    return this.#sendmmsg(fd, at, count, linux.MSG_DONTWAIT | linux.MSG_NOSIGNAL);
  }
}

export function addressOf(bytes: ArrayBufferView): bigint {
  return loadKoffi().address(bytes);
}

function pointHeaders(words: Uint32Array, iovecs: bigint): void {
  for (let index = 0; index < batchMax; index += 1) {
    const at = index * headerWords;
    const iovec = iovecs + BigInt(index * iovecBytes);
    words[at + iovWord] = Number(iovec & 0xffffffffn);
    words[at + iovWord + 1] = Number(iovec >> 32n);
    words[at + iovlenWord] = 1;
    words[at + flagsWord] = 0;
  }
}
