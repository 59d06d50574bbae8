/**
 * Machine bundles (`.nymph`): a machine in one file, to be moved or kept. A zstd compressed tar
 * of exactly these plain files, in this order:
 *
 *   manifest.json     format, version, name, and each disk with its size
 *   machine.yaml      as its owner wrote it
 *   disks/ID/OFFSET   the disks whole, in pieces of 1 MiB, ascending; OFFSET has 16 hex digits;
 *                     pieces that hold only zeros are left out
 *   digests.json      SHA-256 of manifest.json, machine.yaml and each `disks/ID`: there over the
 *                     pieces in order, each behind its offset as eight bytes, big-endian
 *
 * `readBundle` yields the head, then the pieces; digests come last, so that a bundle is made and
 * read in one pass. Must hold: nothing it yielded counts until it has ended; names, sizes and
 * order are checked before use, and at most a piece and one incoming part are kept.
 */
import { Refusal } from '../base/refusal.ts';
import { viewOf } from './bytes.ts';
import { isTar } from './magic.ts';
import { diskBytesMax } from './qcow2.ts';
import type { Digest } from './xz.ts';

export const pieceBytes = 2 ** 20;
const format = 'nymph-machine';
const version = 1;
const disksMax = 8;
const manifestBytesMax = 64 * 1024;
const machineBytesMax = 2 ** 18;
const trailBytesMax = 64 * 1024;
const idPattern = /^[a-z0-9][a-z0-9._-]{0,62}$/;
const piecePattern = /^disks\/([a-z0-9][a-z0-9._-]{0,62})\/([0-9a-f]{16})$/;

export interface BundleDisk {
  id: string;
  bytes: number;
}

export interface BundleManifest {
  name: string;
  disks: BundleDisk[];
}

export interface BundleHead {
  manifest: BundleManifest;
  machineText: string;
}

export type BundlePart =
  | ({ kind: 'head' } & BundleHead)
  | { kind: 'piece'; disk: number; position: number; bytes: Uint8Array };

export type Sha256 = () => Digest;

function damaged(how: string): Refusal {
  return new Refusal('bad-input', `This machine bundle is damaged: ${how}.`);
}

/** Whether the first bytes of a tar, at least 1 KiB where there are so many, begin a bundle. */
export function isBundle(head: Uint8Array): boolean {
  if (!isTar(head)) return false;
  const text = new TextDecoder().decode(head.subarray(0, 1024));
  return text.startsWith('manifest.json\0') && text.slice(512).startsWith(`{"format":"${format}"`);
}

export function manifestText({ name, disks }: BundleManifest): string {
  return `${JSON.stringify({ format, version, name, disks })}\n`;
}

/** One entry of the tar: header, data, padding. Plain data of fewer than 8 GiB. */
export function tarEntry(name: string, data: Uint8Array): Uint8Array[] {
  const head = new Uint8Array(512);
  const put = (at: number, text: string) => head.set(new TextEncoder().encode(text), at);
  const octal = (at: number, digits: number, value: number) =>
    put(at, value.toString(8).padStart(digits, '0'));
  put(0, name);
  octal(100, 7, 0o600);
  octal(108, 7, 0);
  octal(116, 7, 0);
  octal(124, 11, data.length);
  octal(136, 11, 0);
  head.fill(32, 148, 156);
  put(156, '0');
  put(257, 'ustar\u000000');
  octal(148, 6, head.reduce((sum, byte) => sum + byte, 0));
  head[154] = 0;
  return [head, data, new Uint8Array((512 - (data.length % 512)) % 512)];
}

export function pieceName(id: string, position: number): string {
  return `disks/${id}/${position.toString(16).padStart(16, '0')}`;
}

export const tarEnd = new Uint8Array(1024);

/** The SHA-256 of each part of a bundle, taken while it is made or read. */
export class BundleDigests {
  readonly #new: Sha256;
  readonly #texts: Record<string, string> = {};
  readonly #disks = new Map<string, Digest>();

