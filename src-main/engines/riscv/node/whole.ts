/**
 * Reads and writes of a whole range of a file, at once: what the host has in memory is copied in
 * less time than a thread takes to wake, of which an asynchronous one wakes two. The machine's
 * other devices wait as long; what goes to the medium (`fdatasync`) is not for here.
 */
import { readSync, writeSync } from 'node:fs';

/** What lies past the file's end is zeros. */
export function readWhole(fd: number, into: Uint8Array, position: number): void {
  for (let done = 0; done < into.length; ) {
    const count = readSync(fd, into, done, into.length - done, position + done);
    if (count === 0) return void into.fill(0, done);
    done += count;
  }
}

export function writeWhole(fd: number, from: Uint8Array, position: number): void {
  for (let done = 0; done < from.length; ) {
    done += writeSync(fd, from, done, from.length - done, position + done);
  }
}
