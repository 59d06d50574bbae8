/**
 * User Mode Linux's copy-on-write overlay, version 3: a header that names the image beneath, a
 * bitmap with one bit for each 512-byte sector (1: the sector is here), then the sectors at their
 * own offsets, sparse. `makeCowHeader` and `parseCowHeader`; nothing here touches a file.
 *
 * The kernel refuses an overlay when size or whole-second mtime of the image beneath differ from
 * the header, so both are part of it. (arch/um/drivers/cow_user.c; all numbers big-endian)
 *
 * It stands in this room because both sides need it: disks make overlays, engines without a
 * driver of their own for them read and write them.
 */
import { Refusal } from '../base/refusal.ts';

export const cowHeaderBytes = 4128;
export const cowPathBytesMax = 4095; // with its closing NUL 4096

const magic = 0x4f4f4f4d; // "OOOM"
const sectorBytes = 512;
const alignBytes = 4096;

export interface CowHeader {
  backingPath: string;
  /** Whole seconds since 1970, unsigned 32 bits. */
  backingSeconds: number;
  backingBytes: number;
}

export interface CowLayout {
  bitmapAt: number;
  bitmapBytes: number;
  dataAt: number;
  /** The overlay's virtual length; as created it is all hole but the header. */
  fileBytes: number;
}

export function cowLayout(backingBytes: number): CowLayout {
  const bitmapAt = roundUp(cowHeaderBytes, alignBytes);
  const bitmapBytes = Math.ceil(Math.ceil(backingBytes / sectorBytes) / 8);
  const dataAt = roundUp(bitmapAt + bitmapBytes, alignBytes);
  return { bitmapAt, bitmapBytes, dataAt, fileBytes: dataAt + backingBytes };
}

function roundUp(value: number, step: number): number {
  return Math.ceil(value / step) * step;
}

/** The first 4128 bytes of an overlay; everything after them is zeros. */
export function makeCowHeader(header: CowHeader): Uint8Array {
  const path = new TextEncoder().encode(header.backingPath);
  if (!header.backingPath.startsWith('/') || path.includes(0)) {
    throw new Refusal('usage', 'An overlay needs the absolute path of the image beneath it.');
  }
  if (path.length > cowPathBytesMax) {
    throw new Refusal('unsupported', 'The path of the image is longer than 4095 bytes.');
  }
  const { backingBytes, backingSeconds } = header;
  if (!Number.isSafeInteger(backingBytes) || backingBytes < sectorBytes) {
    throw new Refusal('unsupported', 'An overlay needs an image of at least 512 bytes beneath it.');
  }
  if (!Number.isInteger(backingSeconds) || backingSeconds < 0 || backingSeconds > 0xffffffff) {
    throw new Refusal('unsupported', 'The image has a date before 1970 or after 2106.');
  }
  const bytes = new Uint8Array(cowHeaderBytes);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  view.setUint32(0, magic);
  view.setUint32(4, 3);
  view.setUint32(8, backingSeconds);
  view.setBigUint64(12, BigInt(backingBytes));
  view.setUint32(20, sectorBytes);
  view.setUint32(24, alignBytes);
  view.setUint32(28, 0);
  bytes.set(path, 32);
  return bytes;
}

/** Reads a header that this module or `uml_mkcow` wrote; refuses all others. */
export function parseCowHeader(bytes: Uint8Array): CowHeader {
  const damaged = (how: string): Refusal =>
    new Refusal('bad-input', `The overlay is damaged: ${how}.`);
  if (bytes.length < cowHeaderBytes) throw damaged('its header is cut off');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0) !== magic) throw damaged('it does not begin with its mark');
  const version = view.getUint32(4);
  if (version !== 3 || view.getUint32(28) !== 0 || bytes[32] === 0) {
    throw new Refusal('unsupported', 'The overlay has a version or form that is not known here.');
  }
  if (view.getUint32(20) !== sectorBytes || view.getUint32(24) !== alignBytes) {
    throw new Refusal('unsupported', 'The overlay has unusual sector or alignment sizes.');
  }
  const path = bytes.subarray(32, cowHeaderBytes);
  if (!path.includes(0)) throw damaged('the path in it has no end');
  const backingPath = new TextDecoder().decode(path.subarray(0, path.indexOf(0)));
  if (!backingPath.startsWith('/')) throw damaged('the path in it is not absolute');
  const backingBytes = Number(view.getBigUint64(12));
  if (backingBytes < sectorBytes) throw damaged('the image beneath has no size');
  if (!Number.isSafeInteger(backingBytes)) throw damaged('no file can be as long as it says');
  return { backingPath, backingSeconds: view.getUint32(8), backingBytes };
}
