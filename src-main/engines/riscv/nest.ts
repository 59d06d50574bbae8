/**
 * A machine inside a portable one: what `resources/guest/nest.c` is asked, and what the inner
 * kernel finds. Its processor is the outer guest's KVM; its board is ours without the devices that
 * `resources/guest/vmm.c` does not have; its disks are plugged into the outer machine, and found
 * there by their serials. So are those of a machine inside of it, which go through both. Pure.
 */
import type { LaunchPlan } from '../../machine/engine.ts';
import { Refusal } from '../../base/refusal.ts';
import { deviceTree } from './boot/tree.ts';
import { guestRamBase } from './layout.ts';
import { bootArguments, disksMax, memoryMibOf, nicsMax, slots } from './machine-file.ts';

const mib = 2 ** 20;
/** Enough for what a kernel clears behind its image. */
const kernelRoomBytes = 32 * mib;

/** As `VCPUS_MAX` in resources/guest/vmm.h. */
export const innerCpusMax = 8;

/** Console 0 is the second virtio console; the first is the agent's. */
export const innerConsole = (index: number): string => `hvc${index + 1}`;

/** Serials, of at most 20 characters: of the disk that it boots from, and of its own ones. */
export const bootSerial = (id: string): string => `${id}-boot`;
export const diskSerial = (id: string, place: number): string => `${id}-${place}`;

/** What is in a slot, for `resources/guest/virtio.c`: at the start, and while it runs. */
export const slotWord = {
  disk: (place: number, serial: string): string => `disk=${place}:${serial}`,
  card: (slot: number, mac: string): string => `nic=${slot}:${mac.replaceAll(':', '')}`,
  nothing: (slot: number): string => `none=${slot}`,
} as const;

export interface InnerFiles {
  readonly kernel: Uint8Array;
  readonly initramfs: Uint8Array;
  readonly seed: Uint8Array;
}

export interface InnerBoot {
  /** Kernel, boot file system and device tree, each from a page's border on: a whole disk. */
  readonly disk: Uint8Array;
  /** For the agent of the outer guest. */
  readonly words: readonly string[];
}

/** A portable machine, one inside it, and one inside that: see cpu/levels.ts. */
export const depthMax = 3;

/** `name` is the daemon's; `networkSlots` are lines for cards; `hosts`: it may hold machines. */
export function innerBoot(
  name: string,
  plan: Pick<LaunchPlan, 'name' | 'spec' | 'disks'>,
  { kernel, initramfs, seed }: InnerFiles,
  networkSlots: number,
  hosts: boolean,
): InnerBoot {
  const { spec } = plan;
  const memoryMib = memoryMibOf(spec.memory);
  const top = guestRamBase + memoryMib * mib;
  const initramfsAt = Math.floor((top - 2 * mib - initramfs.length) / 4096) * 4096;
  if (initramfsAt < guestRamBase + kernel.length + kernelRoomBytes) {
    throw new Refusal('no-space', `“${plan.name}” has too little memory for its kernel.`);
  }
  const treeAt = top - mib;
  const run = (from: number, length: number) => Array.from({ length }, (_, n) => from + n);
  const places = plan.disks.map(({ index }) => index).filter((place) => place < disksMax);
  const tree = deviceTree({
    harts: spec.cpus,
    ramBytes: memoryMib * mib,
    bootArguments: bootArguments(plan, innerConsole(0), ['/dev/hvc0']),
    initrd: { start: initramfsAt, end: initramfsAt + initramfs.length },
    seed,
    // Disks and cards also where there are none yet.
    virtio: [
      slots.agent,
      ...run(slots.consoles, spec.consoles),
      ...run(slots.disks, disksMax),
      ...run(slots.nics, nicsMax),
    ],
    sv48: false,
    inside: true,
    hosts,
  });
  const numbers = [
    spec.consoles, networkSlots, memoryMib, spec.cpus,
    kernel.length, initramfs.length, tree.length, initramfsAt, treeAt,
  ].map(String); // prettier-ignore
  const words = [
    '@nest', 'start', name, 'kvm', ...numbers, bootSerial(spec.id),
    ...places.map((place) => slotWord.disk(place, diskSerial(spec.id, place))),
    ...spec.nics.map(({ slot, mac }) => slotWord.card(slot, mac)),
  ]; // prettier-ignore
  return { disk: inPages([kernel, initramfs, tree]), words };
}

function inPages(parts: readonly Uint8Array[]): Uint8Array {
  const up = (length: number) => Math.ceil(length / 4096) * 4096;
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + up(length), 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += up(part.length);
  }
  return whole;
}
