/**
 * Reading numbers and names out of hostile bytes. Every function refuses (`bad-input`) or clips
 * rather than run past the end, and 64-bit values that no file can have are refused, so that
 * positions stay exact as JavaScript numbers.
 */
import { Refusal } from '../base/refusal.ts';

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** An unsigned 64-bit number that must be a possible file position. */
export function u64(view: DataView, offset: number, little: boolean): number {
  const value = view.getBigUint64(offset, little);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new Refusal('bad-input', 'The image holds a length or position that no file can have.');
  }
  return Number(value);
}

/** Text from bytes, up to the first NUL; undecodable bytes become replacement characters. */
export function textOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

/** True when `bytes` has these characters (Latin-1) at `offset`. */
export function hasAt(bytes: Uint8Array, offset: number, characters: string): boolean {
  if (offset + characters.length > bytes.length) return false;
  for (let i = 0; i < characters.length; i++) {
    if (bytes[offset + i] !== characters.charCodeAt(i)) return false;
  }
  return true;
}

export function allZero(bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== 0) return false;
  return true;
}

/** One printable line of a hostile name: control characters out, at most 80 characters. */
export function printable(text: string): string {
  // eslint-disable-next-line no-control-regex
  const clean = text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e]/g, '?');
  return clean.length > 80 ? `${clean.slice(0, 79)}…` : clean;
}

/** A size a person can read, in binary units. */
export function humanBytes(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const shown = value >= 100 ? Math.round(value) : Math.round(value * 10) / 10;
  return `${shown} ${units[unit]}`;
}

const crcTable = makeCrcTable();

function makeCrcTable(): Uint32Array {
  const table = new Uint32Array(256);
  for (let n = 0; n < 256; n++) {
    let c = n;
    for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
    table[n] = c >>> 0;
  }
  return table;
}

/** CRC-32 as in GPT, gzip and xz; `previous` continues an earlier result. */
export function crc32(bytes: Uint8Array, previous = 0): number {
  let c = ~previous;
  for (let i = 0; i < bytes.length; i++) {
    c = crcTable[(c ^ (bytes[i] as number)) & 0xff]! ^ (c >>> 8);
  }
  return ~c >>> 0;
}
