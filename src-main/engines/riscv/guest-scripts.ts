/**
 * What the guest is told when a slot of its machine was filled or is to be emptied. virtio-mmio has
 * no hot-plug: the platform device of an empty slot is there, without a driver, and binding the
 * driver by hand makes it look again. Plain shell, also for busybox; nothing of ours stays.
 */
import { Refusal } from '../../base/refusal.ts';
import type { InGuest } from '../../machine/engine.ts';
import { slotDevice } from './machine-file.ts';

const driver = '/sys/bus/platform/drivers/virtio-mmio';

/** The disk is mounted, swapped to, or part of another device. */
export const inUseCode = 16;

/** `device` is the name of a slot's platform device: `slotDevice` in machine-file.ts. */
export function bindScript(device: string): string {
  return [
    `[ -e ${driver}/${device} ] && echo ${device} > ${driver}/unbind`,
    `echo ${device} > ${driver}/bind`,
  ].join('\n');
}

/** Ends with `inUseCode` and does nothing when it is a disk that the guest uses. */
export function unbindScript(device: string): string {
  return [
    `[ -e ${driver}/${device} ] || exit 0`,
    `for disk in ${driver}/${device}/virtio*/block/*; do`,
    '  [ -e "$disk" ] || continue',
    '  name=${disk##*/}',
    `  grep -q "^/dev/$name" /proc/mounts /proc/swaps && exit ${inUseCode}`,
    '  for holder in "$disk"/holders/* "$disk"/"$name"*/holders/*; do',
    `    [ -e "$holder" ] && exit ${inUseCode}`,
    '  done',
    'done',
    `echo ${device} > ${driver}/unbind`,
  ].join('\n');
}

/** @throws Refusal `unsupported` when nothing in the guest takes what is in the slot. */
export async function bindSlot(slot: number, inGuest: InGuest): Promise<void> {
  const code = await inGuest(bindScript(slotDevice(slot)));
  if (code !== 0) throw new Refusal('unsupported', 'The guest has no driver that takes it.');
}

/** @throws Refusal `in-use` when the guest uses the disk in the slot. */
export async function unbindDisk(slot: number, id: string, inGuest: InGuest): Promise<void> {
  const code = await inGuest(unbindScript(slotDevice(slot)));
  if (code !== inUseCode) return;
  throw new Refusal('in-use', `The guest uses the disk “${id}”; unmount it there first.`);
}

/** A card is gone from the guest whether it has anybody to see to that or not. */
export async function unbindCard(slot: number, inGuest: InGuest): Promise<void> {
  await inGuest(unbindScript(slotDevice(slot))).catch(() => undefined);
}
