/**
 * The file of a saved machine, without touching one. It begins with 64 bytes that name the form
 * and say where its head is; they are written last, so that what was cut off names nothing.
 *
 *   preamble   magic, version, length and place of the head, SHA-256 of the head
 *   ram        pieces, each the frames of one MiB of RAM that are not zero: one zstd frame, with
 *              its own checksum
 *   frames     one record a piece: which MiB, which of its 256 frames, how many bytes
 *   state      JSON, see snapshot.ts
 *   head       JSON: engine, RAM, harts, and place, length and SHA-256 of the sections
 *
 * All numbers little-endian. Must hold: whatever is read is checked here against the file's
 * length, the machine's limits and the digests before anybody believes it.
 */
import { Refusal } from '../../base/refusal.ts';
import { hartsMax, ramMibMax } from './machine.ts';
import { damaged, recordOf, wholeOf } from './saved.ts';

export const preambleBytes = 64;
/** Frames of a piece: a mebibyte of RAM. */
export const pieceFrames = 256;
export const headBytesMax = 1 << 16;
/** Of which a state has a small part; a device that holds much may use the rest. */
export const stateBytesMax = 1 << 26;

const version = 2;
const magic = [0x8e, 0x4e, 0x59, 0x4d, 0x50, 0x48, 0x53, 0x0a]; // .NYMPHS\n
const recordBytes = 40;
const digestBytes = 32;
/** zstd does not make more of a mebibyte than this. */
const pieceBytesMax = (1 << 20) + (1 << 14);

/** A section's place in the file, and its SHA-256 in hexadecimal where it has one. */
export interface Section {
  readonly at: number;
  readonly bytes: number;
  readonly sha256?: string;
}

export interface Head {
  readonly ramMib: number;
  readonly harts: number;
  readonly ram: Section;
  readonly frames: Section;
  readonly state: Section;
}

/** The frames of mebibyte `index` of RAM that are in it, a bit each, and its stored length. */
export interface Piece {
  readonly index: number;
  readonly bitmap: Uint8Array;
  readonly bytes: number;
}

export type Digest = (bytes: Uint8Array) => Uint8Array;

export function encodeHead(head: Head): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify({ engine: 'riscv', ...head }));
}

export function encodePreamble(headAt: number, head: Uint8Array, sha256: Digest): Uint8Array {
  const bytes = new Uint8Array(preambleBytes);
  bytes.set(magic);
  const view = new DataView(bytes.buffer);
  view.setUint32(8, version, true);
  view.setUint32(12, head.length, true);
  view.setBigUint64(16, BigInt(headAt), true);
  bytes.set(sha256(head), 24);
  return bytes;
}

/** Where the head is. @throws Refusal `bad-input`, `unsupported` for another version. */
export function parsePreamble(
  bytes: Uint8Array,
  fileBytes: number,
): Section & { digest: Uint8Array } {
  if (bytes.length < preambleBytes || magic.some((byte, n) => bytes[n] !== byte)) {
    throw new Refusal('bad-input', 'The saved state is no saved state, or was never finished.');
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(8, true) !== version) {
    throw new Refusal('unsupported', 'The state was saved by another version of Nymph.');
  }
  const length = view.getUint32(12, true);
  const place = Number(view.getBigUint64(16, true));
  if (length > headBytesMax || !inside({ at: place, bytes: length }, fileBytes)) throw cutOff();
  return { at: place, bytes: length, digest: bytes.slice(24, 24 + digestBytes) };
}

/** @throws Refusal `bad-input`, `unsupported` for the file of another engine. */
export function parseHead(bytes: Uint8Array, fileBytes: number): Head {
  const head = recordOf(parseJson(bytes));
  if (head['engine'] !== 'riscv') {
    throw new Refusal('unsupported', 'The state was saved by another engine.');
  }
  const parsed: Head = {
    ramMib: wholeOf(head['ramMib'], 2, ramMibMax),
    harts: wholeOf(head['harts'], 1, hartsMax),
    ram: sectionOf(head['ram'], fileBytes),
    frames: sectionOf(head['frames'], fileBytes),
    state: sectionOf(head['state'], fileBytes),
  };
  if (parsed.state.bytes > stateBytesMax) throw damaged();
  if (parsed.frames.bytes > parsed.ramMib * recordBytes) throw damaged();
  return parsed;
}

export function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as unknown;
  } catch {
    throw damaged();
  }
}

export function encodePieces(pieces: readonly Piece[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(pieces.length * recordBytes);
  const view = new DataView(bytes.buffer);
  pieces.forEach((piece, n) => {
    view.setUint32(n * recordBytes, piece.index, true);
    view.setUint32(n * recordBytes + 4, piece.bytes, true);
    bytes.set(piece.bitmap, n * recordBytes + 8);
  });
  return bytes;
}

/** The pieces, which fill the RAM's section one after the other. @throws Refusal `bad-input` */
export function parsePieces(bytes: Uint8Array, { ramMib, ram }: Head): Piece[] {
  if (bytes.length % recordBytes !== 0) throw damaged();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const pieces: Piece[] = [];
  let before = -1;
  let total = 0;
  for (let at = 0; at < bytes.length; at += recordBytes) {
    const index = wholeOf(view.getUint32(at, true), before + 1, ramMib - 1);
    const length = wholeOf(view.getUint32(at + 4, true), 1, pieceBytesMax);
    pieces.push({ index, bytes: length, bitmap: bytes.slice(at + 8, at + recordBytes) });
    before = index;
    total += length;
  }
  if (total !== ram.bytes) throw damaged();
  return pieces;
}

/** The frames of a piece, as numbers from 0 to 255. */
export function framesOf({ bitmap }: Pick<Piece, 'bitmap'>): number[] {
  const frames: number[] = [];
  for (let n = 0; n < pieceFrames; n++) {
    if (((bitmap[n >> 3]! >> (n & 7)) & 1) !== 0) frames.push(n);
  }
  return frames;
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, n) => byte === b[n]);
}

function sectionOf(saved: unknown, fileBytes: number): Section {
  const { at, bytes, sha256 } = recordOf(saved);
  const section = {
    at: wholeOf(at, preambleBytes, Number.MAX_SAFE_INTEGER),
    bytes: wholeOf(bytes, 0, Number.MAX_SAFE_INTEGER),
    ...(sha256 === undefined ? {} : { sha256: String(sha256) }),
  };
  if (!inside(section, fileBytes)) throw cutOff();
  return section;
}

function inside({ at, bytes }: Section, fileBytes: number): boolean {
  return at + bytes <= fileBytes;
}

function cutOff(): Refusal {
  return new Refusal('bad-input', 'The saved state is cut off.');
}
