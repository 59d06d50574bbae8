/** A raw image file as a disk: reads and writes at offsets, flush is fdatasync. */
import { closeSync, fdatasync, fstatSync, openSync } from 'node:fs';
import { promisify } from 'node:util';
import type { BlockPort } from '../ports.ts';
import { readWhole, writeWhole } from './whole.ts';

const sync = promisify(fdatasync);

export function fileBlock(path: string, readOnly: boolean): BlockPort & { close(): void } {
  const fd = openSync(path, readOnly ? 'r' : 'r+');
  const sectorCount = Math.floor(fstatSync(fd).size / 512);
  return {
    sectorCount,
    readOnly,
    read: (sector, into) => readWhole(fd, into, sector * 512),
    write: (sector, from) => writeWhole(fd, from, sector * 512),
    flush: () => sync(fd),
    // A raw file keeps its blocks; discarding is advice.
    discard: () => undefined,
    close: () => closeSync(fd),
  };
}
