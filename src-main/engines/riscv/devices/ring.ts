/**
 * Bytes from one thread to another through shared memory: a ring with a head and a tail word in
 * front. One side puts, the other takes; a full ring refuses, nothing blocks.
 */
export class Ring {
  private readonly words: Int32Array;
  private readonly bytes: Uint8Array;
  private readonly size: number;

  /** `size` is a power of two; the ring takes size + 8 bytes of the buffer. */
  constructor(buffer: ArrayBufferLike, offset: number, size: number) {
    this.words = new Int32Array(buffer, offset, 2);
    this.bytes = new Uint8Array(buffer, offset + 8, size);
    this.size = size;
  }

  get length(): number {
    return (Atomics.load(this.words, 0) - Atomics.load(this.words, 1)) | 0;
  }

  /** How many more bytes it takes now. */
  get room(): number {
    return this.size - this.length;
  }

  /** What waits in it, which stays there. */
  contents(): Uint8Array {
    const tail = Atomics.load(this.words, 1);
    const index = (_: unknown, n: number) => this.bytes[(tail + n) & (this.size - 1)]!;
    return Uint8Array.from({ length: Math.min(this.size, Math.max(0, this.length)) }, index);
  }

  put(byte: number): boolean {
    const head = Atomics.load(this.words, 0);
    if (((head - Atomics.load(this.words, 1)) | 0) >= this.size) return false;
    this.bytes[head & (this.size - 1)] = byte;
    Atomics.store(this.words, 0, (head + 1) | 0);
    return true;
  }

  /** The next byte, or -1. */
  take(): number {
    const tail = Atomics.load(this.words, 1);
    if (Atomics.load(this.words, 0) === tail) return -1;
    const byte = this.bytes[tail & (this.size - 1)]!;
    Atomics.store(this.words, 1, (tail + 1) | 0);
    return byte;
  }
}
