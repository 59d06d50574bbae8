/**
 * QEMU's qcow2 images, versions 2 and 3, read-only: `openQcow2(source, codecs)` gives the disk
 * inside as a `SparseSource`.
 *
 * Handled: cluster sizes 512 bytes to 2 MiB, compressed clusters (deflate, zstd), zero clusters,
 * extended L2 entries with subclusters, a dirty (not closed) image; internal snapshots are left
 * aside, the active state is read. Refused with a sentence: encryption, an external data file, the
 * corrupt mark, feature bits we do not know. A backing file is named in the header and never
 * opened here: the caller lends it as a source, or `openQcow2` refuses.
 *
 * Must hold: tables are checked against the file before use, and at most 32 MiB of tables and a
 * few decoded clusters are kept, whatever the header claims. (qemu docs/interop/qcow2.txt)
 */
import { Refusal } from '../base/refusal.ts';
import { humanBytes, printable, textOf, u64, viewOf } from './bytes.ts';
import type { Codecs } from './codec.ts';
import { checkRange, type ByteSource, type SparseSource } from './source.ts';

export const diskBytesMax = 16 * 2 ** 40; // the largest file on ext4, and beyond any import

const tableBytesMax = 32 * 2 ** 20; // also QEMU's own limit for the L1 table
const l2CacheBytes = 16 * 2 ** 20;
const offsetMask = 0x00fffffffffffe00n;
const compressedFlag = 1n << 62n;
const extensionBytesMax = 64 * 1024;

/** The file that an image builds on, as its header names it: a hostile string. */
export interface BackingName {
  name: string;
  /** As the image says, such as raw or qcow2; undefined when it does not. */
  format?: string;
}

export interface Qcow2Header {
  version: 2 | 3;
  virtualBytes: number;
  clusterBits: number;
  l1Position: number;
  l1Entries: number;
  extendedL2: boolean;
  compression: 'deflate' | 'zstd';
  dirty: boolean;
  snapshots: number;
  backing?: BackingName;
}

/** Reads and judges the header; throws the refusal that the image deserves. */
export async function readQcow2Header(source: ByteSource): Promise<Qcow2Header> {
  if (source.size < 72) throw damaged('its header is cut off');
  const head = await source.read(0, Math.min(source.size, 112));
  const view = viewOf(head);
  const version = view.getUint32(4);
  if (view.getUint32(0) !== 0x514649fb) throw damaged('it does not begin with the qcow2 mark');
  if (version === 1) {
    throw new Refusal('unsupported', 'This is an old qcow image (version 1). ' +
      'Convert it with "qemu-img convert -O qcow2" and import the result.');
  }
  if (version !== 2 && version !== 3) {
    throw new Refusal('unsupported', `This qcow2 image has version ${version}; 2 and 3 are known.`);
  }
  if (version === 3 && head.length < 104) throw damaged('its header is cut off');
  if (view.getUint32(32) !== 0) {
    throw new Refusal('unsupported', 'This qcow2 image is encrypted. Decrypt it with ' +
      '"qemu-img convert" and import the result.');
  }
  const features = readFeatures(head, view, version);
  const clusterBits = view.getUint32(20);
  if (clusterBits < 9 || clusterBits > 21) throw damaged('its cluster size is impossible');
  if (features.extendedL2 && clusterBits < 14) throw damaged('its subclusters are too small');
  const virtualBytes = u64(view, 24, false);
  if (virtualBytes > diskBytesMax) {
    throw new Refusal('unsupported', `This qcow2 image claims to be a disk of ` +
      `${humanBytes(virtualBytes)}; at most ${humanBytes(diskBytesMax)} can be imported.`);
  }
  const l1Entries = view.getUint32(36);
  const l1Position = u64(view, 40, false);
  const entryBits = features.extendedL2 ? 4 : 3;
  const needed = Math.ceil(virtualBytes / 2 ** (clusterBits + clusterBits - entryBits));
  if (l1Entries < needed) throw damaged('its first table is too short for the disk');
  if (l1Entries * 8 > tableBytesMax) throw damaged('its first table is impossibly long');
  if (l1Position > source.size - needed * 8) throw damaged('its first table lies behind its end');
  const backing = await readBacking(source, view, 2 ** clusterBits);
  return {
    version, virtualBytes, clusterBits, l1Position, l1Entries: needed, ...features,
    snapshots: view.getUint32(60),
    ...(backing ? { backing } : {}),
  };
}

