/**
 * A growable byte buffer that knows WebAssembly's number encodings. Used for whole modules and
 * for function bodies; the translator reuses one, so that a translation allocates little.
 */
/** The few names that modules import, encoded once. */
const encodedTexts = new Map<string, Uint8Array>();

export class Bytes {
  data: Uint8Array<ArrayBuffer>;
  length = 0;

  /** `capacity` bytes fit before the buffer has to grow. */
  constructor(capacity = 128) {
    this.data = new Uint8Array(capacity);
  }

  clear(): void {
    this.length = 0;
  }

  private room(count: number): void {
    if (this.length + count <= this.data.length) return;
    const bigger = new Uint8Array(Math.max(this.data.length * 2, this.length + count));
    bigger.set(this.data.subarray(0, this.length));
    this.data = bigger;
  }

  u8(value: number): void {
    if (this.length === this.data.length) this.room(1);
    this.data[this.length++] = value;
  }

  all(values: ArrayLike<number>): void {
    this.room(values.length);
    for (let n = 0; n < values.length; n++) this.data[this.length++] = values[n]!;
  }

  append(other: Bytes): void {
    this.room(other.length);
    this.data.set(other.data.subarray(0, other.length), this.length);
    this.length += other.length;
  }

  /** Unsigned LEB128 of a 32-bit number. */
  u32(value: number): void {
    this.room(5);
    let rest = value >>> 0;
    while (rest >= 0x80) {
      this.data[this.length++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.data[this.length++] = rest;
  }

  /** Signed LEB128 of a 32-bit number. */
  s32(value: number): void {
    this.room(5);
    let rest = value | 0;
    for (;;) {
      const low = rest & 0x7f;
      rest >>= 7;
      if ((rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0)) {
        this.data[this.length++] = low;
        return;
      }
      this.data[this.length++] = low | 0x80;
    }
  }

  /** Signed LEB128 of a 64-bit number; a plain number must be a safe integer. */
  s64(value: bigint | number): void {
    if (typeof value === 'number') {
      if (value === (value | 0)) return this.s32(value);
      value = BigInt(value);
    }
    this.room(10);
    let rest = BigInt.asIntN(64, value);
    for (;;) {
      const low = Number(rest & 0x7fn);
      rest >>= 7n;
      if ((rest === 0n && (low & 0x40) === 0) || (rest === -1n && (low & 0x40) !== 0)) {
        this.data[this.length++] = low;
        return;
      }
      this.data[this.length++] = low | 0x80;
    }
  }

  text(value: string): void {
    let encoded = encodedTexts.get(value);
    if (encoded === undefined) {
      encoded = new TextEncoder().encode(value);
      encodedTexts.set(value, encoded);
    }
    this.u32(encoded.length);
    this.room(encoded.length);
    this.data.set(encoded, this.length);
    this.length += encoded.length;
  }

  /** A copy of what was written. */
  take(): Uint8Array<ArrayBuffer> {
    return this.data.slice(0, this.length);
  }
}
