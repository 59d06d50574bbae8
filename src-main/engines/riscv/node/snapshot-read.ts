/**
 * Reads the file of a saved machine (form: `snapshot-file.ts`): the head and the state at once, RAM
 * when the machine's memory is there to take it.
 *
 *   const saved = await openSnapshot(path);     // checked; refused in one sentence
 *   await saved.fill(guestRam(shared));         // a fresh machine's, all zeros
 *   await saved.close();
 */
import { open, type FileHandle } from 'node:fs/promises';
import { promisify } from 'node:util';
import { zstdDecompress } from 'node:zlib';
import { Refusal } from '../../../base/refusal.ts';
import { frameSize } from '../layout.ts';
import { damaged } from '../saved.ts';
import {
  framesOf, parseHead, parseJson, parsePieces, parsePreamble, pieceFrames, preambleBytes,
  sameBytes, type Head, type Piece, type Section,
} from '../snapshot-file.ts'; // prettier-ignore
import { sha256 } from './snapshot-write.ts';

const decompress = promisify(zstdDecompress);
/** Pieces under way at once: as many as Node has threads for them. */
const atOnce = 4;

export interface OpenSnapshot {
  readonly head: Head;
  readonly state: unknown;
  /** @throws Refusal `bad-input`; the memory then holds a part of it. */
  fill(ram: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

/** @throws Refusal `bad-input`, `unsupported`, or `not-found` when there is no such file. */
export async function openSnapshot(path: string): Promise<OpenSnapshot> {
  const file = await open(path, 'r').catch(() => {
    throw new Refusal('not-found', 'The saved state is gone.');
  });
  try {
    const { size } = await file.stat();
    const preamble = parsePreamble(await readSome(file, { at: 0, bytes: preambleBytes }), size);
    const headBytes = await readSome(file, preamble);
    if (!sameBytes(sha256(headBytes), preamble.digest)) throw damaged();
    const head = parseHead(headBytes, size);
    const pieces = parsePieces(await readDigested(file, head.frames), head);
    const state = parseJson(await readDigested(file, head.state));
    return {
      head,
      state,
      fill: (ram) => fill(file, head, pieces, ram),
      close: () => file.close(),
    };
  } catch (thrown) {
    await file.close();
    throw thrown;
  }
}

async function fill(
  file: FileHandle,
  { ram: { at } }: Head,
  pieces: readonly Piece[],
  ram: Uint8Array,
): Promise<void> {
  const places: number[] = [];
  pieces.reduce((sum, { bytes }) => (places.push(sum), sum + bytes), at);
  let next = 0;
  const work = async () => {
    while (next < pieces.length) {
      const n = next++;
      await fillPiece(file, { at: places[n]!, bytes: pieces[n]!.bytes }, pieces[n]!, ram);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
}

async function fillPiece(
  file: FileHandle,
  section: Section,
  piece: Piece,
  ram: Uint8Array,
): Promise<void> {
  const frames = framesOf(piece);
  const expected = frames.length * frameSize;
  if (expected === 0) throw damaged();
  const stored = await readSome(file, section);
  const bytes = await decompress(stored, { maxOutputLength: expected }).catch(() => {
    throw damaged();
  });
  if (bytes.length !== expected) throw damaged();
  const first = piece.index * pieceFrames;
  frames.forEach((frame, n) => {
    const content = bytes.subarray(n * frameSize, (n + 1) * frameSize);
    ram.set(content, (first + frame) * frameSize);
  });
}

async function readDigested(file: FileHandle, section: Section): Promise<Uint8Array> {
  const bytes = await readSome(file, section);
  if (Buffer.from(sha256(bytes)).toString('hex') !== section.sha256) throw damaged();
  return bytes;
}

async function readSome(file: FileHandle, { at, bytes }: Section): Promise<Uint8Array> {
  const into = new Uint8Array(bytes);
  const { bytesRead } = await file.read(into, 0, bytes, at);
  return into.subarray(0, bytesRead);
}
