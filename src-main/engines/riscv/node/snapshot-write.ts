/**
 * Writes the file of a machine that is held (form: `snapshot-file.ts`): beside its name first,
 * synced, then given its name. RAM goes in as compressed pieces, frames of zeros left out; what
 * the host has never given memory for is not even looked at.
 */
import { createHash } from 'node:crypto';
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { constants, zstdCompress } from 'node:zlib';
import { spaceRefusal, syncDirectory } from '../../../base/node/files.ts';
import type { Saved } from '../devices/virtio/device.ts';
import type { Shared } from '../hart.ts';
import { at, frameSize } from '../layout.ts';
import { guestRam } from '../machine.ts';
import {
  encodeHead, encodePieces, encodePreamble, pieceFrames, preambleBytes, type Digest, type Piece,
  type Section,
} from '../snapshot-file.ts'; // prettier-ignore
import { residentFrames } from './resident.ts';

const compress = promisify(zstdCompress);
const level = {
  params: { [constants.ZSTD_c_compressionLevel]: 1, [constants.ZSTD_c_checksumFlag]: 1 },
};
/** Pieces that are compressed at once, on the threads that Node has for it. */
const atOnce = 4;
const zeros = new Uint8Array(frameSize);

export const sha256: Digest = (bytes) => createHash('sha256').update(bytes).digest();

/** Answers with the file's length. @throws Refusal `no-space`; nothing remains then. */
export async function writeSnapshot(path: string, shared: Shared, state: Saved): Promise<number> {
  const part = `${path}.part`;
  const file = await open(part, 'w', 0o600).catch((thrown: unknown) => {
    throw spaceRefusal(thrown);
  });
  try {
    const length = await writeAll(file, shared, state);
    await file.sync();
    await file.close();
    await rename(part, path);
    await syncDirectory(dirname(path));
    return length;
  } catch (thrown) {
    await file.close().catch(() => {});
    await rm(part, { force: true });
    throw spaceRefusal(thrown);
  }
}

async function writeAll(file: FileHandle, shared: Shared, state: Saved): Promise<number> {
  let at = preambleBytes;
  const put = async (bytes: Uint8Array): Promise<Section> => {
    const section = { at, bytes: bytes.length };
    at += bytes.length;
    await writeAt(file, bytes, section.at);
    return section;
  };
  const digested = async (bytes: Uint8Array): Promise<Section> => {
    const digest = Buffer.from(sha256(bytes)).toString('hex');
    return { ...(await put(bytes)), sha256: digest };
  };
  const pieces = await writeRam(shared, put);
  const ram = { at: preambleBytes, bytes: at - preambleBytes };
  const { ramBytes, harts } = shared.layout;
  const head = encodeHead({
    ramMib: ramBytes >> 20,
    harts,
    ram,
    frames: await digested(encodePieces(pieces)),
    state: await digested(new TextEncoder().encode(JSON.stringify(state))),
  });
  const { at: headAt } = await put(head);
  await writeAt(file, encodePreamble(headAt, head, sha256), 0);
  return at;
}

/** Pieces lie in the file in the order of RAM, whichever is compressed first. */
async function writeRam(
  shared: Shared,
  put: (bytes: Uint8Array) => Promise<unknown>,
): Promise<Piece[]> {
  const ram = guestRam(shared);
  const resident = residentFrames(shared.memory, at.ram, ram.length);
  const pieces: Piece[] = [];
  let coming: Promise<{ piece: Piece; stored: Uint8Array }>[] = [];
  const land = async () => {
    for (const { piece, stored } of await Promise.all(coming)) {
      pieces.push(piece);
      await put(stored);
    }
    coming = [];
  };
  for (let index = 0; index < ram.length >> 20; index++) {
    const gathered = gatherPiece(ram, index, resident);
    if (gathered === undefined) continue;
    coming.push(
      compress(gathered.bytes, level).then((stored) => ({
        piece: { index, bitmap: gathered.bitmap, bytes: stored.length },
        stored,
      })),
    );
    if (coming.length === atOnce) await land();
  }
  await land();
  return pieces;
}

/** The frames of mebibyte `index` that are not all zero, put together; undefined when none is. */
function gatherPiece(
  ram: Uint8Array,
  index: number,
  resident: Uint8Array | undefined,
): { bitmap: Uint8Array; bytes: Uint8Array } | undefined {
  const bitmap = new Uint8Array(pieceFrames / 8);
  const bytes = new Uint8Array(pieceFrames * frameSize);
  let count = 0;
  for (let n = 0; n < pieceFrames; n++) {
    const frame = index * pieceFrames + n;
    if (resident?.[frame] === 0) continue;
    const content = ram.subarray(frame * frameSize, (frame + 1) * frameSize);
    if (Buffer.compare(content, zeros) === 0) continue;
    bitmap[n >> 3] = bitmap[n >> 3]! | (1 << (n & 7));
    bytes.set(content, count++ * frameSize);
  }
  return count === 0 ? undefined : { bitmap, bytes: bytes.subarray(0, count * frameSize) };
}

async function writeAt(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const rest = bytes.length - done;
    done += (await file.write(bytes, done, rest, position + done)).bytesWritten;
  }
}