function damaged(how: string): Refusal {
  return new Refusal('bad-input', `This qcow2 image is damaged: ${how}.`);
}

async function readBacking(
  source: ByteSource, view: DataView, clusterBytes: number,
): Promise<BackingName | undefined> {
  const position = view.getBigUint64(8);
  const length = view.getUint32(16);
  if (position === 0n) return undefined;
  const inside = length > 0 && length <= 1023 && position + BigInt(length) <= BigInt(source.size);
  if (!inside) throw damaged('the name of the file that it builds on is cut off');
  const name = textOf(await source.read(Number(position), length));
  const start = view.getUint32(4) === 2 ? 72 : view.getUint32(100);
  const most = Math.min(source.size, clusterBytes, extensionBytesMax);
  const format = formatIn(await source.read(0, most), start);
  return { name, ...(format === undefined ? {} : { format }) };
}

/** Header extensions: type and length, then the data, each padded to eight bytes. */
function formatIn(head: Uint8Array, start: number): string | undefined {
  const view = viewOf(head);
  for (let at = start; at + 8 <= head.length;) {
    const type = view.getUint32(at);
    const length = view.getUint32(at + 4);
    if (type === 0 || length > head.length - at - 8) return undefined;
    if (type === 0xe2792aca) return textOf(head.subarray(at + 8, at + 8 + Math.min(length, 32)));
    at += 8 + Math.ceil(length / 8) * 8;
  }
  return undefined;
}

/** What is said of an image that needs another file and was not lent it. */
export function backingRefusal({ name }: BackingName): Refusal {
  return new Refusal('unsupported', 'This qcow2 image holds only the changes to another file ' +
    `("${printable(name)}") and is not complete by itself. Merge them with ` +
    '"qemu-img convert -O qcow2", or agree that the other file is read too.');
}

function readFeatures(
  head: Uint8Array, view: DataView, version: number,
): Pick<Qcow2Header, 'extendedL2' | 'compression' | 'dirty'> {
  if (version === 2) return { extendedL2: false, compression: 'deflate', dirty: false };
  const bits = view.getBigUint64(72);
  if (bits & 2n) {
    throw new Refusal('bad-input', 'This qcow2 image is marked as corrupt by the program that ' +
      'last wrote it. Repair it with "qemu-img check -r all" first.');
  }
  if (bits & 4n) {
    throw new Refusal('unsupported', 'This qcow2 image keeps its data in another file. ' +
      'Convert it with "qemu-img convert -O qcow2" and import the result.');
  }
  const unknown = bits & ~0x1fn;
  if (unknown !== 0n) {
    throw new Refusal('unsupported',
      `This qcow2 image uses features that are not known here (0x${unknown.toString(16)}).`);
  }
  const headerBytes = view.getUint32(100);
  if (headerBytes < 104) throw damaged('its header length is wrong');
  // Byte 104 exists only in longer headers, and means something only with incompatible bit 3.
  const type = headerBytes > 104 && head.length > 104 && bits & 8n ? head[104] : 0;
  if (bits & 8n && type === 0) throw damaged('its compression type contradicts itself');
  if (type !== 0 && type !== 1) {
    throw new Refusal('unsupported', 'This qcow2 image is compressed in a way not known here.');
  }
  return {
    extendedL2: (bits & 16n) !== 0n,
    compression: type === 1 ? 'zstd' : 'deflate',
    dirty: (bits & 1n) !== 0n,
  };
}

