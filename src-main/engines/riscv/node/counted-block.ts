/**
 * A disk that can be closed while requests are under way: its file is let go of only when the last
 * of them is done, since the number of a closed file may be another file's a moment later.
 */
import type { BlockPort } from '../ports.ts';

export type ClosableBlock = BlockPort & { close(): void };

export class CountedBlock implements BlockPort {
  readonly sectorCount: number;
  readonly readOnly: boolean;
  private readonly block: ClosableBlock;
  private readonly pending = new Set<Promise<void>>();
  private closed = false;

  constructor(block: ClosableBlock) {
    this.block = block;
    this.sectorCount = block.sectorCount;
    this.readOnly = block.readOnly;
  }

  read(sector: number, into: readonly Uint8Array[]): void {
    this.open().read(sector, into);
  }

  write(sector: number, from: readonly Uint8Array[]): void {
    this.open().write(sector, from);
  }

  discard(sector: number, count: number): void {
    this.open().discard(sector, count);
  }

  alone<Result>(work: () => Result): Result {
    return this.open().alone(work);
  }

  flush(): Promise<void> | void {
    const done = this.open().flush();
    if (done === undefined) return;
    this.pending.add(done);
    const forget = () => void this.pending.delete(done);
    done.then(forget, forget);
    return done;
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

  private open(): ClosableBlock {
    if (this.closed) throw new Error('The disk is closed.');
    return this.block;
  }
}
