/** A raw image file as a disk: reads and writes at offsets, flush is fdatasync. */
import { closeSync, fdatasync, fstatSync, openSync } from 'node:fs';
import { promisify } from 'node:util';
import { DiskPort, diskWords, type OpenDisk } from './open-disk.ts';
import { readWhole, writeWhole } from './whole.ts';

const sync = promisify(fdatasync);

export function openFile(path: string, readOnly: boolean): OpenDisk {
  const descriptor = openSync(path, readOnly ? 'r' : 'r+');
  const sectorCount = Math.floor(fstatSync(descriptor).size / 512);
  return { descriptor, sectorCount, readOnly, words: diskWords() };
}

export class FileBlock extends DiskPort {
  read(sector: number, into: readonly Uint8Array[]): void {
    readWhole(this.disk.descriptor, into, sector * 512);
  }

  write(sector: number, from: readonly Uint8Array[]): void {
    writeWhole(this.disk.descriptor, from, sector * 512);
  }

  flush(): Promise<void> {
    return sync(this.disk.descriptor);
  }

  /** A raw file keeps its blocks; discarding is advice. */
  discard(): void {}

  close(): void {
    this.closeForAll();
    closeSync(this.disk.descriptor);
  }
}
