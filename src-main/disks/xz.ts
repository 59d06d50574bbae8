/**
 * Decoder for .xz files: `for await (const part of unxz(source)) …` gives the plain bytes.
 *
 * Handled: any number of streams and blocks, LZMA2, the checks none, CRC32 and CRC64 (SHA-256
 * when the host lends a digest). Refused with a sentence: other filters, dictionaries over
 * 256 MiB. Memory is the dictionary (grown only as far as output was made) plus one input window.
 *
 * Must hold: all sizes that the headers claim are compared with what was decoded, and a damaged
 * or cut-off file ends in a `bad-input` refusal, never in a wrong byte passed as right when the
 * file carries a check. (The .xz File Format 1.2.1)
 */
import { Refusal } from '../base/refusal.ts';
import { crc32, viewOf } from './bytes.ts';
import { Crc64 } from './crc64.ts';
import { Intake } from './intake.ts';
import { Lzma2 } from './lzma2.ts';
import type { ByteSource } from './source.ts';

export interface Digest {
  update(bytes: Uint8Array): void;
  digest(): Uint8Array;
}

export interface UnxzOptions {
  signal?: AbortSignal;
  /** Told how far into the compressed source the decoder has come. */
  onRead?: (position: number) => void;
  sha256?: () => Digest;
}

const dictionaryBytesMax = 256 * 2 ** 20;
const checkBytes = [0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64];

export function damagedXz(): Refusal {
  return new Refusal('bad-input', 'The xz compressed file is damaged or cut off.');
}

export async function* unxz(
  source: ByteSource, options: UnxzOptions = {},
): AsyncGenerator<Uint8Array> {
  const intake = new Intake(source, options.signal, options.onRead);
  let streams = 0;
  for (;;) {
    if (!(await intake.ensure(1))) break;
    // Between streams there may be zero padding in multiples of four bytes.
    if (streams > 0 && intake.bytes[intake.at] === 0) {
      if (!(await intake.ensure(4))) throw damagedXz();
      if (viewOf(take(intake, 4)).getUint32(0) !== 0) throw damagedXz();
      continue;
    }
    yield* oneStream(intake, options);
    streams += 1;
  }
  if (streams === 0) throw damagedXz();
}

function take(intake: Intake, count: number): Uint8Array {
  const bytes = intake.bytes.subarray(intake.at, intake.at + count);
  intake.at += count;
  return bytes;
}

async function need(intake: Intake, count: number): Promise<Uint8Array> {
  if (!(await intake.ensure(count))) throw damagedXz();
  return take(intake, count);
}

interface Totals { blocks: number; unpadded: number; plain: number }

async function* oneStream(intake: Intake, options: UnxzOptions): AsyncGenerator<Uint8Array> {
  const header = await need(intake, 12);
  const view = viewOf(header);
  if (view.getUint32(0) !== 0xfd377a58 || view.getUint16(4) !== 0x5a00) throw damagedXz();
  if (crc32(header.subarray(6, 8)) !== view.getUint32(8, true)) throw damagedXz();
  const check = header[7]!;
  if (header[6] !== 0 || check > 15) throw damagedXz();
  const totals: Totals = { blocks: 0, unpadded: 0, plain: 0 };
  for (;;) {
    if (!(await intake.ensure(1))) throw damagedXz();
    if (intake.bytes[intake.at] === 0) break;
    yield* oneBlock(intake, check, options, totals);
  }
  const indexBytes = await readIndex(intake, totals);
  const footer = viewOf(await need(intake, 12));
  const flags = (footer.getUint8(8) << 8) | footer.getUint8(9);
  const right = footer.getUint16(10) === 0x595a && flags === check &&
    (footer.getUint32(4, true) + 1) * 4 === indexBytes;
  if (!right) throw damagedXz();
}

interface BlockHeader {
  bytes: number;
  packed: number | undefined;
  plain: number | undefined;
  dictionary: number;
}

