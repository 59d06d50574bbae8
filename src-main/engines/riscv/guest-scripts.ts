/**
 * What the guest is told when a slot of its machine was filled or is to be emptied. virtio-mmio has
 * no hot-plug: the platform device of an empty slot is there, without a driver, and binding the
 * driver by hand makes it look again. Plain shell, also for busybox; nothing of ours stays.
 */
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
