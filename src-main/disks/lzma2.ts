/**
 * LZMA2, the compression inside .xz: chunks of at most 64 KiB packed and 2 MiB plain, decoded
 * into a ring of the dictionary's size. `decode(intake)` yields the plain bytes in parts of at
 * most 128 KiB, so that no step keeps the thread for more than a few milliseconds.
 *
 * Hot loop: plain numbers kept as 32-bit integers, typed arrays, no allocation per symbol.
 *
 * Must hold: input is read only inside the chunk's own bytes and distances reach only bytes that
 * were really written since the dictionary was reset; anything else is a refusal.
 */
import { Refusal } from '../base/refusal.ts';
import type { Intake } from './intake.ts';

const partBytesMax = 128 * 1024;
const startBytes = 256 * 1024;

// Where each table of probabilities begins in the one array of them.
const isMatchAt = 0; // 12 states × 16 positions
const isRepAt = isMatchAt + 192;
const isRep0At = isRepAt + 12;
const isRep1At = isRep0At + 12;
const isRep2At = isRep1At + 12;
const isRep0LongAt = isRep2At + 12;
const slotAt = isRep0LongAt + 192; // 4 × 64
const specialAt = slotAt + 256; // 115, indexed from one below
const alignAt = specialAt + 128;
const matchLengthAt = alignAt + 16; // 2 choices, 16 × 8 low, 16 × 8 middle, 256 high
const repLengthAt = matchLengthAt + 2 + 128 + 128 + 256;
const literalAt = repLengthAt + 2 + 128 + 128 + 256; // 16 × 0x300
const probabilityCount = literalAt + 16 * 0x300;

function damaged(): Refusal {
  return new Refusal('bad-input', 'The xz compressed file is damaged or cut off.');
}

export class Lzma2 {
  readonly #dictionaryBytes: number;
  // The ring. It is grown as output comes, so that a claim of 256 MiB alone costs nothing.
  ring: Uint8Array;
  ringAt = 0;
  full = 0; // bytes in the ring that distances may reach
  readonly probabilities = new Uint16Array(probabilityCount);
  literalContext = 0;
  literalMask = 0;
  positionMask = 0;
  state = 0;
  rep0 = 0;
  rep1 = 0;
  rep2 = 0;
  rep3 = 0;
  matchLeft = 0;
  range = 0;
  code = 0;
  input: Uint8Array = new Uint8Array(0);
  inputAt = 0;
  inputEnd = 0;
  plainAt = 0; // bytes since the last state reset, for the position bits

