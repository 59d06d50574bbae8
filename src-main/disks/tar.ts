/**
 * Looks through a tar before anything unpacks it: `scanTar(source)` walks every header, refuses
 * whatever would leave the folder it is unpacked into, and keeps just enough (symbolic links and
 * a few well-known files) to tell what system is inside.
 *
 * Handled: ustar, GNU long names and sparse files, pax headers. Refused: absolute names, `..`,
 * entries or hard links that pass through a symbolic link leading outside, damaged checksums,
 * cut-off files, multi-volume archives, container images (docker save, OCI).
 *
 * Must hold: memory is bounded by the limits below, whatever the archive claims. (POSIX pax)
 */
import { Refusal } from '../base/refusal.ts';
import { hasAt, printable } from './bytes.ts';
import type { FileStatus, FileTree } from './ext4.ts';
import { isTar } from './magic.ts';
import { CachedSource, type ByteSource } from './source.ts';

export interface TarScan {
  entries: number;
  /** What the files need on a file system with blocks of 4 KiB, folders and links included. */
  contentBytes: number;
  tree: FileTree;
}

export interface ScanOptions {
  signal?: AbortSignal;
  onProgress?: (position: number) => void;
}

const entriesMax = 4_000_000;
const linksMax = 400_000;
const nameBytesMax = 4096;
const extendedBytesMax = 1024 * 1024;
const keptNames = new Set(('os-release init sh bash dash ash zsh busybox toybox systemd true ' +
  'coreutils env ls mount openrc-init runit-init s6-svscan dinit nologin').split(' '));

interface Entry {
  name: string;
  link: string;
  type: string;
  sizeBytes: number;
  mode: number;
  dataAt: number;
}

interface Extended { path?: string; linkpath?: string; size?: number }

export async function scanTar(source: ByteSource, options: ScanOptions = {}): Promise<TarScan> {
  const cached = new CachedSource(source, 64 * 1024, 32);
  const links = new Map<string, string>();
  const files = new Map<string, Entry>();
  let entries = 0;
  let contentBytes = 0;
  for await (const entry of entriesOf(cached, options)) {
    entries += 1;
    if (entries > entriesMax) {
      throw new Refusal('unsupported', 'This tar has more than four million entries.');
    }
    const path = insidePath(entry.name, links);
    contentBytes += 4096 + Math.ceil(Math.max(entry.sizeBytes, 0) / 4096) * 4096;
    if (entry.type === '1') insidePath(entry.link, links);
    if (entry.type === '2') {
      if (links.size >= linksMax) throw new Refusal('unsupported', 'This tar has too many links.');
      links.set(path, entry.link);
    }
    if (path === 'manifest.json' || path === 'oci-layout') refuseContainer();
    const base = path.slice(path.lastIndexOf('/') + 1);
    if ('017'.includes(entry.type) && keptNames.has(base) && files.size < 10_000) {
      files.set(path, entry);
    }
  }
  if (entries === 0) throw new Refusal('bad-input', 'This tar archive is empty.');
  return { entries, contentBytes, tree: new TarTree(cached, links, files) };
}

function refuseContainer(): never {
  throw new Refusal('unsupported', 'This is a container image in layers (docker save or OCI). ' +
    'Flatten it with "docker create" and "docker export", and import that tar.');
}

function damaged(how: string): Refusal {
  return new Refusal('bad-input', `The tar archive is damaged: ${how}.`);
}

