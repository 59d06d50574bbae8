/**
 * Decoder for .bz2 files: `for await (const part of unbzip2(source)) …` gives the plain bytes.
 *
 * Any number of concatenated streams, block and stream checksums verified. Memory is one block:
 * 900 kB of text, 3.6 MB of links and the packed input of that block.
 *
 * Must hold: a block is decoded only when its packed bytes are at hand, every table index is
 * checked, and damage or a cut-off file is a `bad-input` refusal. The old "randomised" blocks
 * (bzip2 before 0.9.5) are refused.
 */
import { Refusal } from '../base/refusal.ts';
import { Intake } from './intake.ts';
import type { ByteSource } from './source.ts';

export interface Unbzip2Options {
  signal?: AbortSignal;
  onRead?: (position: number) => void;
}

const partBytes = 128 * 1024;
// A block of 900,000 bytes in the worst code, with its tables, stays far below this.
const blockInputBytesMax = 3 * 2 ** 20;
const crcTable = makeCrcTable();

function damaged(): Refusal {
  return new Refusal('bad-input', 'The bzip2 compressed file is damaged or cut off.');
}

function makeCrcTable(): Int32Array {
  const table = new Int32Array(256);
  for (let n = 0; n < 256; n++) {
    let c = n << 24;
    for (let k = 0; k < 8; k++) c = c < 0 ? (c << 1) ^ 0x04c11db7 : c << 1;
    table[n] = c;
  }
  return table;
}

export async function* unbzip2(
  source: ByteSource, options: Unbzip2Options = {},
): AsyncGenerator<Uint8Array> {
  const intake = new Intake(source, options.signal, options.onRead);
  const bits = new BitReader();
  do {
    await refill(intake, bits, 4);
    if (bits.read(24) !== 0x425a68) throw damaged();
    const level = bits.read(8) - 0x30;
    if (level < 1 || level > 9) throw damaged();
    settle(intake, bits);
    const block = new Block(level * 100_000);
    let combined = 0;
    for (;;) {
      await refill(intake, bits, blockInputBytesMax);
      const high = bits.read(24);
      const low = bits.read(24);
      if (high === 0x177245 && low === 0x385090) break;
      if (high !== 0x314159 || low !== 0x265359) throw damaged();
      block.decode(bits);
      settle(intake, bits);
      yield* block.parts();
      combined = ((combined << 1) | (combined >>> 31)) ^ block.crc;
    }
    if (bits.read(32) !== combined) throw damaged();
    bits.align();
    settle(intake, bits);
  } while (await intake.ensure(1));
}

/** Gives the bit reader what the intake has: at least `count` bytes, or all to the end. */
async function refill(intake: Intake, bits: BitReader, count: number): Promise<void> {
  await intake.ensure(count);
  bits.bytes = intake.bytes;
  bits.at = intake.at;
  bits.end = intake.end;
}

/** Hands consumed bytes back to the intake; bits already loaded stay in the bit reader. */
function settle(intake: Intake, bits: BitReader): void {
  intake.at = bits.at;
}

class BitReader {
  bytes: Uint8Array = new Uint8Array(0);
  at = 0;
  end = 0;
  #held = 0;
  #count = 0;

