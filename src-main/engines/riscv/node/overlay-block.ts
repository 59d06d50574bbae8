/**
 * An overlay of ours as a disk: sectors that were written are in it, all others in the read-only
 * image beneath (format: `machine/cow.ts`). A sector counts as written only when its data is in
 * the file, so what a killed machine leaves is always whole; flush makes both durable.
 */
import { closeSync, fdatasync, openSync } from 'node:fs';
import { promisify } from 'node:util';
import { cowHeaderBytes, cowLayout, parseCowHeader } from '../../../machine/cow.ts';
import { DiskPort, diskWords, type OpenDisk, type OpenOverlay } from './open-disk.ts';
import { lengthOf, readWhole, slice, writeWhole } from './whole.ts';

const sync = promisify(fdatasync);
const sectorBytes = 512;

/** @throws Refusal `bad-input` for a damaged overlay. */
export function openOverlay(path: string, backingPath: string): OpenDisk {
  const descriptor = openSync(path, 'r+');
  const header = new Uint8Array(cowHeaderBytes);
  readWhole(descriptor, [header], 0);
  const { backingBytes } = parseCowHeader(header);
  const { bitmapAt, bitmapBytes } = cowLayout(backingBytes);
  const bitmap = new Uint8Array(new SharedArrayBuffer(bitmapBytes));
  readWhole(descriptor, [bitmap], bitmapAt);
  const overlay = { backing: openSync(backingPath, 'r'), backingBytes, bitmap };
  const sectorCount = Math.floor(backingBytes / sectorBytes);
  return { descriptor, sectorCount, readOnly: false, overlay, words: diskWords() };
}

export class OverlayBlock extends DiskPort {
  private readonly overlay: OpenOverlay;
  private readonly layout: ReturnType<typeof cowLayout>;

  constructor(disk: OpenDisk & { overlay: OpenOverlay }) {
    super(disk);
    this.overlay = disk.overlay;
    this.layout = cowLayout(disk.overlay.backingBytes);
  }

  read(sector: number, into: readonly Uint8Array[]): void {
    const end = sector + lengthOf(into) / sectorBytes;
    for (let from = sector; from < end; ) {
      const here = this.isHere(from);
      let to = from + 1;
      while (to < end && this.isHere(to) === here) to++;
      const part = slice(into, (from - sector) * sectorBytes, (to - from) * sectorBytes);
      const position = from * sectorBytes + (here ? this.layout.dataAt : 0);
      readWhole(here ? this.disk.descriptor : this.overlay.backing, part, position);
      from = to;
    }
  }

  write(sector: number, from: readonly Uint8Array[]): void {
    const { bitmap } = this.overlay;
    const { descriptor } = this.disk;
    const end = sector + lengthOf(from) / sectorBytes;
    writeWhole(descriptor, from, this.layout.dataAt + sector * sectorBytes);
    let changed = false;
    for (let n = sector; n < end; n++) {
      if (this.isHere(n)) continue;
      bitmap[n >> 3] = bitmap[n >> 3]! | (1 << (n & 7));
      changed = true;
    }
    if (!changed) return;
    const first = sector >> 3;
    writeWhole(descriptor, [bitmap.subarray(first, ((end - 1) >> 3) + 1)],
      this.layout.bitmapAt + first);
  }

  flush(): Promise<void> {
    return sync(this.disk.descriptor);
  }

  /** Blocks stay: what an overlay gives up would show the image beneath again. */
  discard(): void {}

  close(): void {
    this.closeForAll();
    closeSync(this.disk.descriptor);
    closeSync(this.overlay.backing);
  }

  private isHere(sector: number): boolean {
    return ((this.overlay.bitmap[sector >> 3]! >> (sector & 7)) & 1) !== 0;
  }
}
