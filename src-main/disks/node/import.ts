/**
 * A file someone gives us becomes a plain disk: `importImage({ path, directory })` recognises it,
 * converts it and leaves `disk.raw` in `directory`, sparse, synced and read-only.
 *
 * `openImage` is the same in steps, for a sheet between them: it reports what is in the file; then
 * `save`, or `keep` what it unpacked for a later call with `unpacked`; in the end `close`.
 *
 * Must hold: the given file is never written; a cancelled, refused or failed import leaves
 * nothing behind; the disk appears under its name only when it is complete.
 */
import { open, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { spaceRefusal } from '../../base/node/files.ts';
import { Refusal } from '../../base/refusal.ts';
import { inspect, type ImageReport, type Inspection } from '../detect.ts';
import { recognise } from '../magic.ts';
import type { ByteSource } from '../source.ts';
import { BackingFiles } from './backing.ts';
import { codecs, unwrap } from './codecs.ts';
import { FileSource, openFile } from './file-source.ts';
import { createFile, NewFile, realHost, requireSpace } from './new-file.ts';
import { buildRootfs } from './rootfs.ts';
import {
  copySource, spaceLeft, SparseWriter, throwIfCancelled, tryReflink, type WorkOptions,
} from './sparse.ts';

/** What `keep` leaves in the folder: the plain bytes of a compressed file. */
export interface Unpacked {
  path: string;
  /** The compressions that were taken off, outermost first. */
  layers: string[];
  /** The size of the file as it came. */
  storedBytes: number;
}

export interface ImportOptions extends WorkOptions {
  /** The file to import. */
  path: string;
  /** An existing folder; the disk and everything temporary stay inside. */
  directory: string;
  /** The name of the disk in `directory`; `disk.raw` when left out. */
  name?: string;
  /** From an earlier `keep` in the same folder; used up by this call, whatever happens. */
  unpacked?: Unpacked;
  /** Whether the owner agreed that the files which this one builds on are read as well. */
  withBacking?: boolean;
}

export interface Imported {
  report: ImageReport;
  rawPath: string;
}

export interface OpenedImage {
  readonly report: ImageReport;
  /** Writes the disk to `directory/name`. Once; `close` must follow whatever happens. */
  save(): Promise<string>;
  /** What was unpacked stays, for another call; undefined where the file was plain. */
  keep(): Promise<Unpacked | undefined>;
  /** Takes away everything temporary that is not kept. */
  close(): Promise<void>;
}

const wrappersMax = 3;
const plainBytesMax = 4 * 2 ** 40; // what one compressed file may become, holes included

export async function importImage(options: ImportOptions): Promise<Imported> {
  const image = await openImage(options);
  try {
    return { report: image.report, rawPath: await image.save() };
  } finally {
    await image.close();
  }
}

/** Recognises the file; compressed ones are unpacked into a sparse temporary file first. */
export async function openImage(options: ImportOptions): Promise<OpenedImage> {
  const rawPath = join(options.directory, options.name ?? 'disk.raw');
  const { unpacked } = options;
  const layers = unpacked?.layers.slice() ?? [];
  let source = unpacked ? await takeUp(unpacked, rawPath) : await openFile(options.path);
  const storedBytes = unpacked?.storedBytes ?? source.size;
  const backing = new BackingFiles(options.path, codecs);
  try {
    for (;;) {
      throwIfCancelled(options.signal);
      if (source.size === 0) throw new Refusal('bad-input', 'The file is empty.');
      const found = await recognise(source);
      if (found.kind !== 'wrapper' || layers.length === wrappersMax) break;
      const inner: SpoolSource = await spool(source, found.wrapper, rawPath, options);
      await source.close();
      source = inner;
      layers.push(found.wrapper);
    }
    const inspection = await inspect(source, {
      codecs, storedBytes,
      layers: layers.slice(),
      ...(options.withBacking ? { lend: (name) => backing.lend(name) } : {}),
      signal: options.signal,
      onProgress: (position) => options.onProgress?.(position, source.size, 'looking inside'),
    });
    if (backing.names.length > 0) inspection.report.backing = backing.names;
    return new Opened(source, inspection, rawPath, options, layers, backing);
  } catch (thrown) {
    await backing.close();
    await source.close();
    throw thrown;
  }
}

/** A temporary file that was unpacked on the way, and is read like any other source. */
class SpoolSource implements ByteSource {
  readonly size: number;
  readonly file: NewFile;
  readonly #reader: FileSource;
  #kept = false;

  constructor(file: NewFile, size: number) {
    this.file = file;
    this.size = size;
    this.#reader = new FileSource(file.temporaryPath, file.handle, size, size);
  }

  read(position: number, length: number): Promise<Uint8Array> {
    return this.#reader.read(position, length);
  }

  /** Lets go of the file without taking it away. */
  async keep(): Promise<string> {
    this.#kept = true;
    await this.file.handle.close();
    return this.file.temporaryPath;
  }

  async close(): Promise<void> {
    if (!this.#kept) await this.file.abandon();
  }
}

async function takeUp(unpacked: Unpacked, rawPath: string): Promise<FileSource | SpoolSource> {
  const { size } = await stat(unpacked.path);
  const handle = await open(unpacked.path, 'r+');
  return new SpoolSource(new NewFile(rawPath, unpacked.path, handle), size);
}

async function spool(
  source: ByteSource, wrapper: 'gzip' | 'xz' | 'zstd' | 'bzip2', rawPath: string,
  options: ImportOptions,
): Promise<SpoolSource> {
  const host = options.host ?? realHost;
  const directory = dirname(rawPath);
  await requireSpace(directory, source.size, host);
  const file = await createFile(rawPath);
  try {
    const writer = new SparseWriter(file.handle, await spaceLeft(directory, host), host);
    const step = `unpacking ${wrapper}`;
    const onRead = (position: number): void => options.onProgress?.(position, source.size, step);
    let plain = 0;
    let checkedAt = 0;
    for await (const part of unwrap(source, wrapper, { signal: options.signal, onRead })) {
      throwIfCancelled(options.signal);
      plain += part.length;
      if (plain > plainBytesMax) {
        throw new Refusal('unsupported', 'This file unpacks to more than 4 TiB.');
      }
      await writer.write(part);
      // Others write to the same disk: look again after each GiB that could have been written.
      if (plain - checkedAt > 2 ** 30) {
        checkedAt = plain;
        await requireSpace(directory, 0, host);
      }
    }
    await writer.end();
    await file.handle.truncate(plain); // a tar or qcow2 inside has exactly its own length
    return new SpoolSource(file, plain);
  } catch (thrown) {
    await file.abandon();
    throw spaceRefusal(thrown);
  }
}

class Opened implements OpenedImage {
  readonly report: ImageReport;
  readonly #source: FileSource | SpoolSource;
  readonly #inspection: Inspection;
  readonly #rawPath: string;
  readonly #options: ImportOptions;
  readonly #layers: string[];
  readonly #backing: BackingFiles;
  #made: NewFile | undefined;

  constructor(
    source: FileSource | SpoolSource, inspection: Inspection, rawPath: string,
    options: ImportOptions, layers: string[], backing: BackingFiles,
  ) {
    this.report = inspection.report;
    this.#source = source;
    this.#inspection = inspection;
    this.#rawPath = rawPath;
    this.#options = options;
    this.#layers = layers;
    this.#backing = backing;
  }

  async save(): Promise<string> {
    throwIfCancelled(this.#options.signal);
    if (this.#inspection.incomplete) throw this.#inspection.incomplete;
    this.#made = await this.#make();
    throwIfCancelled(this.#options.signal);
    // Read-only: an imported image is never written, each machine has its overlay.
    await this.#made.finish(0o444);
    return this.#rawPath;
  }

  async keep(): Promise<Unpacked | undefined> {
    if (!(this.#source instanceof SpoolSource)) return undefined;
    const { storedBytes } = this.report;
    return { path: await this.#source.keep(), layers: this.#layers, storedBytes };
  }

  async close(): Promise<void> {
    await this.#made?.abandon();
    await this.#backing.close();
    await this.#source.close();
  }

  async #make(): Promise<NewFile> {
    const { disk, tar } = this.#inspection;
    if (tar) return buildRootfs(disk, tar, this.#rawPath, this.#options);
    if (disk !== this.#source) return this.#convert(disk, 'converting');
    if (this.#source instanceof SpoolSource) {
      await this.#source.file.handle.truncate(Math.ceil(disk.size / 512) * 512);
      return this.#source.file; // what was unpacked is the disk already
    }
    return (await this.#clone(this.#source)) ?? this.#convert(disk, 'copying');
  }

  async #clone(source: FileSource): Promise<NewFile | undefined> {
    const file = await tryReflink(`/proc/self/fd/${source.handle.fd}`, this.#rawPath);
    if (file && source.size % 512 !== 0) {
      await file.handle.truncate(Math.ceil(source.size / 512) * 512);
    }
    return file;
  }

  async #convert(disk: ByteSource, step: string): Promise<NewFile> {
    const host = this.#options.host ?? realHost;
    // A qcow2 never unpacks to less than its own clusters; a raw file to what it occupies.
    const source = this.#source;
    const occupied = source instanceof FileSource ? source.allocatedBytes : this.report.storedBytes;
    await requireSpace(dirname(this.#rawPath), Math.min(disk.size, occupied), host);
    const file = await createFile(this.#rawPath);
    try {
      await copySource(disk, file, step, this.#options);
      return file;
    } catch (thrown) {
      await file.abandon();
      throw thrown;
    }
  }
}
