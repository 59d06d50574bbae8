/**
 * Frames that wait for a port: a bounded first-in first-out ring of bytes. `push` copies a frame
 * in and says false when it does not fit; `peek` gives where the oldest one lies (always in one
 * piece), `shift` removes it. Memory is taken at the first push and given back by `clear`.
 */
import { assert } from '../base/assert.ts';

const headerBytes = 4;

export class FrameRing {
  readonly capacityBytes: number;
  #bytes = new Uint8Array(0);
  #head = 0;
  #tail = 0;
  /** Where the writer wrapped, when it did: nothing lies between here and the end. */
  #end = 0;
  #count = 0;

  constructor(capacityBytes: number) {
    this.capacityBytes = capacityBytes;
  }

  get count(): number {
    return this.#count;
  }

  /** The memory that `peekOffset` points into. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  push(from: Uint8Array, offset: number, length: number): boolean {
    if (this.#bytes.length === 0) this.#bytes = new Uint8Array(this.capacityBytes);
    const needed = headerBytes + ((length + 3) & ~3);
    const at = this.#place(needed);
    if (at < 0) return false;
    this.#bytes[at] = length;
    this.#bytes[at + 1] = length >>> 8;
    this.#bytes[at + 2] = length >>> 16;
    this.#bytes.set(from.subarray(offset, offset + length), at + headerBytes);
    this.#tail = at + needed;
    this.#count += 1;
    return true;
  }

  peekOffset(): number {
    assert(this.#count > 0, 'a frame is read from a ring that has one');
    return this.#head + headerBytes;
  }

  peekLength(): number {
    assert(this.#count > 0, 'a frame is read from a ring that has one');
    const at = this.#head;
    return this.#bytes[at]! | (this.#bytes[at + 1]! << 8) | (this.#bytes[at + 2]! << 16);
  }

  shift(): void {
    this.#head += headerBytes + ((this.peekLength() + 3) & ~3);
    this.#count -= 1;
    if (this.#count === 0) {
      this.#head = this.#tail = this.#end = 0;
    } else if (this.#head === this.#end && this.#tail <= this.#head) {
      this.#head = 0;
      this.#end = 0;
    }
  }

  clear(): void {
    this.#bytes = new Uint8Array(0);
    this.#head = this.#tail = this.#end = this.#count = 0;
  }

  /** Where `needed` bytes fit in one piece, or -1. The tail never catches up with the head. */
  #place(needed: number): number {
    if (this.#end !== 0) return this.#tail + needed < this.#head ? this.#tail : -1;
    if (this.#tail + needed <= this.capacityBytes) return this.#tail;
    if (needed >= this.#head) return -1;
    this.#end = this.#tail;
    return 0;
  }
}
