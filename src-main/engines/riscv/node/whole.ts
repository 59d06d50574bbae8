/**
 * Reads and writes of a whole range of a file, at once, straight between the file and where the
 * bytes are wanted: what the host has in memory is copied in less time than a thread takes to wake,
 * of which an asynchronous one wakes two. What goes to the medium (`fdatasync`) is not for here.
 */
import { readvSync, writevSync } from 'node:fs';

/** How many places one system call takes (IOV_MAX). */
const placesMax = 1024;

/** Fills the places in turn. What lies past the file's end is zeros. */
export function readWhole(fd: number, into: readonly Uint8Array[], position: number): void {
  passWhole(into, position, (places, at) => {
    const count = readvSync(fd, places, at);
    if (count > 0) return count;
    for (const place of places) place.fill(0);
    return lengthOf(places);
  });
}

export function writeWhole(fd: number, from: readonly Uint8Array[], position: number): void {
  passWhole(from, position, (places, at) => writevSync(fd, places, at));
}

/** The bytes from `from` on, as many as `length`, of what the places are together. */
export function slice(
  places: readonly Uint8Array[], from: number, length: number,
): readonly Uint8Array[] { // prettier-ignore
  const [only] = places;
  if (places.length === 1) return [only!.subarray(from, from + length)];
  const found: Uint8Array[] = [];
  let at = 0;
  for (const place of places) {
    const part = place.subarray(Math.max(0, from - at), Math.max(0, from + length - at));
    if (part.length > 0) found.push(part);
    at += place.length;
  }
  return found;
}

export const lengthOf = (places: readonly Uint8Array[]): number =>
  places.reduce((sum, { length }) => sum + length, 0);

function passWhole(
  places: readonly Uint8Array[],
  position: number,
  pass: (places: Uint8Array[], position: number) => number,
): void {
  const length = lengthOf(places);
  for (let done = 0; done < length; ) {
    const left = done === 0 ? places : slice(places, done, length - done);
    done += pass(left.slice(0, placesMax) as Uint8Array[], position + done);
  }
}