/** `lend` opens the backing file, where there is one; without it such an image is refused. */
export async function openQcow2(
  source: ByteSource, codecs: Codecs, lend?: (backing: BackingName) => Promise<ByteSource>,
): Promise<Qcow2> {
  const header = await readQcow2Header(source);
  if (header.backing && !lend) throw backingRefusal(header.backing);
  const backing = header.backing && (await lend!(header.backing));
  return new Qcow2(source, codecs, header, backing);
}

type Place =
  | { kind: 'zero' }
  | { kind: 'beneath' } // not here: in the backing file, or zeros where there is none
  | { kind: 'data'; position: number }
  | { kind: 'packed'; position: number; length: number };

/** The disk inside a qcow2 image. */
export class Qcow2 implements SparseSource {
  readonly header: Qcow2Header;
  readonly size: number;
  readonly #source: ByteSource;
  readonly #codecs: Codecs;
  readonly #clusterBytes: number;
  readonly #l2Entries: number;
  readonly #subBytes: number;
  readonly #backing: ByteSource | undefined;
  #l1: Uint8Array | undefined;
  readonly #l2 = new Map<number, DataView>();
  readonly #unpacked = new Map<number, Uint8Array>();

  constructor(source: ByteSource, codecs: Codecs, header: Qcow2Header, backing?: ByteSource) {
    this.#source = source;
    this.#backing = backing;
    this.#codecs = codecs;
    this.header = header;
    this.size = header.virtualBytes;
    this.#clusterBytes = 2 ** header.clusterBits;
    this.#l2Entries = this.#clusterBytes / (header.extendedL2 ? 16 : 8);
    this.#subBytes = header.extendedL2 ? this.#clusterBytes / 32 : this.#clusterBytes;
  }

