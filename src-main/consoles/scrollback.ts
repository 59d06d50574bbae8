/**
 * The last bytes a console has written, in a ring that starts small, doubles as it fills and
 * never passes its limit. Every byte has an absolute position, counted from the console's first,
 * so that many readers can each hold a cursor and none of them needs a queue of its own.
 */
import { assert } from '../base/assert.ts';

export const scrollbackBytesMax = 256 << 10;
const startBytes = 4 << 10;

export class Scrollback {
  private ring = new Uint8Array(startBytes);
  private readonly limit: number;
  /** The position of the next byte to come. */
  end = 0;
  private kept = 0;

  constructor(limit = scrollbackBytesMax) {
    assert(limit >= startBytes, 'a scrollback keeps at least 4 KiB');
    this.limit = limit;
  }

  /** The position of the oldest byte still kept. */
  get start(): number {
    return this.end - this.kept;
  }

  append(bytes: Uint8Array): void {
    // More than fits: only the last part can survive, but positions count all of it.
    if (bytes.length > this.limit) {
      this.end += bytes.length - this.limit;
      bytes = bytes.subarray(bytes.length - this.limit);
      this.kept = 0;
    }
    this.growFor(this.kept + bytes.length);
    const size = this.ring.length;
    const at = this.end % size;
    const first = Math.min(bytes.length, size - at);
    this.ring.set(bytes.subarray(0, first), at);
    this.ring.set(bytes.subarray(first), 0);
    this.end += bytes.length;
    this.kept = Math.min(this.kept + bytes.length, size);
  }

  /** A copy of up to `length` bytes from `position`, which must still be kept. */
  read(position: number, length: number): Uint8Array<ArrayBuffer> {
    assert(position >= this.start && position <= this.end, 'a cursor points into the scrollback');
    const count = Math.min(length, this.end - position);
    const bytes = new Uint8Array(count);
    const at = position % this.ring.length;
    const first = Math.min(count, this.ring.length - at);
    bytes.set(this.ring.subarray(at, at + first));
    bytes.set(this.ring.subarray(0, count - first), first);
    return bytes;
  }

  /** Everything kept, oldest first. */
  all(): Uint8Array<ArrayBuffer> {
    return this.read(this.start, this.kept);
  }

  private growFor(bytes: number): void {
    let size = this.ring.length;
    while (size < bytes && size < this.limit) size = Math.min(size * 2, this.limit);
    if (size === this.ring.length) return;
    const kept = this.all();
    const start = this.start;
    this.ring = new Uint8Array(size);
    const at = start % size;
    const first = Math.min(kept.length, size - at);
    this.ring.set(kept.subarray(0, first), at);
    this.ring.set(kept.subarray(first), 0);
  }
}
