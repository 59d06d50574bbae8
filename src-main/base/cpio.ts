/**
 * A writer for cpio archives in the `newc` form, which the Linux kernel unpacks as its first root
 * file system (Documentation/driver-api/early-userspace/buffer-format.rst). Pure: the same
 * entries always give the same bytes (owner 0, time 0, inode numbers in order).
 *
 *   writeCpio([{ path: 'init', kind: 'file', mode: 0o755, content }]) → Uint8Array
 *
 * What must hold: every directory comes before what is in it (the kernel makes no parents), so
 * the caller's order is kept and checked.
 */
import { Refusal } from './refusal.ts';

export type CpioEntry =
  | { kind: 'file'; path: string; mode: number; content: Uint8Array }
  | { kind: 'directory'; path: string; mode: number }
  | { kind: 'link'; path: string; target: string }
  | { kind: 'character'; path: string; mode: number; major: number; minor: number };

const typeBits = { file: 0o100000, directory: 0o040000, link: 0o120000, character: 0o020000 };
const headBytes = 110;
const sizeBytesMax = 0xffff_ffff;
const encoder = new TextEncoder();

export function writeCpio(entries: readonly CpioEntry[]): Uint8Array<ArrayBuffer> {
  checkOrder(entries);
  const parts: Uint8Array[] = [];
  entries.forEach((entry, index) => {
    const mode = typeBits[entry.kind] | (entry.kind === 'link' ? 0o777 : entry.mode & 0o7777);
    const { major, minor } = entry.kind === 'character' ? entry : { major: 0, minor: 0 };
    append(parts, { ino: index + 1, mode, major, minor }, entry.path, contentOf(entry));
  });
  append(parts, { ino: 0, mode: 0, major: 0, minor: 0 }, 'TRAILER!!!', new Uint8Array(0));
  return joined(parts);
}

function contentOf(entry: CpioEntry): Uint8Array {
  if (entry.kind === 'file') return entry.content;
  if (entry.kind === 'link') return encoder.encode(entry.target);
  return new Uint8Array(0);
}

function checkOrder(entries: readonly CpioEntry[]): void {
  const made = new Set<string>();
  for (const { path, kind } of entries) {
    const names = path.split('/');
    if (names.some((name) => name === '' || name === '.' || name === '..' || name.includes('\0'))) {
      throw new Refusal('bad-input', `"${path}" cannot be a path in a cpio archive.`);
    }
    if (made.has(path)) throw new Refusal('bad-input', `"${path}" is twice in the archive.`);
    const parent = names.slice(0, -1).join('/');
    if (parent !== '' && !made.has(`${parent}/`)) {
      throw new Refusal('bad-input', `"${path}" comes before its directory.`);
    }
    made.add(path);
    if (kind === 'directory') made.add(`${path}/`);
  }
}

function append(
  parts: Uint8Array[],
  head: { ino: number; mode: number; major: number; minor: number },
  path: string,
  content: Uint8Array,
): void {
  if (content.length > sizeBytesMax) {
    throw new Refusal('unsupported', `"${path}" is too large for a cpio archive.`);
  }
  const name = encoder.encode(`${path}\0`);
  const links = head.mode === 0 ? 0 : 1;
  const fields = [
    head.ino, head.mode, 0, 0, links, 0, content.length, 0, 0, head.major, head.minor, name.length,
    0,
  ];
  const text = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`;
  parts.push(encoder.encode(text), name, padding(headBytes + name.length));
  parts.push(content, padding(content.length));
}

function padding(length: number): Uint8Array {
  return new Uint8Array((4 - (length % 4)) % 4);
}

function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
