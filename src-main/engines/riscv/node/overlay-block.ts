/**
 * An overlay of ours as a disk: sectors that were written are in it, all others in the read-only
 * image beneath (format: `machine/cow.ts`). A sector counts as written only when its data is in
 * the file, so what a killed machine leaves is always whole; flush makes both durable.
 */
import { closeSync, fdatasync, openSync } from 'node:fs';
import { promisify } from 'node:util';
import { cowHeaderBytes, cowLayout, parseCowHeader } from '../../../machine/cow.ts';
import type { BlockPort } from '../ports.ts';
import { readWhole, writeWhole } from './whole.ts';

const sync = promisify(fdatasync);
const sectorBytes = 512;

export class OverlayBlock implements BlockPort {
  readonly sectorCount: number;
  readonly readOnly = false;
  private readonly overlay: number;
  private readonly backing: number;
  private readonly bitmap: Uint8Array;
  private readonly layout: ReturnType<typeof cowLayout>;

  /** @throws Refusal `bad-input` for a damaged overlay. */
  constructor(path: string, backing: string) {
    this.overlay = openSync(path, 'r+');
    const header = new Uint8Array(cowHeaderBytes);
    readWhole(this.overlay, header, 0);
    const { backingBytes } = parseCowHeader(header);
    this.sectorCount = Math.floor(backingBytes / sectorBytes);
    this.layout = cowLayout(backingBytes);
    this.bitmap = new Uint8Array(this.layout.bitmapBytes);
    readWhole(this.overlay, this.bitmap, this.layout.bitmapAt);
    this.backing = openSync(backing, 'r');
  }

  read(sector: number, into: Uint8Array): void {
    const end = sector + into.length / sectorBytes;
    for (let from = sector; from < end; ) {
      const here = this.isHere(from);
      let to = from + 1;
      while (to < end && this.isHere(to) === here) to++;
      const part = into.subarray((from - sector) * sectorBytes, (to - sector) * sectorBytes);
      const position = from * sectorBytes + (here ? this.layout.dataAt : 0);
      readWhole(here ? this.overlay : this.backing, part, position);
      from = to;
    }
  }

  write(sector: number, from: Uint8Array): void {
    writeWhole(this.overlay, from, this.layout.dataAt + sector * sectorBytes);
    const first = sector >> 3;
    const last = (sector + from.length / sectorBytes - 1) >> 3;
    let changed = false;
    for (let n = sector; n < sector + from.length / sectorBytes; n++) {
      if (this.isHere(n)) continue;
      this.bitmap[n >> 3] = this.bitmap[n >> 3]! | (1 << (n & 7));
      changed = true;
    }
    if (!changed) return;
    const bytes = this.bitmap.subarray(first, last + 1);
    writeWhole(this.overlay, bytes, this.layout.bitmapAt + first);
  }

  flush(): Promise<void> {
    return sync(this.overlay);
  }

  /** Blocks stay: what an overlay gives up would show the image beneath again. */
  discard(): void {}

  close(): void {
    closeSync(this.overlay);
    closeSync(this.backing);
  }

  private isHere(sector: number): boolean {
    return ((this.bitmap[sector >> 3]! >> (sector & 7)) & 1) !== 0;
  }
}
