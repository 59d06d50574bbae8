/**
 * Plain values of a saved machine, written and read back. Whatever is read is hostile: each of
 * these takes only what its counterpart has written, in the size that its caller expects.
 */
import { Refusal } from '../../base/refusal.ts';

export function damaged(): Refusal {
  return new Refusal('bad-input', 'The saved state is damaged.');
}

export function bytesToText(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** @throws Refusal `bad-input` when it is no text of up to `max` bytes. */
export function textToBytes(saved: unknown, max: number): Uint8Array<ArrayBuffer> {
  if (typeof saved !== 'string' || saved.length > max * 2) throw damaged();
  if (saved.length % 2 !== 0 || !/^[0-9a-f]*$/.test(saved)) throw damaged();
  const bytes = new Uint8Array(saved.length / 2);
  for (let n = 0; n < bytes.length; n++) {
    bytes[n] = Number.parseInt(saved.slice(n * 2, n * 2 + 2), 16);
  }
  return bytes;
}

export function wordsToText(words: Int32Array): string {
  return bytesToText(new Uint8Array(words.buffer, words.byteOffset, words.byteLength));
}

/** Fills `words` altogether. */
export function textToWords(saved: unknown, words: Int32Array): void {
  const bytes = textToBytes(saved, words.byteLength);
  if (bytes.length !== words.byteLength) throw damaged();
  words.set(new Int32Array(bytes.buffer));
}

export function wideToText(value: bigint): string {
  return BigInt.asUintN(64, value).toString(16);
}

export function textToWide(saved: unknown): bigint {
  if (typeof saved !== 'string' || !/^[0-9a-f]{1,16}$/.test(saved)) throw damaged();
  return BigInt(`0x${saved}`);
}

/** The values of an object by name. */
export function recordOf(saved: unknown): Readonly<Record<string, unknown>> {
  if (typeof saved !== 'object' || saved === null || Array.isArray(saved)) throw damaged();
  return saved as Readonly<Record<string, unknown>>;
}

/** A list of exactly so many values. */
export function listOf(saved: unknown, length: number): readonly unknown[] {
  if (!Array.isArray(saved) || saved.length !== length) throw damaged();
  return saved;
}

/** A whole number from `min` to `max`. */
export function wholeOf(saved: unknown, min: number, max: number): number {
  if (!Number.isInteger(saved)) throw damaged();
  const value = saved as number;
  if (value < min || value > max) throw damaged();
  return value;
}
