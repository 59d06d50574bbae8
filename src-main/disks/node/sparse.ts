/**
 * Sparse files: written with holes where there are only zeros, copied as reflinks where the file
 * system can, and measured by what they really occupy.
 *
 * `SparseWriter` appends parts of any size; `copySource` writes a whole source through it;
 * `copySparse` copies a file; `createBlankDisk` makes an empty one; `fileSizes` measures.
 *
 * Must hold: a copy has the same bytes as its source; a cancelled or failed one leaves no file.
 */
import { constants } from 'node:fs';
import { copyFile, open, stat, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { spaceRefusal } from '../../base/node/files.ts';
import { Refusal } from '../../base/refusal.ts';
import { diskBytesMax } from '../qcow2.ts';
import { isSparse, type ByteSource } from '../source.ts';
import { openFile } from './file-source.ts';
import {
  createFile, NewFile, realHost, refuseExisting, requireSpace, reserveBytes,
  temporaryName, type DiskHost,
} from './new-file.ts';

export interface WorkOptions {
  signal?: AbortSignal;
  /** `total` is undefined where it cannot be known; `step` is a word or two for a person. */
  onProgress?: (doneBytes: number, totalBytes: number | undefined, step: string) => void;
  host?: DiskHost;
}

const blockBytes = 4096; // the grain of holes on the file systems that matter
const bufferBytes = 1024 * 1024;
const zeros = Buffer.alloc(bufferBytes);

/** Appends to a new file, leaving holes for blocks of zeros. */
export class SparseWriter {
  readonly #handle: FileHandle;
  readonly #host: DiskHost;
  #left: number;
  readonly #buffer = Buffer.alloc(bufferBytes);
  #filled = 0;
  #flushed = 0;

  /** `bytesMax`: how many bytes that are not holes may be written. */
  constructor(handle: FileHandle, bytesMax: number, host: DiskHost = realHost) {
    this.#handle = handle;
    this.#host = host;
    this.#left = bytesMax;
  }

  get position(): number {
    return this.#flushed + this.#filled;
  }

  async write(part: Uint8Array): Promise<void> {
    let at = 0;
    while (at < part.length) {
      const count = Math.min(part.length - at, bufferBytes - this.#filled);
      this.#buffer.set(part.subarray(at, at + count), this.#filled);
      this.#filled += count;
      at += count;
      if (this.#filled === bufferBytes) await this.#flush();
    }
  }

  /** Moves on over `count` zeros without writing them. */
  async skip(count: number): Promise<void> {
    const inBuffer = Math.min(count, (bufferBytes - this.#filled) % bufferBytes);
    await this.write(zeros.subarray(0, inBuffer));
    const whole = Math.floor((count - inBuffer) / bufferBytes) * bufferBytes;
    if (whole > 0) this.#flushed += whole; // the buffer is empty here
    await this.write(zeros.subarray(0, count - inBuffer - whole));
  }

  /** Writes what is left and sets the file's length, rounded up to whole sectors. */
  async end(): Promise<number> {
    await this.#flush();
    const bytes = Math.ceil(this.#flushed / 512) * 512;
    await this.#handle.truncate(bytes);
    return bytes;
  }

  async #flush(): Promise<void> {
    const { length } = this.#buffer;
    const filled = this.#filled;
    for (let at = 0; at < filled;) {
      if (this.#isZero(at, Math.min(at + blockBytes, filled))) {
        at += blockBytes;
        continue;
      }
      let end = at + blockBytes;
      while (end < filled && !this.#isZero(end, Math.min(end + blockBytes, filled))) {
        end += blockBytes;
      }
      end = Math.min(end, filled, length);
      this.#left -= end - at;
      if (this.#left < 0) {
        throw new Refusal('no-space', 'There is not enough space for what is in this file; ' +
          'nothing was kept.');
      }
      await this.#host.writeAt(this.#handle, this.#buffer.subarray(at, end), this.#flushed + at);
      at = end;
    }
    this.#flushed += filled;
    this.#filled = 0;
  }

  #isZero(from: number, to: number): boolean {
    return this.#buffer.compare(zeros, 0, to - from, from, to) === 0;
  }
}

export function throwIfCancelled(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new Refusal('cancelled', 'Cancelled.');
}

/** How many bytes may still be written into the directory, with the reserve kept. */
export async function spaceLeft(directory: string, host: DiskHost): Promise<number> {
  return Math.max(0, (await host.freeBytes(directory)) - reserveBytes);
}

/** Writes all of `source` into a new file; the caller finishes or abandons the file. */
export async function copySource(
  source: ByteSource, file: NewFile, step: string, options: WorkOptions = {},
): Promise<void> {
  const host = options.host ?? realHost;
  const writer = new SparseWriter(file.handle, await spaceLeft(dirname(file.path), host), host);
  try {
    let at = 0;
    while (at < source.size) {
      throwIfCancelled(options.signal);
      let run = { length: source.size - at, zero: false };
      if (isSparse(source)) run = await source.run(at);
      if (run.zero) {
        await writer.skip(run.length);
      } else {
        run.length = Math.min(run.length, bufferBytes);
        await writer.write(await source.read(at, run.length));
      }
      at += run.length;
      options.onProgress?.(at, source.size, step);
    }
    await writer.end();
  } catch (thrown) {
    throw spaceRefusal(thrown);
  }
}

/**
 * A new file as a reflink of `sourcePath`, if the file system can; undefined otherwise. The copy
 * costs neither time nor space there.
 */
export async function tryReflink(sourcePath: string, path: string): Promise<NewFile | undefined> {
  await refuseExisting(path);
  const temporary = temporaryName(path);
  const mode = constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE_FORCE;
  try {
    await copyFile(sourcePath, temporary, mode);
  } catch {
    return undefined; // not this file system, or two of them; the caller copies bytes
  }
  return new NewFile(path, temporary, await open(temporary, 'r+'));
}

/** Copies a file, sparse or reflinked; the target must not exist. */
export async function copySparse(
  sourcePath: string, path: string, options: WorkOptions & { mode?: number } = {},
): Promise<void> {
  const source = await openFile(sourcePath);
  try {
    let file = await tryReflink(`/proc/self/fd/${source.handle.fd}`, path);
    if (!file) {
      const most = Math.min(source.size, source.allocatedBytes);
      await requireSpace(dirname(path), most, options.host);
      file = await createFile(path);
      try {
        await copySource(source, file, 'copying', options);
        await file.handle.truncate(source.size);
      } catch (thrown) {
        await file.abandon();
        throw thrown;
      }
    }
    await file.finish(options.mode ?? 0o600);
  } finally {
    await source.close();
  }
}

/** A disk of zeros, all hole; `bytes` is rounded up to whole sectors, 1 MiB to 16 TiB. */
export async function createBlankDisk(path: string, bytes: number): Promise<void> {
  if (!Number.isSafeInteger(bytes) || bytes < 2 ** 20 || bytes > diskBytesMax) {
    throw new Refusal('usage', 'A disk has between 1 MiB and 16 TiB.');
  }
  await requireSpace(dirname(path), 2 ** 20);
  const file = await createFile(path);
  try {
    await file.handle.truncate(Math.ceil(bytes / 512) * 512);
  } catch (thrown) {
    await file.abandon();
    throw spaceRefusal(thrown);
  }
  await file.finish(0o600);
}

export interface FileSizes {
  /** What a machine sees. */
  virtualBytes: number;
  /** What the file occupies on its disk. */
  realBytes: number;
}

export async function fileSizes(path: string): Promise<FileSizes> {
  const { size, blocks } = await stat(path);
  return { virtualBytes: size, realBytes: blocks * 512 };
}