async function* entriesOf(source: ByteSource, options: ScanOptions): AsyncGenerator<Entry> {
  let at = 0;
  let extended: Extended = {};
  for (let headers = 0; at + 512 <= source.size; headers++) {
    if (options.signal?.aborted) throw new Refusal('cancelled', 'Cancelled.');
    if (headers % 1024 === 0) options.onProgress?.(at);
    const head = await source.read(at, 512);
    if (head.every((byte) => byte === 0)) return;
    if (!isTar(head)) throw damaged('a header has a wrong checksum');
    const entry = parseHeader(head, at + 512);
    const { type } = entry;
    if (extended.size !== undefined && !'xgLK'.includes(type)) entry.sizeBytes = extended.size;
    if (entry.sizeBytes > source.size - entry.dataAt) throw damaged('it is cut off');
    if (type === 'S') entry.dataAt = await skipSparse(source, head, entry.dataAt);
    at = entry.dataAt + Math.ceil(entry.sizeBytes / 512) * 512;
    if ('xgXLK'.includes(type)) {
      await addExtended(source, entry, extended);
      continue;
    }
    if (type === 'M') {
      throw new Refusal('unsupported', 'This tar is one part of several; join the parts first.');
    }
    if (type === 'V') continue;
    entry.name = extended.path ?? entry.name;
    entry.link = extended.linkpath ?? entry.link;
    extended = {};
    yield entry;
  }
  if (at > source.size + 511) throw damaged('it is cut off');
}

function parseHeader(head: Uint8Array, dataAt: number): Entry {
  let name = field(head, 0, 100);
  // Only POSIX archives have a prefix; GNU keeps times there.
  if (hasAt(head, 257, 'ustar\u0000') && head[345] !== 0) name = `${field(head, 345, 155)}/${name}`;
  const typeByte = head[156]!;
  let type = typeByte === 0 ? '0' : String.fromCharCode(typeByte);
  if (type === '0' && name.endsWith('/')) type = '5';
  const stored = number(head, 124, 12);
  const hasData = !'123456'.includes(type);
  return {
    name, type, dataAt,
    link: field(head, 157, 100),
    mode: number(head, 100, 8) & 0o7777,
    sizeBytes: hasData ? stored : 0,
  };
}

function field(head: Uint8Array, at: number, length: number): string {
  const bytes = head.subarray(at, at + length);
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

/** Octal digits, or GNU's base 256 when the first bit is set. */
function number(head: Uint8Array, at: number, length: number): number {
  if (head[at]! & 0x80) {
    let value = BigInt(head[at]! & 0x7f);
    for (let i = 1; i < length; i++) value = (value << 8n) | BigInt(head[at + i]!);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw damaged('a size is impossible');
    return Number(value);
  }
  const text = field(head, at, length).trim();
  if (text === '') return 0;
  if (!/^[0-7]+$/.test(text)) throw damaged('a number is not octal');
  return parseInt(text, 8);
}

async function addExtended(source: ByteSource, entry: Entry, into: Extended): Promise<void> {
  if (entry.sizeBytes > extendedBytesMax) throw damaged('an extended header is too long');
  const bytes = await source.read(entry.dataAt, entry.sizeBytes);
  if (entry.type === 'L') into.path = named(field(bytes, 0, bytes.length));
  else if (entry.type === 'K') into.linkpath = named(field(bytes, 0, bytes.length));
  else if (entry.type !== 'g') paxRecords(bytes, into);
}

function named(name: string): string {
  if (name.length > nameBytesMax) throw damaged('a name is too long');
  return name;
}

/** Records of the form `length key=value\n`. */
function paxRecords(bytes: Uint8Array, into: Extended): void {
  let at = 0;
  while (at < bytes.length) {
    let length = 0;
    let digits = at;
    while (digits < bytes.length && digits - at < 8 && bytes[digits] !== 0x20) {
      const digit = bytes[digits]! - 0x30;
      if (digit < 0 || digit > 9) throw damaged('an extended header is broken');
      length = length * 10 + digit;
      digits += 1;
    }
    if (length < digits - at + 3 || at + length > bytes.length) {
      throw damaged('an extended header is broken');
    }
    const record = new TextDecoder().decode(bytes.subarray(digits + 1, at + length - 1));
    at += length;
    const equals = record.indexOf('=');
    const key = record.slice(0, Math.max(equals, 0));
    const value = record.slice(equals + 1);
    if (key === 'path' || key === 'GNU.sparse.name') into.path = named(value);
    else if (key === 'linkpath') into.linkpath = named(value);
    else if (key === 'size') {
      if (!/^[0-9]{1,15}$/.test(value)) throw damaged('a size is impossible');
      into.size = Number(value);
    }
  }
}

/** Old GNU sparse files put more maps between header and data. */
async function skipSparse(source: ByteSource, head: Uint8Array, dataAt: number): Promise<number> {
  let more = head[482] === 1;
  let at = dataAt;
  for (let maps = 0; more; maps++) {
    if (maps > 65536) throw damaged('a sparse file is too scattered');
    const map = await source.read(at, 512);
    at += 512;
    more = map[504] === 1;
  }
  return at;
}

/** The entry's path without `./`; refuses one that would land outside the folder. */
function insidePath(name: string, links: Map<string, string>): string {
  const shown = `"${printable(name)}"`;
  if (name.length > nameBytesMax) throw damaged('a name is too long');
  if (name.startsWith('/')) {
    throw new Refusal('bad-input', `The tar holds an entry with an absolute name, ${shown}.`);
  }
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) {
    throw new Refusal('bad-input', `The tar holds an entry that leads outside, ${shown}.`);
  }
  if (links.size > 0 && parts.length > 1) {
    const parent = follow(parts.slice(0, -1), links, false);
    if (parent === undefined) {
      throw new Refusal('bad-input', `The tar holds an entry, ${shown}, that passes through a ` +
        'symbolic link leading outside.');
    }
  }
  return parts.join('/');
}

