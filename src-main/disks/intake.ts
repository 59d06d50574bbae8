/**
 * A source read from front to back through a small window, for the stream decoders.
 *
 * `ensure(n)` loads until `n` bytes are at hand (or says that there are not so many); the decoder
 * then reads `bytes` from `at` up to `end` synchronously and moves `at`. At most the window and
 * one read unit are kept.
 */
import { Refusal } from '../base/refusal.ts';
import type { ByteSource } from './source.ts';

const unitBytes = 256 * 1024;

export class Intake {
  bytes: Uint8Array = new Uint8Array(0);
  at = 0;
  end = 0;
  readonly #source: ByteSource;
  readonly #signal: AbortSignal | undefined;
  readonly #onRead: ((position: number) => void) | undefined;
  #next = 0;

  constructor(
    source: ByteSource, signal?: AbortSignal, onRead?: (position: number) => void,
  ) {
    this.#source = source;
    this.#signal = signal;
    this.#onRead = onRead;
  }

  /** The position in the source of the next byte to be consumed. */
  get position(): number {
    return this.#next - (this.end - this.at);
  }

  async ensure(count: number): Promise<boolean> {
    while (this.end - this.at < count) {
      if (this.#signal?.aborted) throw new Refusal('cancelled', 'Cancelled.');
      const length = Math.min(Math.max(unitBytes, count), this.#source.size - this.#next);
      if (length === 0) return false;
      const read = await this.#source.read(this.#next, length);
      const kept = this.bytes.subarray(this.at, this.end);
      if (kept.length === 0) {
        this.bytes = read;
      } else {
        const joined = new Uint8Array(kept.length + length);
        joined.set(kept);
        joined.set(read, kept.length);
        this.bytes = joined;
      }
      this.#next += length;
      this.at = 0;
      this.end = this.bytes.length;
      this.#onRead?.(this.position);
    }
    return true;
  }
}
