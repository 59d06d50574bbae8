/**
 * A file as a `ByteSource`: `await openFile(path)`, `read`, `close`. Regular files only; the size
 * is the size at opening, and a file that shrinks meanwhile is a `bad-input` refusal.
 */
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { basename } from 'node:path';
import { Refusal } from '../../base/refusal.ts';
import { printable } from '../bytes.ts';
import { checkRange, type ByteSource } from '../source.ts';

export class FileSource implements ByteSource {
  readonly path: string;
  readonly size: number;
  /** What the file really occupies on its disk. */
  readonly allocatedBytes: number;
  readonly handle: FileHandle;

  constructor(path: string, handle: FileHandle, size: number, allocatedBytes: number) {
    this.path = path;
    this.handle = handle;
    this.size = size;
    this.allocatedBytes = allocatedBytes;
  }

  async read(position: number, length: number): Promise<Uint8Array> {
    checkRange(this.size, position, length);
    const bytes = new Uint8Array(length);
    let done = 0;
    while (done < length) {
      const { bytesRead } = await this.handle.read(bytes, done, length - done, position + done);
      if (bytesRead === 0) throw new Refusal('bad-input', 'The file became shorter while read.');
      done += bytesRead;
    }
    return bytes;
  }

  close(): Promise<void> {
    return this.handle.close();
  }
}

export async function openFile(path: string): Promise<FileSource> {
  const name = `"${printable(basename(path))}"`;
  let handle: FileHandle;
  try {
    // Without O_NONBLOCK, opening a named pipe would wait for a writer for ever.
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (thrown) {
    throw openRefusal(thrown, name);
  }
  try {
    const status = await handle.stat();
    if (status.isDirectory()) throw new Refusal('unsupported', `${name} is a folder, not a file.`);
    if (!status.isFile()) throw new Refusal('unsupported', `${name} is not a regular file.`);
    return new FileSource(path, handle, status.size, status.blocks * 512);
  } catch (thrown) {
    await handle.close();
    throw thrown;
  }
}

function openRefusal(thrown: unknown, name: string): unknown {
  switch ((thrown as NodeJS.ErrnoException).code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return new Refusal('not-found', `There is no file ${name}.`);
    case 'EACCES':
    case 'EPERM':
      return new Refusal('denied', `The file ${name} may not be read.`);
    case 'ENXIO':
      return new Refusal('unsupported', `${name} is not a regular file.`);
    default:
      return thrown;
  }
}
