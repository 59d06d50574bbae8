/** A kernel's file, unpacked where it is a gzip one. */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

const imageBytesMax = 512 << 20;

export function readImage(path: string): Uint8Array {
  const bytes = readFileSync(path);
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  return gunzipSync(bytes, { maxOutputLength: imageBytesMax });
}
