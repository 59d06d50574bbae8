/**
 * A file someone gives us becomes a plain disk: `importImage({ path, directory })` recognises it,
 * converts it and leaves `disk.raw` in `directory`, sparse, synced and read-only.
 *
 * `openImage` is the same in two steps, for a sheet between them: it reports what is in the file,
 * and keeps what it unpacked on the way; then `save` or `close`.
 *
 * Must hold: the given file is never written; a cancelled, refused or failed import leaves
 * nothing behind; the disk appears under its name only when it is complete.
 */
import { dirname, join } from 'node:path';
import { Refusal } from '../../base/refusal.ts';
import { inspect, type ImageReport, type Inspection } from '../detect.ts';
import { recognise } from '../magic.ts';
import type { ByteSource } from '../source.ts';
import { codecs, unwrap } from './codecs.ts';
import { FileSource, openFile } from './file-source.ts';
import {
  asSpaceRefusal, createFile, realHost, requireSpace, type NewFile,
} from './new-file.ts';
import { buildRootfs } from './rootfs.ts';
import {
  copySource, spaceLeft, SparseWriter, throwIfCancelled, tryReflink, type WorkOptions,
} from './sparse.ts';

export interface ImportOptions extends WorkOptions {
  /** The file to import. */
  path: string;
  /** An existing folder; the disk and everything temporary stay inside. */
  directory: string;
  /** The name of the disk in `directory`; `disk.raw` when left out. */
  name?: string;
}

export interface Imported {
  report: ImageReport;
  rawPath: string;
}

export interface OpenedImage {
  readonly report: ImageReport;
  /** Writes the disk to `directory/name`. Once; `close` must follow whatever happens. */
  save(): Promise<string>;
  /** Takes away everything temporary. */
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
  const file = await openFile(options.path);
  const rawPath = join(options.directory, options.name ?? 'disk.raw');
  const layers: string[] = [];
  let source: FileSource | SpoolSource = file;
  try {
    for (;;) {
      throwIfCancelled(options.signal);
      if (source.size === 0) throw new Refusal('bad-input', 'The file is empty.');
      const found = await recognise(source);
      if (found.kind !== 'wrapper' || layers.length === wrappersMax) break;
      const inner: SpoolSource = await spool(source, found.wrapper, rawPath, options);
      if (source !== file) await source.close();
      source = inner;
      layers.push(found.wrapper);
    }
    const inspection = await inspect(source, {
      codecs, layers,
      storedBytes: file.size,
      signal: options.signal,
      onProgress: (position) => options.onProgress?.(position, source.size, 'looking inside'),
    });
    return new Opened(file, source, inspection, rawPath, options);
  } catch (thrown) {
    if (source !== file) await source.close();
    await file.close();
    throw thrown;
  }
}

/** A temporary file that was unpacked on the way, and is read like any other source. */
class SpoolSource implements ByteSource {
  readonly size: number;
  readonly file: NewFile;
  readonly #reader: FileSource;

  constructor(file: NewFile, size: number) {
    this.file = file;
    this.size = size;
    this.#reader = new FileSource(file.temporaryPath, file.handle, size, size);
  }

  read(position: number, length: number): Promise<Uint8Array> {
    return this.#reader.read(position, length);
  }

  close(): Promise<void> {
    return this.file.abandon();
  }
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
    throw asSpaceRefusal(thrown);
  }
}

class Opened implements OpenedImage {
  readonly report: ImageReport;
  readonly #file: FileSource;
  readonly #source: FileSource | SpoolSource;
  readonly #inspection: Inspection;
  readonly #rawPath: string;
  readonly #options: ImportOptions;
  #made: NewFile | undefined;

  constructor(
    file: FileSource, source: FileSource | SpoolSource, inspection: Inspection, rawPath: string,
    options: ImportOptions,
  ) {
    this.report = inspection.report;
    this.#file = file;
    this.#source = source;
    this.#inspection = inspection;
    this.#rawPath = rawPath;
    this.#options = options;
  }

  async save(): Promise<string> {
    throwIfCancelled(this.#options.signal);
    this.#made = await this.#make();
    throwIfCancelled(this.#options.signal);
    // Read-only: an imported image is never written, each machine has its overlay.
    await this.#made.finish(0o444);
    return this.#rawPath;
  }

  async close(): Promise<void> {
    await this.#made?.abandon();
    if (this.#source !== this.#file) await this.#source.close();
    await this.#file.close();
  }

  async #make(): Promise<NewFile> {
    const { disk, tar } = this.#inspection;
    if (tar) return buildRootfs(disk, tar, this.#rawPath, this.#options);
    const isPlain = disk === this.#source;
    if (isPlain && this.#source instanceof SpoolSource) {
      await this.#source.file.handle.truncate(Math.ceil(disk.size / 512) * 512);
      return this.#source.file; // what was unpacked is the disk already
    }
    if (isPlain) {
      const cloned = await this.#clone();
      if (cloned) return cloned;
    }
    return this.#convert(disk, isPlain ? 'copying' : 'converting');
  }

  async #clone(): Promise<NewFile | undefined> {
    const file = await tryReflink(`/proc/self/fd/${this.#file.handle.fd}`, this.#rawPath);
    if (file && this.#file.size % 512 !== 0) {
      await file.handle.truncate(Math.ceil(this.#file.size / 512) * 512);
    }
    return file;
  }

  async #convert(disk: ByteSource, step: string): Promise<NewFile> {
    const host = this.#options.host ?? realHost;
    // A qcow2 never unpacks to less than its own clusters; a raw file to what it occupies.
    const least = Math.min(disk.size, this.#file.allocatedBytes);
    await requireSpace(dirname(this.#rawPath), least, host);
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

