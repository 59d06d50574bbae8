/**
 * A disk that can be closed while requests are under way: its file is let go of only when the last
 * of them is done, since the number of a closed file may be another file's a moment later.
 */
import type { BlockPort } from '../ports.ts';

export type OpenBlock = BlockPort & { close(): void };

export class CountedBlock implements BlockPort {
  readonly sectorCount: number;
  readonly readOnly: boolean;
  private readonly block: OpenBlock;
  private readonly pending = new Set<Promise<void>>();
  private closed = false;

  constructor(block: OpenBlock) {
    this.block = block;
    this.sectorCount = block.sectorCount;
    this.readOnly = block.readOnly;
  }

  read(sector: number, into: Uint8Array): Promise<void> | void {
    return this.count(() => this.block.read(sector, into));
  }

  write(sector: number, from: Uint8Array): Promise<void> | void {
    return this.count(() => this.block.write(sector, from));
  }

  flush(): Promise<void> | void {
    return this.count(() => this.block.flush());
  }

  discard(sector: number, count: number): Promise<void> | void {
    return this.count(() => this.block.discard(sector, count));
  }

  /** All requests made so far are done, well or not. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.pending);
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await this.settled();
    this.block.close();
  }

  private count(work: () => Promise<void> | void): Promise<void> | void {
    if (this.closed) throw new Error('The disk is closed.');
    const done = work();
    if (done === undefined) return;
    this.pending.add(done);
    const forget = () => void this.pending.delete(done);
    done.then(forget, forget);
    return done;
  }
}
