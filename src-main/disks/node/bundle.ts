/**
 * Machine bundles as files: `packBundle` writes one, `readBundleHead` says what is in one,
 * `unpackBundle` brings its disks into a folder. The format is told in ../bundle.ts.
 *
 * Why whole disks, and not the image and an overlay: a bundle then needs nothing of the host it
 * comes to, neither an image of a certain name nor one with a certain time, and cannot bring an
 * image in under a name that others trust. Cost: two machines of one image carry it twice.
 * Why zstd: a disk packs at the speed it is read at, and Node has it.
 *
 * Must hold: a bundle, and every disk from one, appears whole under its name or not at all; no
 * name that stands in a bundle names a file.
 */
import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { pipeline, Readable } from 'node:stream';
import { constants, createZstdCompress } from 'node:zlib';
import { spaceRefusal } from '../../base/node/files.ts';
import { Refusal } from '../../base/refusal.ts';
import {
  BundleDigests, isBundle, manifestText, pieceBytes, pieceName, readBundle, tarEnd, tarEntry,
  type BundleHead,
} from '../bundle.ts';
import { openCow } from '../cow-source.ts';
import { recognise } from '../magic.ts';
import type { ByteSource } from '../source.ts';
import { unwrap } from './codecs.ts';
import { openFile, type FileSource } from './file-source.ts';
import { createFile, realHost, requireSpace, type NewFile } from './new-file.ts';
import { spaceLeft, SparseWriter, throwIfCancelled, type WorkOptions } from './sparse.ts';

export interface PackedDisk {
  id: string;
  path: string;
  /** The image beneath, when the file is an overlay. */
  backing?: string;
}

export interface PackOptions extends WorkOptions {
  directory: string;
  /** The bundle's name in `directory`, which no file must have. */
  name: string;
  machineName: string;
  machineText: string;
  disks: PackedDisk[];
}

export interface UnpackOptions extends WorkOptions {
  path: string;
  /** Takes a file `ID.raw` for each disk. */
  directory: string;
  /** What was read of it before, and must still be there. */
  head: BundleHead;
}

const sha256 = () => createHash('sha256');
const spaceCheckBytes = 256 * 2 ** 20;

type OpenDisk = { id: string; source: ByteSource; bytes: number };

/** @returns the size of the bundle. */
export async function packBundle(options: PackOptions): Promise<number> {
  const host = options.host ?? realHost;
  const path = join(options.directory, options.name);
  await requireSpace(options.directory, 2 ** 20, host);
  const files: FileSource[] = [];
  let file: NewFile | undefined;
  try {
    const disks: OpenDisk[] = [];
    for (const disk of options.disks) disks.push(await openDisk(disk, files));
    file = await createFile(path);
    let position = 0;
    let checkedAt = 0;
    for await (const part of compressed(tarOf(options, disks))) {
      throwIfCancelled(options.signal);
      await host.writeAt(file.handle, part, position);
      position += part.length;
      if (position - checkedAt < spaceCheckBytes) continue;
      checkedAt = position;
      await requireSpace(options.directory, 0, host);
    }
    // Its disks are its owner's alone.
    await file.finish(0o600);
    return position;
  } catch (thrown) {
    await file?.abandon();
    throw spaceRefusal(thrown);
  } finally {
    for (const source of files) await source.close();
  }
}

async function openDisk({ id, path, backing }: PackedDisk, files: FileSource[]): Promise<OpenDisk> {
  const open = async (name: string): Promise<FileSource> => {
    const file = await openFile(name);
    files.push(file);
    return file;
  };
  const own = await open(path);
  const source = backing === undefined ? own : await openCow(own, await open(backing));
  return { id, source, bytes: Math.ceil(source.size / 512) * 512 };
}

async function* tarOf(options: PackOptions, disks: OpenDisk[]): AsyncGenerator<Uint8Array> {
  const digests = new BundleDigests(sha256, disks);
  const manifest = manifestText({
    name: options.machineName,
    disks: disks.map(({ id, bytes }) => ({ id, bytes })),
  });
  const texts = [['manifest.json', manifest], ['machine.yaml', options.machineText]] as const;
  for (const [name, text] of texts) {
    const bytes = Buffer.from(text);
    digests.text(name, bytes);
    yield* tarEntry(name, bytes);
  }
  const total = disks.reduce((sum, { bytes }) => sum + bytes, 0);
  const zeros = Buffer.alloc(pieceBytes);
  let before = 0;
  for (const { id, source, bytes } of disks) {
    for (let at = 0; at < source.size; at += pieceBytes) {
      throwIfCancelled(options.signal);
      const read = await source.read(at, Math.min(pieceBytes, source.size - at));
      options.onProgress?.(before + at, total, 'packing');
      if (zeros.compare(read, 0, read.length, 0, read.length) === 0) continue;
      const piece = padded(read, Math.min(pieceBytes, bytes - at));
      digests.piece(id, at, piece);
      yield* tarEntry(pieceName(id, at), piece);
    }
    before += bytes;
  }
  yield* tarEntry('digests.json', Buffer.from(digests.toText()));
  yield tarEnd;
}