  async read(position: number, length: number): Promise<Uint8Array> {
    checkRange(this.size, position, length);
    const out = new Uint8Array(length);
    let done = 0;
    while (done < length) {
      const at = position + done;
      const inside = at % this.#subBytes;
      let part = Math.min(length - done, this.#subBytes - inside);
      const table = await this.#l2Of(at);
      const place: Place = table ? this.#place(table, at) : { kind: 'beneath' };
      if (table && place.kind === 'data') {
        part = this.#together(table, at, place.position + inside, part, length - done);
        out.set(await this.#raw(place.position + inside, part), done);
      } else if (place.kind === 'packed') {
        const from = at % this.#clusterBytes;
        out.set((await this.#unpack(place)).subarray(from, from + part), done);
      } else if (place.kind === 'beneath' && this.#backing && at < this.#backing.size) {
        const here = Math.min(part, this.#backing.size - at); // behind its end are zeros
        out.set(await this.#backing.read(at, here), done);
      }
      done += part;
    }
    return out;
  }

  /** How far data that begins with `part` bytes goes on without a gap in the file too. */
  #together(table: DataView, at: number, host: number, part: number, wanted: number): number {
    let length = part;
    const covers = this.#l2Entries * this.#clusterBytes;
    const most = Math.min(wanted, covers - (at % covers));
    while (length < most) {
      const next = this.#place(table, at + length);
      if (next.kind !== 'data' || next.position !== host + length) break;
      length = Math.min(most, length + this.#subBytes);
    }
    return length;
  }

  async run(position: number): Promise<{ length: number; zero: boolean }> {
    checkRange(this.size, position, 1);
    const l2Covers = this.#l2Entries * this.#clusterBytes;
    let at = position;
    let zero: boolean | undefined;
    // One run looks at no more than one L2 table, so that its work stays bounded.
    const end = Math.min(this.size, (Math.floor(position / l2Covers) + 1) * l2Covers);
    const table = await this.#l2Of(position);
    if (!table) return { length: end - position, zero: !this.#backing };
    while (at < end) {
      const { kind } = this.#place(table, at);
      const isZero = kind === 'zero' || (kind === 'beneath' && !this.#backing);
      if (zero === undefined) zero = isZero;
      else if (zero !== isZero) break;
      at = Math.min(end, at - (at % this.#subBytes) + this.#subBytes);
    }
    return { length: at - position, zero: zero ?? true };
  }

  /** Data of an uncompressed cluster. A file may end inside its last cluster: that is zeros. */
  async #raw(position: number, length: number): Promise<Uint8Array> {
    if (position >= this.#source.size) throw damaged('a cluster lies behind its end');
    const here = Math.min(length, this.#source.size - position);
    const bytes = await this.#source.read(position, here);
    if (here === length) return bytes;
    const padded = new Uint8Array(length);
    padded.set(bytes);
    return padded;
  }

  #place(table: DataView, position: number): Place {
    const index = Math.floor(position / this.#clusterBytes) % this.#l2Entries;
    const extended = this.header.extendedL2;
    const entry = table.getBigUint64(index * (extended ? 16 : 8));
    if (entry & compressedFlag) return this.#packed(entry);
    const host = Number(entry & offsetMask);
    if (host % this.#clusterBytes !== 0) throw damaged('a cluster is not aligned');
    const sub = Math.floor((position % this.#clusterBytes) / this.#subBytes);
    if (extended) {
      const bitmap = table.getBigUint64(index * 16 + 8);
      const allocated = (bitmap >> BigInt(sub)) & 1n;
      const zero = (bitmap >> BigInt(32 + sub)) & 1n;
      if (allocated && zero) throw damaged('a subcluster is both data and zeros');
      if (!allocated) return { kind: zero ? 'zero' : 'beneath' };
      if (host === 0) throw damaged('a subcluster has data but no place');
    } else if (this.header.version === 3 && entry & 1n) {
      return { kind: 'zero' };
    } else if (host === 0) {
      return { kind: 'beneath' };
    }
    return { kind: 'data', position: host + sub * this.#subBytes };
  }

  #packed(entry: bigint): Place {
    const bits = BigInt(62 - (this.header.clusterBits - 8));
    const position = Number(entry & ((1n << bits) - 1n));
    const sectors = Number((entry & (compressedFlag - 1n)) >> bits) + 1;
    if (position >= this.#source.size) throw damaged('a compressed cluster lies behind its end');
    const length = sectors * 512 - (position % 512);
    return { kind: 'packed', position, length: Math.min(length, this.#source.size - position) };
  }

  async #unpack(place: { position: number; length: number }): Promise<Uint8Array> {
    const known = this.#unpacked.get(place.position);
    if (known) return known;
    const data = await this.#source.read(place.position, place.length);
    const decode = this.header.compression === 'zstd' ? this.#codecs.zstd : this.#codecs.inflateRaw;
    const cluster = await decode(data, this.#clusterBytes);
    if (cluster.length !== this.#clusterBytes) throw damaged('a compressed cluster is too short');
    dropOldest(this.#unpacked, 4);
    this.#unpacked.set(place.position, cluster);
    return cluster;
  }

  async #l2Of(position: number): Promise<DataView | undefined> {
    const index = Math.floor(position / (this.#l2Entries * this.#clusterBytes));
    this.#l1 ??= await this.#source.read(this.header.l1Position, this.header.l1Entries * 8);
    if (index >= this.header.l1Entries) throw damaged('its first table is too short');
    const table = Number(viewOf(this.#l1).getBigUint64(index * 8) & offsetMask);
    if (table === 0) return undefined;
    const known = this.#l2.get(table);
    if (known) return known;
    if (table % this.#clusterBytes !== 0) throw damaged('a table is not aligned');
    const bytes = await this.#raw(table, this.#clusterBytes);
    dropOldest(this.#l2, Math.max(2, Math.floor(l2CacheBytes / this.#clusterBytes)));
    const view = viewOf(bytes.slice());
    this.#l2.set(table, view);
    return view;
  }
}

function dropOldest<V>(map: Map<number, V>, max: number): void {
  if (map.size < max) return;
  for (const key of map.keys()) {
    map.delete(key);
    return;
  }
}
