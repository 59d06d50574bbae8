/**
 * A machine's disk as the guest sees it: an overlay and the image beneath, read as one.
 *
 *   const disk = await openCow(overlay, image);
 *
 * Must hold: image and overlay belong together, which their sizes and the caller vouch for; a
 * sector comes from the overlay where its bit is set (the lowest bit first), else from the image.
 */
import { Refusal } from '../base/refusal.ts';
import { cowHeaderBytes, cowLayout, parseCowHeader, type CowLayout } from '../machine/cow.ts';
import { CachedSource, checkRange, type ByteSource } from './source.ts';

const sectorBytes = 512;

export async function openCow(overlay: ByteSource, image: ByteSource): Promise<ByteSource> {
  const { backingBytes } = parseCowHeader(
    await overlay.read(0, Math.min(overlay.size, cowHeaderBytes)),
  );
  if (backingBytes !== image.size) {
    throw new Refusal('bad-input', 'The image beneath this disk has another size than it had.');
  }
  return new CowSource(overlay, image, cowLayout(backingBytes));
}

class CowSource implements ByteSource {
  readonly size: number;
  readonly #overlay: ByteSource;
  readonly #image: ByteSource;
  readonly #layout: CowLayout;
  readonly #bitmap: CachedSource;

  constructor(overlay: ByteSource, image: ByteSource, layout: CowLayout) {
    this.size = image.size;
    this.#overlay = overlay;
    this.#image = image;
    this.#layout = layout;
    this.#bitmap = new CachedSource(overlay, 4096, 16);
  }

  async read(position: number, length: number): Promise<Uint8Array> {
    checkRange(this.size, position, length);
    if (length === 0) return new Uint8Array(0);
    const end = position + length;
    const firstByte = Math.floor(position / sectorBytes / 8);
    const lastByte = Math.floor((end - 1) / sectorBytes / 8);
    const { bitmapAt } = this.#layout;
    const bits = await this.#bitmap.read(bitmapAt + firstByte, lastByte - firstByte + 1);
    const isHere = (at: number): boolean => {
      const sector = Math.floor(at / sectorBytes);
      return ((bits[Math.floor(sector / 8) - firstByte]! >> (sector % 8)) & 1) === 1;
    };
    let out: Uint8Array | undefined;
    for (let at = position; at < end; ) {
      const here = isHere(at);
      let next = at;
      do next = Math.min(end, next - (next % sectorBytes) + sectorBytes);
      while (next < end && isHere(next) === here);
      const source = here ? this.#overlay : this.#image;
      const part = await source.read(here ? this.#layout.dataAt + at : at, next - at);
      if (part.length === length) return part; // the common case, without a copy
      out ??= new Uint8Array(length);
      out.set(part, at - position);
      at = next;
    }
    return out!;
  }
}