  constructor(dictionaryBytes: number) {
    this.#dictionaryBytes = Math.max(4096, dictionaryBytes);
    this.ring = new Uint8Array(Math.min(startBytes, this.#dictionaryBytes));
  }

  async *decode(intake: Intake): AsyncGenerator<Uint8Array> {
    let needDictionary = true;
    let needProperties = true;
    for (;;) {
      if (!(await intake.ensure(1))) throw damaged();
      const control = intake.bytes[intake.at]!;
      if (control === 0) {
        intake.at += 1;
        return;
      }
      if (control >= 0xe0 || control === 1) {
        needDictionary = false;
        this.full = 0;
        this.plainAt = 0;
        if (control >= 0xe0) needProperties = false;
      } else if (needDictionary) {
        throw damaged();
      }
      if (control >= 0x80) {
        if (control < 0xc0 && needProperties) throw damaged();
        if (control >= 0xc0) needProperties = false;
        yield* this.#packedChunk(intake, control);
      } else if (control <= 2) {
        yield* this.#plainChunk(intake);
      } else {
        throw damaged();
      }
    }
  }

  async *#plainChunk(intake: Intake): AsyncGenerator<Uint8Array> {
    if (!(await intake.ensure(3))) throw damaged();
    const size = ((intake.bytes[intake.at + 1]! << 8) | intake.bytes[intake.at + 2]!) + 1;
    if (!(await intake.ensure(3 + size))) throw damaged();
    intake.at += 3;
    let left = size;
    while (left > 0) {
      const from = this.#makeRoom();
      const part = Math.min(left, this.ring.length - from);
      this.ring.set(intake.bytes.subarray(intake.at, intake.at + part), from);
      intake.at += part;
      left -= part;
      this.#advance(from, part);
      yield this.ring.slice(from, from + part);
    }
  }

  async *#packedChunk(intake: Intake, control: number): AsyncGenerator<Uint8Array> {
    const headBytes = control >= 0xc0 ? 6 : 5;
    if (!(await intake.ensure(headBytes))) throw damaged();
    const { bytes, at } = intake;
    const plain = (((control & 0x1f) << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!) + 1;
    const packed = ((bytes[at + 3]! << 8) | bytes[at + 4]!) + 1;
    if (control >= 0xc0) this.#setProperties(bytes[at + 5]!);
    if (control >= 0xa0) this.#resetState();
    if (packed < 5 || !(await intake.ensure(headBytes + packed))) throw damaged();
    this.input = intake.bytes;
    this.inputAt = intake.at + headBytes;
    this.inputEnd = this.inputAt + packed;
    intake.at = this.inputEnd;
    this.#startRange();
    let left = plain;
    while (left > 0) {
      const from = this.#makeRoom();
      const part = Math.min(left, this.ring.length - from, partBytesMax);
      this.#symbols(from + part);
      left -= part;
      this.#advance(from, part);
      yield this.ring.slice(from, from + part);
    }
    // A chunk ends exactly with its input and never inside a match; the coder then stands at 0.
    if (this.range >>> 24 === 0) this.#normalize();
    if (this.inputAt !== this.inputEnd || this.matchLeft !== 0 || this.code !== 0) throw damaged();
  }

  /** The place for the next byte; grows the ring until it has the dictionary's size. */
  #makeRoom(): number {
    if (this.ringAt < this.ring.length) return this.ringAt;
    if (this.ring.length < this.#dictionaryBytes) {
      const grown = new Uint8Array(Math.min(this.ring.length * 2, this.#dictionaryBytes));
      grown.set(this.ring);
      this.ring = grown;
      return this.ringAt;
    }
    this.ringAt = 0;
    return 0;
  }

  #advance(from: number, count: number): void {
    this.ringAt = from + count;
    this.full = Math.min(this.full + count, this.#dictionaryBytes);
    this.plainAt += count;
  }

  #setProperties(byte: number): void {
    if (byte > 224) throw damaged();
    const positionBits = Math.floor(byte / 45);
    const literalPositionBits = Math.floor((byte % 45) / 9);
    const contextBits = byte % 9;
    if (contextBits + literalPositionBits > 4) throw damaged();
    this.literalContext = contextBits;
    this.literalMask = (1 << literalPositionBits) - 1;
    this.positionMask = (1 << positionBits) - 1;
  }

  #resetState(): void {
    this.probabilities.fill(1024);
    this.state = 0;
    this.rep0 = 0;
    this.rep1 = 0;
    this.rep2 = 0;
    this.rep3 = 0;
    this.matchLeft = 0;
  }

