/**
 * Which frames of a machine's memory the host holds anything for (proc_pid_pagemap(5)). The others
 * are zeros, and to read them would have the host make them first.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { libc, loadKoffi, posixAvailable } from '../../../base/node/posix.ts';
import { frameSize } from '../layout.ts';

const entryBytes = 8;
/** Bits 63 and 62 of an entry: in memory, in the swap. */
const thereBits = 0xc0;

/**
 * A byte for each frame of the range, 0 where it is surely zeros; undefined when the host does not
 * tell. `offset` and `length` are in bytes and whole frames.
 */
export function residentFrames(
  memory: WebAssembly.Memory,
  offset: number,
  length: number,
): Uint8Array | undefined {
  if (!posixAvailable() || libc('int getpagesize()')() !== frameSize) return undefined;
  const start = loadKoffi().address(new Uint8Array(memory.buffer)) + BigInt(offset);
  const entries = new Uint8Array((length / frameSize) * entryBytes);
  try {
    const file = openSync('/proc/self/pagemap', 'r');
    try {
      const from = (start / BigInt(frameSize)) * BigInt(entryBytes);
      const count = readSync(file, entries, 0, entries.length, from);
      if (count !== entries.length) return undefined;
    } finally {
      closeSync(file);
    }
  } catch {
    return undefined;
  }
  const frames = new Uint8Array(length / frameSize);
  for (let n = 0; n < frames.length; n++) {
    frames[n] = (entries[n * entryBytes + entryBytes - 1]! & thereBits) === 0 ? 0 : 1;
  }
  return frames;
}
