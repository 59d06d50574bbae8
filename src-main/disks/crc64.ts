/**
 * CRC-64 (ECMA-182, reflected), the usual check of .xz files, as two 32-bit halves because
 * JavaScript has no fast 64-bit integers. Slicing by four bytes.
 */
import { viewOf } from './bytes.ts';

const lowTable = new Int32Array(1024);
const highTable = new Int32Array(1024);
fillTables();

function fillTables(): void {
  for (let n = 0; n < 256; n++) {
    let low = n;
    let high = 0;
    for (let k = 0; k < 8; k++) {
      const odd = low & 1;
      low = (low >>> 1) | (high << 31);
      high >>>= 1;
      if (odd) {
        low ^= 0xd7870f42;
        high ^= 0xc96c5795;
      }
    }
    lowTable[n] = low;
    highTable[n] = high;
  }
  for (let n = 256; n < 1024; n++) {
    const low = lowTable[n - 256]!;
    const high = highTable[n - 256]!;
    lowTable[n] = lowTable[low & 255]! ^ ((low >>> 8) | (high << 24));
    highTable[n] = highTable[low & 255]! ^ (high >>> 8);
  }
}

export class Crc64 {
  #low = -1;
  #high = -1;

  update(bytes: Uint8Array): void {
    let low = this.#low;
    let high = this.#high;
    let i = 0;
    for (const end = bytes.length - 3; i < end; i += 4) {
      const word = low ^ (bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) |
        (bytes[i + 3]! << 24));
      const a = 768 + (word & 255);
      const b = 512 + ((word >>> 8) & 255);
      const c = 256 + ((word >>> 16) & 255);
      const d = word >>> 24;
      low = high ^ lowTable[a]! ^ lowTable[b]! ^ lowTable[c]! ^ lowTable[d]!;
      high = highTable[a]! ^ highTable[b]! ^ highTable[c]! ^ highTable[d]!;
    }
    for (; i < bytes.length; i++) {
      const n = (low ^ bytes[i]!) & 255;
      low = ((low >>> 8) | (high << 24)) ^ lowTable[n]!;
      high = (high >>> 8) ^ highTable[n]!;
    }
    this.#low = low;
    this.#high = high;
  }

  /** Eight bytes, little endian, as the file stores them. */
  digest(): Uint8Array {
    const out = new Uint8Array(8);
    const view = viewOf(out);
    view.setInt32(0, ~this.#low, true);
    view.setInt32(4, ~this.#high, true);
    return out;
  }
}