  #startRange(): void {
    const { input, inputAt } = this;
    if (input[inputAt] !== 0) throw damaged();
    this.range = -1;
    this.code = (input[inputAt + 1]! << 24) | (input[inputAt + 2]! << 16) |
      (input[inputAt + 3]! << 8) | input[inputAt + 4]!;
    this.inputAt = inputAt + 5;
  }

  #normalize(): void {
    if (this.inputAt >= this.inputEnd) throw damaged();
    this.range <<= 8;
    this.code = (this.code << 8) | this.input[this.inputAt++]!;
  }

  /** Decodes until the ring is written up to `limit`. */
  #symbols(limit: number): void {
    const { probabilities, ring } = this;
    const begin = this.ringAt;
    let at = begin;
    if (this.matchLeft > 0) at = this.#copy(at, limit, begin);
    while (at < limit) {
      const positionBits = (this.plainAt + at - begin) & this.positionMask;
      if (this.#bit(probabilities, isMatchAt + (this.state << 4) + positionBits) === 0) {
        ring[at] = this.#literal(at, begin);
        at += 1;
        continue;
      }
      if (this.#bit(probabilities, isRepAt + this.state) === 0) {
        this.#match(positionBits);
      } else {
        this.#repeated(positionBits);
      }
      at = this.#copy(at, limit, begin);
    }
  }

  #copy(at: number, limit: number, begin: number): number {
    const { ring } = this;
    const reach = Math.min(this.full + at - begin, this.#dictionaryBytes);
    const distance = (this.rep0 >>> 0) + 1;
    if (distance > reach) throw damaged();
    let from = at - distance;
    if (from < 0) from += ring.length;
    if (from < 0 || (at - distance < 0 && ring.length !== this.#dictionaryBytes)) throw damaged();
    const count = Math.min(this.matchLeft, limit - at);
    this.matchLeft -= count;
    const end = at + count;
    while (at < end) {
      ring[at++] = ring[from++]!;
      if (from === ring.length) from = 0;
    }
    return at;
  }

  #literal(at: number, begin: number): number {
    const { probabilities, ring } = this;
    const reach = this.full + at - begin;
    const before = reach === 0 ? 0 : ring[at > 0 ? at - 1 : ring.length - 1]!;
    const low = (this.plainAt + at - begin) & this.literalMask;
    const context = (low << this.literalContext) + (before >>> (8 - this.literalContext));
    const base = literalAt + context * 0x300;
    let symbol = 1;
    if (this.state >= 7) {
      const distance = (this.rep0 >>> 0) + 1;
      if (distance > reach) throw damaged();
      let from = at - distance;
      if (from < 0) from += ring.length;
      let match = ring[from]!;
      while (symbol < 0x100) {
        const matchBit = (match >>> 7) & 1;
        match <<= 1;
        const bit = this.#bit(probabilities, base + ((1 + matchBit) << 8) + symbol);
        symbol = (symbol << 1) | bit;
        if (bit !== matchBit) break;
      }
    }
    while (symbol < 0x100) symbol = (symbol << 1) | this.#bit(probabilities, base + symbol);
    this.state = this.state < 4 ? 0 : this.state < 10 ? this.state - 3 : this.state - 6;
    return symbol & 255;
  }

  #match(positionBits: number): void {
    const { probabilities } = this;
    this.rep3 = this.rep2;
    this.rep2 = this.rep1;
    this.rep1 = this.rep0;
    this.state = this.state < 7 ? 7 : 10;
    const length = this.#length(matchLengthAt, positionBits);
    this.matchLeft = length;
    const slot = this.#tree(slotAt + (Math.min(length - 2, 3) << 6), 6);
    if (slot < 4) {
      this.rep0 = slot;
      return;
    }
    const extra = (slot >>> 1) - 1;
    let distance = (2 | (slot & 1)) << extra;
    if (slot < 14) {
      let symbol = 1;
      const base = specialAt + distance - slot;
      for (let i = 0; i < extra; i++) {
        const bit = this.#bit(probabilities, base + symbol);
        symbol = (symbol << 1) | bit;
        distance |= bit << i;
      }
    } else {
      distance |= this.#direct(extra - 4) << 4;
      let symbol = 1;
      for (let i = 0; i < 4; i++) {
        const bit = this.#bit(probabilities, alignAt + symbol);
        symbol = (symbol << 1) | bit;
        distance |= bit << i;
      }
    }
    this.rep0 = distance | 0;
  }

  #repeated(positionBits: number): void {
    const { probabilities } = this;
    const { state } = this;
    if (this.#bit(probabilities, isRep0At + state) === 0) {
      if (this.#bit(probabilities, isRep0LongAt + (state << 4) + positionBits) === 0) {
        this.state = state < 7 ? 9 : 11;
        this.matchLeft = 1;
        return;
      }
    } else {
      let distance: number;
      if (this.#bit(probabilities, isRep1At + state) === 0) {
        distance = this.rep1;
      } else {
        if (this.#bit(probabilities, isRep2At + state) === 0) {
          distance = this.rep2;
        } else {
          distance = this.rep3;
          this.rep3 = this.rep2;
        }
        this.rep2 = this.rep1;
      }
      this.rep1 = this.rep0;
      this.rep0 = distance;
    }
    this.state = state < 7 ? 8 : 11;
    this.matchLeft = this.#length(repLengthAt, positionBits);
  }

  #length(base: number, positionBits: number): number {
    const { probabilities } = this;
    if (this.#bit(probabilities, base) === 0) {
      return 2 + this.#tree(base + 2 + (positionBits << 3), 3);
    }
    if (this.#bit(probabilities, base + 1) === 0) {
      return 10 + this.#tree(base + 130 + (positionBits << 3), 3);
    }
    return 18 + this.#tree(base + 258, 8);
  }

  #tree(base: number, bits: number): number {
    let symbol = 1;
    for (let i = 0; i < bits; i++) {
      symbol = (symbol << 1) | this.#bit(this.probabilities, base + symbol);
    }
    return symbol - (1 << bits);
  }

  #direct(bits: number): number {
    let value = 0;
    for (let i = 0; i < bits; i++) {
      if (this.range >>> 24 === 0) this.#normalize();
      this.range >>>= 1;
      this.code = (this.code - this.range) | 0;
      const borrow = this.code >> 31;
      this.code = (this.code + (this.range & borrow)) | 0;
      value = (value << 1) | (borrow + 1);
    }
    return value;
  }

  #bit(probabilities: Uint16Array, index: number): number {
    if (this.range >>> 24 === 0) this.#normalize();
    const probability = probabilities[index]!;
    const bound = Math.imul(this.range >>> 11, probability);
    if (this.code >>> 0 < bound >>> 0) {
      this.range = bound;
      probabilities[index] = probability + ((2048 - probability) >>> 5);
      return 0;
    }
    this.range = (this.range - bound) | 0;
    this.code = (this.code - bound) | 0;
    probabilities[index] = probability - (probability >>> 5);
    return 1;
  }
}
