/**
 * An overlay of ours as a disk: sectors that were written are in it, all others in the read-only
 * image beneath (format: `machine/cow.ts`). A sector counts as written only when its data is in
 * the file, so what a killed machine leaves is always whole; flush makes both durable.
 */
import { closeSync, fdatasync, openSync, read, readSync, write } from 'node:fs';
import { promisify } from 'node:util';
import { cowHeaderBytes, cowLayout, parseCowHeader } from '../../../machine/cow.ts';
import type { BlockPort } from '../ports.ts';

const readAt = promisify(read);
const writeAt = promisify(write);
const sync = promisify(fdatasync);
const sectorBytes = 512;

export class OverlayBlock implements BlockPort {
  readonly sectorCount: number;
  readonly readOnly = false;
  private readonly overlay: number;
  private readonly backing: number;
  private readonly bitmap: Uint8Array;
  private readonly layout: ReturnType<typeof cowLayout>;
  /** Bitmap writes go one after the other: two that overlap must not land in the wrong order. */
  private marks: Promise<void> = Promise.resolve();

  /** @throws Refusal `bad-input` for a damaged overlay. */
  constructor(path: string, backing: string) {
    this.overlay = openSync(path, 'r+');
    const header = new Uint8Array(cowHeaderBytes);
    readSync(this.overlay, header, 0, header.length, 0);
    const { backingBytes } = parseCowHeader(header);
    this.sectorCount = Math.floor(backingBytes / sectorBytes);
    this.layout = cowLayout(backingBytes);
    this.bitmap = new Uint8Array(this.layout.bitmapBytes);
    readSync(this.overlay, this.bitmap, 0, this.bitmap.length, this.layout.bitmapAt);
    this.backing = openSync(backing, 'r');
  }

  async read(sector: number, into: Uint8Array): Promise<void> {
    const end = sector + into.length / sectorBytes;
    for (let from = sector; from < end; ) {
      const here = this.isHere(from);
      let to = from + 1;
      while (to < end && this.isHere(to) === here) to++;
      const part = into.subarray((from - sector) * sectorBytes, (to - sector) * sectorBytes);
      const position = from * sectorBytes + (here ? this.layout.dataAt : 0);
      await fill(here ? this.overlay : this.backing, part, position);
      from = to;
    }
  }

  async write(sector: number, from: Uint8Array): Promise<void> {
    for (let done = 0; done < from.length; ) {
      const position = this.layout.dataAt + sector * sectorBytes + done;
      const { bytesWritten } = await writeAt(
        this.overlay, from, done, from.length - done, position,
      ); // prettier-ignore
      done += bytesWritten;
    }
    const first = sector >> 3;
    const last = (sector + from.length / sectorBytes - 1) >> 3;
    let changed = false;
    for (let n = sector; n < sector + from.length / sectorBytes; n++) {
      if (this.isHere(n)) continue;
      this.bitmap[n >> 3] = this.bitmap[n >> 3]! | (1 << (n & 7));
      changed = true;
    }
    if (changed) await this.mark(first, last);
  }

  async flush(): Promise<void> {
    await this.marks;
    await sync(this.overlay);
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

  private mark(first: number, last: number): Promise<void> {
    const turn = this.marks.then(async () => {
      const bytes = this.bitmap.slice(first, last + 1);
      await writeAt(this.overlay, bytes, 0, bytes.length, this.layout.bitmapAt + first);
    });
    this.marks = turn.catch(() => undefined);
    return turn;
  }
}

async function fill(fd: number, into: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < into.length; ) {
    const { bytesRead } = await readAt(fd, into, done, into.length - done, position + done);
    if (bytesRead === 0) return void into.fill(0, done);
    done += bytesRead;
  }
}
