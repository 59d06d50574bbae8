/**
 * Where zstd frames begin and end, without decoding them: a file may hold many, and the host's
 * decoder stops after the first. `nextFrame(intake)` passes over skippable frames and gives the
 * bytes of the next one in parts; `frameLength(data)` measures one in memory. (RFC 8878, 3.1)
 *
 * Must hold: a frame that is cut off is a refusal, never a shorter frame.
 */
import { Refusal } from '../base/refusal.ts';
import { viewOf } from './bytes.ts';
import type { Intake } from './intake.ts';

const blockBytesMax = 128 * 1024 + 3;

function damaged(): Refusal {
  return new Refusal('bad-input', 'The zstd compressed file is damaged or cut off.');
}

/** Header length and whether a checksum follows the blocks; needs 5 bytes. */
function headerOf(head: Uint8Array): { bytes: number; checksum: boolean } {
  const descriptor = head[4]!;
  const single = (descriptor & 0x20) !== 0;
  const sizeBytes = [single ? 1 : 0, 2, 4, 8][descriptor >>> 6]!;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3]!;
  const bytes = 5 + (single ? 0 : 1) + dictionaryBytes + sizeBytes;
  return { bytes, checksum: (descriptor & 4) !== 0 };
}

function blockOf(data: Uint8Array, at: number): { bytes: number; last: boolean } {
  const header = data[at]! | (data[at + 1]! << 8) | (data[at + 2]! << 16);
  // A run block stores one byte for all of its length.
  return { bytes: 3 + (((header >>> 1) & 3) === 1 ? 1 : header >>> 3), last: (header & 1) !== 0 };
}

/** The parts of the next frame, or undefined at the end of the source. */
export async function nextFrame(intake: Intake): Promise<AsyncGenerator<Uint8Array> | undefined> {
  for (;;) {
    if (!(await intake.ensure(1))) return undefined;
    if (!(await intake.ensure(8))) throw damaged();
    const view = viewOf(intake.bytes.subarray(intake.at, intake.at + 8));
    const mark = view.getUint32(0, true);
    if (mark === 0xfd2fb528) return frameParts(intake);
    if (mark >>> 4 !== 0x184d2a5) throw damaged();
    let left = 8 + view.getUint32(4, true);
    while (left > 0) {
      if (!(await intake.ensure(1))) throw damaged();
      const part = Math.min(left, intake.end - intake.at);
      intake.at += part;
      left -= part;
    }
  }
}

async function* frameParts(intake: Intake): AsyncGenerator<Uint8Array> {
  const take = async (count: number): Promise<Uint8Array> => {
    if (!(await intake.ensure(count))) throw damaged();
    intake.at += count;
    return intake.bytes.subarray(intake.at - count, intake.at);
  };
  const header = headerOf(intake.bytes.subarray(intake.at, intake.at + 8));
  yield await take(header.bytes);
  for (;;) {
    if (!(await intake.ensure(3))) throw damaged();
    const block = blockOf(intake.bytes, intake.at);
    if (block.bytes > blockBytesMax) throw damaged();
    yield await take(block.bytes);
    if (block.last) break;
  }
  if (header.checksum) yield await take(4);
}

/** The length of the frame at the start of `data`, at most `data.length`. */
export function frameLength(data: Uint8Array): number {
  if (data.length < 9) return data.length;
  const header = headerOf(data);
  let at = header.bytes;
  for (;;) {
    if (at + 3 > data.length) return data.length;
    const block = blockOf(data, at);
    at += block.bytes;
    if (block.last) break;
  }
  return Math.min(data.length, at + (header.checksum ? 4 : 0));
}
