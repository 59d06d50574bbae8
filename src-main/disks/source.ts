/**
 * Bytes at a position: the one way this room looks at a file, a slice of one, or a decoded image.
 *
 * `read` gives exactly the bytes asked for; a range that is not wholly inside `[0, size)` is a
 * `bad-input` refusal, so a reader of a hostile format may ask for whatever a header claims and
 * never reads outside. Sources are read-only and may be shared by several readers.
 *
 * `limited` gives hostile input a bounded amount of work: a reader that loops over reads ends
 * with a refusal when its budget is spent.
 */
import { Refusal } from '../base/refusal.ts';

export interface ByteSource {
  readonly size: number;
  read(position: number, length: number): Promise<Uint8Array>;
}

/** A source that knows where its holes are: a run of `length` bytes that is all zero or not. */
export interface SparseSource extends ByteSource {
  /** The run that begins at `position`; `length` > 0 and inside the source. */
  run(position: number): Promise<{ length: number; zero: boolean }>;
}

export function isSparse(source: ByteSource): source is SparseSource {
  return typeof (source as Partial<SparseSource>).run === 'function';
}

/** Throws unless `[position, position + length)` lies inside `size` bytes. */
export function checkRange(size: number, position: number, length: number): void {
  const whole = Number.isSafeInteger(position) && Number.isSafeInteger(length);
  if (!whole || position < 0 || length < 0 || length > size || position > size - length) {
    throw new Refusal('bad-input', 'The image is cut off or damaged: it points behind its end.');
  }
}

/** A source over bytes already in memory. */
export class MemorySource implements ByteSource {
  readonly size: number;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.size = bytes.length;
  }

  async read(position: number, length: number): Promise<Uint8Array> {
    checkRange(this.size, position, length);
    return this.#bytes.subarray(position, position + length);
  }
}

/** The window `[start, start + size)` of another source, for instance one partition. */
export class SliceSource implements ByteSource {
  readonly size: number;
  readonly #inner: ByteSource;
  readonly #start: number;

  constructor(inner: ByteSource, start: number, size: number) {
    checkRange(inner.size, start, size);
    this.#inner = inner;
    this.#start = start;
    this.size = size;
  }

  async read(position: number, length: number): Promise<Uint8Array> {
    checkRange(this.size, position, length);
    return this.#inner.read(this.#start + position, length);
  }
}

/** Keeps the pages read last, for readers that look at small things close together. */
export class CachedSource implements ByteSource {
  readonly size: number;
  readonly #inner: ByteSource;
  readonly #pageBytes: number;
  readonly #pagesMax: number;
  readonly #pages = new Map<number, Uint8Array>();

  constructor(inner: ByteSource, pageBytes = 4096, pagesMax = 1024) {
    this.#inner = inner;
    this.#pageBytes = pageBytes;
    this.#pagesMax = pagesMax;
    this.size = inner.size;
  }

  async read(position: number, length: number): Promise<Uint8Array> {
    checkRange(this.size, position, length);
    const page = this.#pageBytes;
    const first = Math.floor(position / page);
    const last = Math.floor((position + Math.max(length, 1) - 1) / page);
    // Long reads pass through: they would only push the small, useful pages out.
    if (last - first >= 16) return this.#inner.read(position, length);
    if (first === last) {
      const from = position - first * page;
      return (await this.#page(first)).subarray(from, from + length);
    }
    const out = new Uint8Array(length);
    for (let index = first; index <= last; index++) {
      const start = index * page;
      const from = Math.max(position, start);
      const to = Math.min(position + length, start + page);
      out.set((await this.#page(index)).subarray(from - start, to - start), from - position);
    }
    return out;
  }

  async #page(index: number): Promise<Uint8Array> {
    const known = this.#pages.get(index);
    if (known) {
      this.#pages.delete(index);
      this.#pages.set(index, known);
      return known;
    }
    const start = index * this.#pageBytes;
    const length = Math.max(0, Math.min(this.#pageBytes, this.size - start));
    const bytes = await this.#inner.read(start, length);
    this.#pages.set(index, bytes);
    if (this.#pages.size > this.#pagesMax) {
      for (const oldest of this.#pages.keys()) {
        this.#pages.delete(oldest);
        break;
      }
    }
    return bytes;
  }
}

/** The same source, refusing after `readsMax` reads or `bytesMax` bytes. */
export function limited(inner: ByteSource, readsMax: number, bytesMax: number): ByteSource {
  let reads = 0;
  let bytes = 0;
  return {
    size: inner.size,
    async read(position, length) {
      reads += 1;
      bytes += length;
      if (reads > readsMax || bytes > bytesMax) {
        throw new Refusal('bad-input', 'The image is tangled: reading it never comes to an end.');
      }
      return inner.read(position, length);
    },
  };
}
