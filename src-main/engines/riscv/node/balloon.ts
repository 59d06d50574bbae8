/**
 * The balloon of a machine's process: memory of the guest that nobody uses goes back to the host.
 * The guest reports free pages by itself within seconds; `reclaim` takes what is left, down to
 * single pages, and hands it back empty.
 *
 * Must hold: a guest that does not follow costs a bounded wait, and keeps its memory in the end.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Refusal } from '../../../base/refusal.ts';
import { libc, loadKoffi, posixAvailable } from '../../../base/node/posix.ts';
import { VirtioBalloon } from '../devices/virtio/balloon.ts';
import { ramMibMax } from '../machine.ts';
import type { MemoryPort } from '../ports.ts';
import { numberOf, type Verb } from './control-door.ts';
import type { Make } from './plugs.ts';

const pagesMax = ramMibMax * 256;
const usualLookMs = 20;
/** So often it is looked in vain before the guest has no more to give. */
const vainLooksMax = 100;
const looksMax = 500;
/** MADV_DONTNEED: the pages are gone at once, and zeros when they are touched again. */
const dontNeed = 4;

/** The balloon's side of a device, as far as `squeeze` needs it. */
export type Squeezed = Pick<VirtioBalloon, 'held' | 'ask'>;

export class Balloon {
  private device?: VirtioBalloon;

  /** The device of a machine that is switched on; null where memory cannot be given back. */
  maker(): Make | null {
    if (!posixAvailable()) return null;
    return (wiring) => (this.device = new VirtioBalloon(wiring, hostMemory(wiring.memory)));
  }

  verbs(): ReadonlyMap<string, Verb> {
    return new Map<string, Verb>([
      ['reclaim', (words) => squeeze(this.device, numberOf(words, 'pages', pagesMax))],
    ]);
  }
}

/** Has the guest give up so many pages, or what it can, and lets it have them back. */
export async function squeeze(
  device: Squeezed | undefined,
  pages: number,
  lookMs = usualLookMs,
): Promise<void> {
  if (device?.held === undefined) {
    throw new Refusal('unsupported', 'The guest has no driver by which it gives memory back.');
  }
  try {
    await reached(device, pages, lookMs);
  } finally {
    await reached(device, 0, lookMs);
  }
}

async function reached(device: Squeezed, pages: number, lookMs: number): Promise<void> {
  const less = (device.held ?? 0) < pages;
  device.ask(pages);
  let vain = 0;
  for (let looks = 0; looks < looksMax && vain < vainLooksMax; looks++) {
    const before = device.held ?? 0;
    if (less ? before >= pages : before <= pages) return;
    await sleep(lookMs);
    vain = device.held === before ? vain + 1 : 0;
  }
}

/** @throws Refusal `unavailable` where direct system calls are not. */
export function hostMemory(memory: WebAssembly.Memory): MemoryPort {
  const start = loadKoffi().address(new Uint8Array(memory.buffer));
  const page = libc('int getpagesize()')();
  const madvise = libc('int madvise(uintptr_t start, size_t length, int advice)');
  return {
    discard: (offset, length) => {
      const from = Math.ceil(offset / page) * page;
      const end = Math.floor((offset + length) / page) * page;
      // A host that refuses keeps the pages, and nothing else is lost.
      if (from < end) madvise(start + BigInt(from), end - from, dontNeed);
    },
  };
}