  constructor(sha256: Sha256, disks: readonly BundleDisk[]) {
    this.#new = sha256;
    for (const { id } of disks) this.#disks.set(id, sha256());
  }

  text(name: string, bytes: Uint8Array): void {
    const digest = this.#new();
    digest.update(bytes);
    this.#texts[name] = hex(digest.digest());
  }

  piece(id: string, position: number, bytes: Uint8Array): void {
    const offset = new Uint8Array(8);
    viewOf(offset).setBigUint64(0, BigInt(position));
    const digest = this.#disks.get(id)!;
    digest.update(offset);
    digest.update(bytes);
  }

  /** Once, at the end: what digests.json holds. */
  toText(): string {
    const all = { ...this.#texts };
    for (const [id, digest] of this.#disks) all[`disks/${id}`] = hex(digest.digest());
    return `${JSON.stringify(all)}\n`;
  }
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** @param parts the plain tar, in parts of any size. */
export async function* readBundle(
  parts: AsyncIterable<Uint8Array>, sha256: Sha256,
): AsyncGenerator<BundlePart, void> {
  const tar = new TarCursor(parts);
  try {
    const manifestBytes = await tar.file('manifest.json', manifestBytesMax);
    const manifest = parseManifest(textOf(manifestBytes));
    const machineBytes = await tar.file('machine.yaml', machineBytesMax);
    yield { kind: 'head', manifest, machineText: textOf(machineBytes) };
    const digests = new BundleDigests(sha256, manifest.disks);
    digests.text('manifest.json', manifestBytes);
    digests.text('machine.yaml', machineBytes);
    const order = new PieceOrder(manifest.disks);
    let entry = await tar.next();
    for (; entry.name !== 'digests.json'; entry = await tar.next()) {
      const { disk, position } = order.place(entry);
      const bytes = await tar.data(entry.bytes);
      if (bytes.every((byte) => byte === 0)) throw damaged('a piece of a disk is empty');
      digests.piece(manifest.disks[disk]!.id, position, bytes);
      yield { kind: 'piece', disk, position, bytes };
    }
    if (entry.bytes > manifestBytesMax) throw damaged('its digests are too long');
    if (textOf(await tar.data(entry.bytes)) !== digests.toText()) {
      throw damaged('what is in it is not what was put in');
    }
    await tar.end();
  } finally {
    await tar.close();
  }
}

/** Pieces come disk by disk, each further on than the one before, and inside the disk. */
class PieceOrder {
  readonly #disks: readonly BundleDisk[];
  #disk = 0;
  #next = 0;

  constructor(disks: readonly BundleDisk[]) {
    this.#disks = disks;
  }

  place({ name, bytes }: Entry): { disk: number; position: number } {
    const match = piecePattern.exec(name);
    if (!match) throw damaged('it holds a file that does not belong there');
    const disk = this.#disks.findIndex(({ id }) => id === match[1]);
    const position = Number.parseInt(match[2]!, 16);
    if (disk < this.#disk) throw damaged('its disks are out of order');
    if (disk > this.#disk) [this.#disk, this.#next] = [disk, 0];
    const size = this.#disks[disk]!.bytes;
    const aligned = position % pieceBytes === 0 && position >= this.#next && position < size;
    if (!aligned || bytes !== Math.min(pieceBytes, size - position)) {
      throw damaged('a piece of a disk is in the wrong place');
    }
    this.#next = position + pieceBytes;
    return { disk, position };
  }
}

function textOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw damaged('a text in it is not UTF-8');
  }
}

function parseManifest(text: string): BundleManifest {
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch {
    throw damaged('its manifest cannot be read');
  }
  const { format: said, version: made, name, disks } = (given ?? {}) as Record<string, unknown>;
  if (said !== format) throw damaged('its manifest is of something else');
  if (made !== version) {
    throw new Refusal('unsupported', 'This machine bundle was made by a newer Nymph; ' +
      `version ${version} of the format is known here.`);
  }
  if (typeof name !== 'string' || name.length > 100 || !Array.isArray(disks)) {
    throw damaged('its manifest lacks a name or disks');
  }
  if (disks.length === 0 || disks.length > disksMax) {
    throw damaged(`a machine has one to ${disksMax} disks`);
  }
  const read = disks.map(parseDisk);
  const ids = new Set(read.map(({ id }) => id));
  if (ids.size !== read.length) throw damaged('a disk is there twice');
  return { name, disks: read };
}

function parseDisk(given: unknown): BundleDisk {
  const { id, bytes } = (given ?? {}) as Record<string, unknown>;
  if (typeof id !== 'string' || !idPattern.test(id)) throw damaged('a disk has an odd name');
  const whole = Number.isSafeInteger(bytes) && (bytes as number) % 512 === 0;
  if (!whole || (bytes as number) < 512 || (bytes as number) > diskBytesMax) {
    throw damaged('a disk has an impossible size');
  }
  return { id, bytes: bytes as number };
}

interface Entry { name: string; bytes: number }

/** The plain files of a tar, one after the other; anything that is no plain file is refused. */
class TarCursor {
  readonly #parts: AsyncIterator<Uint8Array>;
  #part: Uint8Array = new Uint8Array(0);
  #at = 0;

  constructor(parts: AsyncIterable<Uint8Array>) {
    this.#parts = parts[Symbol.asyncIterator]();
  }

  async file(name: string, bytesMax: number): Promise<Uint8Array> {
    const entry = await this.next();
    if (entry.name !== name) throw damaged(`it has no ${name} where that belongs`);
    if (entry.bytes > bytesMax) throw damaged(`its ${name} is too long`);
    return this.data(entry.bytes);
  }

  async next(): Promise<Entry> {
    const head = await this.#take(512);
    if (head.every((byte) => byte === 0)) throw damaged('it is cut off');
    if (!isTar(head)) throw damaged('a header has a wrong checksum');
    const name = head.subarray(0, 100);
    const end = name.indexOf(0);
    const plain = (head[156] === 0x30 || head[156] === 0) && head[345] === 0 && end > 0;
    const digits = new TextDecoder().decode(head.subarray(124, 135));
    if (!plain || !/^[0-7]{11}$/.test(digits)) {
      throw damaged('it holds something that is no plain file');
    }
    return { name: new TextDecoder().decode(name.subarray(0, end)), bytes: parseInt(digits, 8) };
  }

  /** The caller has bounded `count`. */
  async data(count: number): Promise<Uint8Array> {
    const bytes = await this.#take(count);
    await this.#take((512 - (count % 512)) % 512);
    return bytes;
  }

  /** Zeros to the end, and not many. */
  async end(): Promise<void> {
    let trail = 0;
    for (let rest = this.#part.subarray(this.#at); ; ) {
      trail += rest.length;
      if (trail > trailBytesMax || rest.some((byte) => byte !== 0)) {
        throw damaged('something follows its end');
      }
      const more = await this.#parts.next();
      if (more.done) break;
      rest = more.value;
    }
    if (trail < 1024) throw damaged('it is cut off');
  }

  async close(): Promise<void> {
    await this.#parts.return?.();
  }

  async #take(count: number): Promise<Uint8Array> {
    const out = new Uint8Array(count);
    let done = 0;
    while (done < count) {
      if (this.#at === this.#part.length) {
        const more = await this.#parts.next();
        if (more.done) throw damaged('it is cut off');
        this.#part = more.value;
        this.#at = 0;
      }
      const part = Math.min(count - done, this.#part.length - this.#at);
      out.set(this.#part.subarray(this.#at, this.#at + part), done);
      this.#at += part;
      done += part;
    }
    return out;
  }
}
