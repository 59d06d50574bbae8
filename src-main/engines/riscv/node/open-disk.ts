/**
 * A disk that is open, as plain data that threads of this process hand each other: each makes
 * a port of it (`diskPort`). One thread works for it at a time, and none once it is closed.
 */
import type { BlockPort } from '../ports.ts';

export interface OpenDisk {
  readonly descriptor: number;
  readonly sectorCount: number;
  readonly readOnly: boolean;
  readonly overlay?: OpenOverlay;
  /** See `word`. In memory that threads share. */
  readonly words: Int32Array<SharedArrayBuffer>;
}

/** What is not in the overlay is read from the image beneath. */
export interface OpenOverlay {
  readonly backing: number;
  readonly backingBytes: number;
  /** One bit a sector: it is in the overlay. In memory that threads share. */
  readonly bitmap: Uint8Array<SharedArrayBuffer>;
}

const word = { taken: 0, closed: 1, count: 2 } as const;

/** Requests are short; a bound, should the one that had it be gone. */
const lookMs = 100;

export function diskWords(): Int32Array<SharedArrayBuffer> {
  return new Int32Array(new SharedArrayBuffer(word.count * 4));
}

export abstract class DiskPort implements BlockPort {
  readonly sectorCount: number;
  readonly readOnly: boolean;
  protected readonly disk: OpenDisk;

  constructor(disk: OpenDisk) {
    this.disk = disk;
    this.sectorCount = disk.sectorCount;
    this.readOnly = disk.readOnly;
  }

  abstract read(sector: number, into: readonly Uint8Array[]): void;
  abstract write(sector: number, from: readonly Uint8Array[]): void;
  abstract flush(): Promise<void>;
  abstract discard(sector: number, count: number): void;

  alone<Result>(work: () => Result): Result {
    const { words } = this.disk;
    while (Atomics.compareExchange(words, word.taken, 0, 1) !== 0) {
      Atomics.wait(words, word.taken, 1, lookMs);
    }
    try {
      if (words[word.closed] !== 0) throw new Error('The disk is closed.');
      return work();
    } finally {
      Atomics.store(words, word.taken, 0);
      Atomics.notify(words, word.taken, 1);
    }
  }

  /** No thread works for it from here on; its descriptors are still open. */
  protected closeForAll(): void {
    this.alone(() => Atomics.store(this.disk.words, word.closed, 1));
  }
}