/** A disk is whole sectors, even where its file is not. */
function padded(bytes: Uint8Array, length: number): Uint8Array {
  if (bytes.length === length) return bytes;
  const out = new Uint8Array(length);
  out.set(bytes);
  return out;
}

async function* compressed(parts: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let fault: unknown;
  const input = Readable.from(parts, { objectMode: false });
  input.on('error', (thrown) => (fault = thrown));
  const params = { [constants.ZSTD_c_checksumFlag]: 1 };
  const encoder = createZstdCompress({ params, chunkSize: 256 * 1024 });
  pipeline(input, encoder, () => {});
  try {
    for await (const part of encoder) yield part as Uint8Array;
  } catch (thrown) {
    throw fault ?? thrown;
  } finally {
    encoder.destroy();
    input.destroy();
  }
}

/** What a bundle holds; undefined for a file that is none. Reads little more than its head. */
export async function readBundleHead(path: string): Promise<BundleHead | undefined> {
  const file = await openFile(path);
  try {
    const found = await recognise(file);
    if (found.kind !== 'wrapper' || found.wrapper !== 'zstd') return undefined;
    if (!isBundle(await firstBytes(file))) return undefined;
    for await (const part of readBundle(unwrap(file, 'zstd'), sha256)) {
      if (part.kind === 'head') return part;
    }
    return undefined;
  } finally {
    await file.close();
  }
}

async function firstBytes(file: FileSource): Promise<Uint8Array> {
  const kept: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const part of unwrap(file, 'zstd')) {
      kept.push(part);
      length += part.length;
      if (length >= 1024) break;
    }
  } catch (thrown) {
    // Damaged before anything could be seen: whoever reads images says how.
    if (!(thrown instanceof Refusal)) throw thrown;
  }
  return Buffer.concat(kept);
}

/** Makes the disks; all of them, or on a refusal none. */
export async function unpackBundle(options: UnpackOptions): Promise<void> {
  const { signal, head } = options;
  const file = await openFile(options.path);
  const disks = new DiskSet(options);
  const onRead = (position: number) => options.onProgress?.(position, file.size, 'unpacking');
  try {
    for await (const part of readBundle(unwrap(file, 'zstd', { signal, onRead }), sha256)) {
      throwIfCancelled(signal);
      if (part.kind === 'piece') await disks.write(part.disk, part.position, part.bytes);
      else if (part.machineText !== head.machineText || !sameDisks(part, head)) {
        throw new Refusal('bad-input', 'This machine bundle changed while it was read.');
      }
    }
    await disks.finish();
  } catch (thrown) {
    await disks.abandon();
    throw spaceRefusal(thrown);
  } finally {
    await file.close();
  }
}

function sameDisks(a: BundleHead, b: BundleHead): boolean {
  return manifestText(a.manifest) === manifestText(b.manifest);
}

/** The disks being written, one after the other. */
class DiskSet {
  readonly #options: UnpackOptions;
  readonly #files: NewFile[] = [];
  #writer: SparseWriter | undefined;

  constructor(options: UnpackOptions) {
    this.#options = options;
  }

  async write(disk: number, position: number, bytes: Uint8Array): Promise<void> {
    while (this.#files.length <= disk) await this.#begin();
    const writer = this.#writer!;
    await writer.skip(position - writer.position);
    await writer.write(bytes);
  }

  async finish(): Promise<void> {
    const { disks } = this.#options.head.manifest;
    while (this.#files.length < disks.length) await this.#begin();
    await this.#complete();
    for (const file of this.#files) await file.finish(0o600);
  }

  async abandon(): Promise<void> {
    for (const file of this.#files) await file.abandon();
  }

  async #begin(): Promise<void> {
    await this.#complete();
    const { directory, head } = this.#options;
    const host = this.#options.host ?? realHost;
    const path = join(directory, `${head.manifest.disks[this.#files.length]!.id}.raw`);
    const file = await createFile(path);
    this.#files.push(file);
    this.#writer = new SparseWriter(file.handle, await spaceLeft(dirname(path), host), host);
  }

  async #complete(): Promise<void> {
    const file = this.#files.at(-1);
    if (!file || !this.#writer) return;
    const { bytes } = this.#options.head.manifest.disks[this.#files.length - 1]!;
    await this.#writer.skip(bytes - this.#writer.position);
    await this.#writer.end();
    this.#writer = undefined;
  }
}