/**
 * Follows symbolic links. `rooted`: absolute links begin at the archive's root, as in a running
 * system; otherwise they, and `..` above the root, lead outside and the answer is undefined.
 */
function follow(
  start: string[], links: Map<string, string>, rooted: boolean,
): string[] | undefined {
  const left = start.slice().reverse();
  const done: string[] = [];
  let followed = 0;
  while (left.length > 0) {
    if (left.length > 4096) return undefined;
    const part = left.pop() as string;
    if (part === '..') {
      if (done.length === 0 && !rooted) return undefined;
      done.pop();
      continue;
    }
    done.push(part);
    const target = links.get(done.join('/'));
    if (target === undefined) continue;
    if (++followed > 40) return undefined;
    done.pop();
    if (target.startsWith('/')) {
      if (!rooted) return undefined;
      done.length = 0;
    }
    left.push(...target.split('/').filter((step) => step !== '' && step !== '.').reverse());
  }
  return done;
}

class TarTree implements FileTree {
  readonly #source: ByteSource;
  readonly #links: Map<string, string>;
  readonly #files: Map<string, Entry>;

  constructor(source: ByteSource, links: Map<string, string>, files: Map<string, Entry>) {
    this.#source = source;
    this.#links = links;
    this.#files = files;
  }

  async stat(path: string): Promise<FileStatus | undefined> {
    const entry = this.#find(path);
    return entry && { kind: 'file', sizeBytes: entry.sizeBytes, mode: entry.mode };
  }

  async readFile(path: string, limitBytes: number): Promise<Uint8Array | undefined> {
    const entry = this.#find(path);
    if (!entry) return undefined;
    return this.#source.read(entry.dataAt, Math.min(entry.sizeBytes, limitBytes));
  }

  #find(path: string): Entry | undefined {
    const parts = path.split('/').filter((part) => part !== '' && part !== '.');
    const real = follow(parts, this.#links, true);
    let entry = real && this.#files.get(real.join('/'));
    // A hard link has no data of its own; its target came earlier.
    for (let hops = 0; entry?.type === '1' && hops < 8; hops++) {
      const target = entry.link.split('/').filter((part) => part !== '' && part !== '.').join('/');
      entry = this.#files.get(target);
    }
    return entry?.type === '1' ? undefined : entry;
  }
}