  bit(): number {
    if (this.#count === 0) {
      if (this.at >= this.end) throw damaged();
      this.#held = this.bytes[this.at++]!;
      this.#count = 8;
    }
    this.#count -= 1;
    return (this.#held >>> this.#count) & 1;
  }

  /** Up to 32 bits, as a signed number when all 32 are asked for. */
  read(count: number): number {
    let value = 0;
    let left = count;
    while (left > 0) {
      if (this.#count === 0) {
        if (this.at >= this.end) throw damaged();
        this.#held = this.bytes[this.at++]!;
        this.#count = 8;
      }
      const part = Math.min(left, this.#count);
      this.#count -= part;
      value = (value << part) | ((this.#held >>> this.#count) & ((1 << part) - 1));
      left -= part;
    }
    return value;
  }

  align(): void {
    this.#count = 0;
  }
}

/** One Huffman code, lengths 1 to 20, in canonical form. */
class Code {
  readonly #first = new Int32Array(22); // the first code of each length
  readonly #base = new Int32Array(22); // where its symbols begin
  readonly #count = new Int32Array(22);
  readonly #symbols: Uint16Array;

  constructor(lengths: Uint8Array) {
    for (const length of lengths) this.#count[length]! += 1;
    this.#symbols = new Uint16Array(lengths.length);
    let code = 0;
    let base = 0;
    for (let length = 1; length <= 20; length++) {
      code <<= 1;
      this.#first[length] = code;
      this.#base[length] = base;
      code += this.#count[length]!;
      base += this.#count[length]!;
      if (code > 1 << length) throw damaged();
    }
    const next = this.#base.slice();
    lengths.forEach((length, symbol) => {
      this.#symbols[next[length]!++] = symbol;
    });
  }

  decode(bits: BitReader): number {
    let code = 0;
    for (let length = 1; length <= 20; length++) {
      code = (code << 1) | bits.bit();
      const offset = code - this.#first[length]!;
      if (offset < this.#count[length]!) return this.#symbols[this.#base[length]! + offset]!;
    }
    throw damaged();
  }
}

class Block {
  crc = 0; // the checksum that the file states for this block
  readonly #links: Uint32Array;
  readonly #max: number;
  #length = 0;
  #origin = 0;

  constructor(max: number) {
    this.#max = max;
    this.#links = new Uint32Array(max);
  }

  decode(bits: BitReader): void {
    this.crc = bits.read(32);
    if (bits.read(1) !== 0) {
      throw new Refusal('unsupported', 'This bzip2 file was made by a version before 0.9.5. ' +
        'Unpack it with "bzip2 -d" and import the result.');
    }
    this.#origin = bits.read(24);
    const used = readUsed(bits);
    const groups = bits.read(3);
    if (groups < 2 || groups > 6) throw damaged();
    const selectors = readSelectors(bits, groups);
    const codes: Code[] = [];
    for (let i = 0; i < groups; i++) codes.push(new Code(readLengths(bits, used.length + 2)));
    const counts = this.#symbols(bits, used, selectors, codes);
    if (this.#origin >= this.#length) throw damaged();
    this.#link(counts);
  }

  /** Undoes Huffman, run lengths and move-to-front; returns how often each byte came. */
  #symbols(bits: BitReader, front: Uint8Array, selectors: Uint8Array, codes: Code[]): Int32Array {
    const counts = new Int32Array(256);
    const links = this.#links;
    const endSymbol = front.length + 1;
    let length = 0;
    let run = 0;
    let weight = 1;
    let group = -1;
    let inGroup = 0;
    let code = codes[0] as Code;
    for (;;) {
      if (inGroup === 0) {
        group += 1;
        if (group >= selectors.length) throw damaged();
        code = codes[selectors[group]!] as Code;
        inGroup = 50;
      }
      inGroup -= 1;
      const symbol = code.decode(bits);
      if (symbol <= 1) {
        run += weight << symbol;
        weight *= 2;
        if (run > this.#max) throw damaged();
        continue;
      }
      if (run > 0) {
        if (length + run > this.#max) throw damaged();
        const byte = front[0]!;
        counts[byte]! += run;
        links.fill(byte, length, length + run);
        length += run;
        run = 0;
        weight = 1;
      }
      if (symbol === endSymbol) break;
      if (length >= this.#max || symbol > endSymbol) throw damaged();
      const byte = front[symbol - 1]!;
      front.copyWithin(1, 0, symbol - 1);
      front[0] = byte;
      counts[byte]! += 1;
      links[length++] = byte;
    }
    this.#length = length;
    return counts;
  }

  /** Prepares the inverse Burrows–Wheeler walk: the upper 24 bits name the next place. */
  #link(counts: Int32Array): void {
    const links = this.#links;
    let sum = 0;
    for (let byte = 0; byte < 256; byte++) {
      const count = counts[byte]!;
      counts[byte] = sum;
      sum += count;
    }
    for (let i = 0; i < this.#length; i++) {
      const byte = links[i]! & 255;
      const place = counts[byte]!++;
      links[place] = (links[place]! | (i << 8)) >>> 0;
    }
  }

  /** Walks the block, undoes the first run-length coding and checks the sum at the end. */
  *parts(): Generator<Uint8Array> {
    const links = this.#links;
    let out = new Uint8Array(partBytes + 256);
    let at = 0;
    let crc = -1;
    let place = links[this.#origin]! >>> 8;
    let same = 0;
    let previous = -1;
    for (let left = this.#length; left > 0; left--) {
      const link = links[place]!;
      const byte = link & 255;
      place = link >>> 8;
      if (same === 4) {
        for (let i = 0; i < byte; i++) {
          out[at++] = previous;
          crc = (crc << 8) ^ crcTable[(crc >>> 24) ^ previous]!;
        }
        same = 0;
        previous = -1;
      } else {
        same = byte === previous ? same + 1 : 1;
        previous = byte;
        out[at++] = byte;
        crc = (crc << 8) ^ crcTable[(crc >>> 24) ^ byte]!;
      }
      if (at >= partBytes) {
        yield out.subarray(0, at);
        out = new Uint8Array(partBytes + 256);
        at = 0;
      }
    }
    if (~crc !== this.crc) throw damaged();
    if (at > 0) yield out.subarray(0, at);
  }
}

function readUsed(bits: BitReader): Uint8Array {
  const ranges = bits.read(16);
  const used: number[] = [];
  for (let range = 0; range < 16; range++) {
    if (!((ranges >>> (15 - range)) & 1)) continue;
    const mask = bits.read(16);
    for (let i = 0; i < 16; i++) if ((mask >>> (15 - i)) & 1) used.push(range * 16 + i);
  }
  if (used.length === 0) throw damaged();
  return Uint8Array.from(used);
}

function readSelectors(bits: BitReader, groups: number): Uint8Array {
  const count = bits.read(15);
  if (count === 0) throw damaged();
  const front = [0, 1, 2, 3, 4, 5];
  const selectors = new Uint8Array(count);
  for (let i = 0; i < count; i++) {
    let index = 0;
    while (bits.bit() === 1) {
      index += 1;
      if (index >= groups) throw damaged();
    }
    const group = front.splice(index, 1)[0] as number;
    front.unshift(group);
    selectors[i] = group;
  }
  return selectors;
}

function readLengths(bits: BitReader, count: number): Uint8Array {
  const lengths = new Uint8Array(count);
  let length = bits.read(5);
  for (let i = 0; i < count; i++) {
    for (;;) {
      if (length < 1 || length > 20) throw damaged();
      if (bits.bit() === 0) break;
      length += bits.bit() === 0 ? 1 : -1;
    }
    lengths[i] = length;
  }
  return lengths;
}
