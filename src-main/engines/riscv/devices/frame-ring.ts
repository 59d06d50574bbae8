/**
 * Frames from one thread to another through shared memory: one side puts, the other takes, a full
 * ring refuses, nothing blocks. Each frame has its length before it (4 bytes) and lies in one
 * piece; a length of `skip` says that the rest up to the end is unused.
 *
 *   const ring = new FrameRing(new SharedArrayBuffer(frameRingBytes(1 << 18)));
 */
const headBytes = 8;
const lengthBytes = 4;
const skip = 0xffff_ffff;

/** What a ring of `capacity` bytes (a multiple of 4) takes in all. */
export function frameRingBytes(capacity: number): number {
  return headBytes + capacity;
}

export class FrameRing {
  /** 0: where the next frame is put, 1: where the next is taken; both count on for ever. */
  private readonly ends: Int32Array;
  private readonly lengths: Uint32Array;
  private readonly bytes: Uint8Array;

  constructor(buffer: SharedArrayBuffer) {
    this.ends = new Int32Array(buffer, 0, 2);
    this.lengths = new Uint32Array(buffer, headBytes);
    this.bytes = new Uint8Array(buffer, headBytes);
  }

  put(frame: Uint8Array): boolean {
    const capacity = this.bytes.length;
    const needed = lengthBytes + ((frame.length + 3) & ~3);
    if (needed > capacity) return false;
    let head = Atomics.load(this.ends, 0) >>> 0;
    const used = (head - Atomics.load(this.ends, 1)) >>> 0;
    const at = head % capacity;
    const toEnd = capacity - at;
    const skipped = toEnd < needed ? toEnd : 0;
    if (used + skipped + needed > capacity) return false;
    if (skipped > 0) this.lengths[at >> 2] = skip;
    head = (head + skipped) >>> 0;
    const place = head % capacity;
    this.lengths[place >> 2] = frame.length;
    this.bytes.set(frame, place + lengthBytes);
    Atomics.store(this.ends, 0, (head + needed) | 0);
    return true;
  }

  /** The oldest frame, valid until the next call; null when there is none. */
  take(): Uint8Array | null {
    const capacity = this.bytes.length;
    const head = Atomics.load(this.ends, 0) >>> 0;
    let tail = Atomics.load(this.ends, 1) >>> 0;
    if (head === tail) return null;
    let at = tail % capacity;
    if (this.lengths[at >> 2] === skip) {
      tail = (tail + capacity - at) >>> 0;
      at = 0;
    }
    const length = this.lengths[at >> 2]!;
    const frame = this.bytes.slice(at + lengthBytes, at + lengthBytes + length);
    Atomics.store(this.ends, 1, (tail + lengthBytes + ((length + 3) & ~3)) | 0);
    return frame;
  }
}