async function readBlockHeader(intake: Intake): Promise<BlockHeader> {
  const bytes = (intake.bytes[intake.at]! + 1) * 4;
  const head = await need(intake, bytes);
  if (crc32(head.subarray(0, bytes - 4)) !== viewOf(head).getUint32(bytes - 4, true)) {
    throw damagedXz();
  }
  const flags = head[1]!;
  const cursor = { bytes: head.subarray(0, bytes - 4), at: 2 };
  const packed = flags & 0x40 ? vli(cursor) : undefined;
  const plain = flags & 0x80 ? vli(cursor) : undefined;
  if (flags & 0x3c) throw damagedXz();
  if ((flags & 3) !== 0 || cursor.bytes[cursor.at] !== 0x21) {
    throw new Refusal('unsupported', 'This xz file uses a filter that is not known here. ' +
      'Unpack it with "xz -d" and import the result.');
  }
  cursor.at += 1;
  const property = vli(cursor) === 1 ? cursor.bytes[cursor.at]! : 255;
  if (property > 40) throw damagedXz();
  const dictionary = property === 40
    ? 2 ** 32 - 1 : (2 | (property & 1)) * 2 ** ((property >> 1) + 11);
  if (dictionary > dictionaryBytesMax) {
    throw new Refusal('unsupported', 'This xz file needs more than 256 MiB of memory to unpack. ' +
      'Unpack it with "xz -d" and import the result.');
  }
  return { bytes, packed, plain, dictionary };
}

async function* oneBlock(
  intake: Intake, check: number, options: UnxzOptions, totals: Totals,
): AsyncGenerator<Uint8Array> {
  const header = await readBlockHeader(intake);
  const start = intake.position;
  const verifier = verifierFor(check, options);
  const decoder = new Lzma2(header.dictionary);
  let plain = 0;
  for await (const part of decoder.decode(intake)) {
    plain += part.length;
    verifier?.update(part);
    yield part;
  }
  const packed = intake.position - start;
  if (header.packed !== undefined && header.packed !== packed) throw damagedXz();
  if (header.plain !== undefined && header.plain !== plain) throw damagedXz();
  const padding = await need(intake, (4 - (packed % 4)) % 4);
  if (padding.some((byte) => byte !== 0)) throw damagedXz();
  const stored = await need(intake, checkBytes[check]!);
  const found = verifier?.digest();
  if (found && found.some((byte, i) => byte !== stored[i])) throw damagedXz();
  totals.blocks += 1;
  totals.plain += plain;
  totals.unpadded += header.bytes + packed + checkBytes[check]!;
}

function verifierFor(check: number, options: UnxzOptions): Digest | undefined {
  if (check === 4) return new Crc64();
  if (check === 10) return options.sha256?.();
  if (check !== 1) return undefined;
  let sum = 0;
  return {
    update(bytes) {
      sum = crc32(bytes, sum);
    },
    digest() {
      const out = new Uint8Array(4);
      viewOf(out).setUint32(0, sum, true);
      return out;
    },
  };
}

/** Reads the index and compares it with what was decoded; returns its whole length. */
async function readIndex(intake: Intake, totals: Totals): Promise<number> {
  const start = intake.position;
  let sum = crc32(await need(intake, 1));
  const number = async (): Promise<number> => {
    const bytes: number[] = [];
    do bytes.push((await need(intake, 1))[0]!);
    while (bytes[bytes.length - 1]! & 0x80 && bytes.length < 9);
    sum = crc32(Uint8Array.from(bytes), sum);
    return vli({ bytes: Uint8Array.from(bytes), at: 0 });
  };
  if ((await number()) !== totals.blocks) throw damagedXz();
  let unpadded = 0;
  let plain = 0;
  for (let i = 0; i < totals.blocks; i++) {
    unpadded += await number();
    plain += await number();
  }
  if (unpadded !== totals.unpadded || plain !== totals.plain) throw damagedXz();
  const padding = await need(intake, (4 - ((intake.position - start) % 4)) % 4);
  sum = crc32(padding, sum);
  const stored = viewOf(await need(intake, 4)).getUint32(0, true);
  if (stored !== sum || padding.some((byte) => byte !== 0)) throw damagedXz();
  return intake.position - start;
}

/** A variable-length integer: seven bits a byte, at most nine bytes. */
function vli(cursor: { bytes: Uint8Array; at: number }): number {
  let value = 0;
  for (let i = 0; i < 9; i++) {
    const byte = cursor.bytes[cursor.at++];
    if (byte === undefined) throw damagedXz();
    value += (byte & 0x7f) * 2 ** (7 * i);
    if (!(byte & 0x80)) {
      if ((byte === 0 && i > 0) || !Number.isSafeInteger(value)) throw damagedXz();
      return value;
    }
  }
  throw damagedXz();
}
