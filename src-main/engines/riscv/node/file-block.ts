/** A raw image file as a disk: reads and writes at offsets, flush is fdatasync. */
import { closeSync, fdatasync, fstatSync, openSync, read, write } from 'node:fs';
import { promisify } from 'node:util';
import type { BlockPort } from '../ports.ts';

const readAt = promisify(read);
const writeAt = promisify(write);
const sync = promisify(fdatasync);

export function fileBlock(path: string, readOnly: boolean): BlockPort & { close(): void } {
  const fd = openSync(path, readOnly ? 'r' : 'r+');
  const sectorCount = Math.floor(fstatSync(fd).size / 512);
  return {
    sectorCount,
    readOnly,
    async read(sector, into) {
      const { bytesRead } = await readAt(fd, into, 0, into.length, sector * 512);
      into.fill(0, bytesRead);
    },
    async write(sector, from) {
      for (let done = 0; done < from.length; ) {
        const rest = from.length - done;
        done += (await writeAt(fd, from, done, rest, sector * 512 + done)).bytesWritten;
      }
    },
    flush: () => sync(fd),
    // A raw file keeps its blocks; discarding is advice.
    discard: () => undefined,
    close: () => closeSync(fd),
  };
}
