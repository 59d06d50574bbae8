/**
 * Folders of the host that a machine's guest sees: by hostfs in a native machine, by virtio-9p in a
 * portable one, under /mnt/TAG in both. The compartment has these folders and no others.
 */
import type { MachineSpec } from './spec.ts';

export function sharedFolders(
  { shares }: Pick<MachineSpec, 'shares'>,
  which: { readOnly: boolean },
): string[] {
  return shares.filter(({ readOnly }) => readOnly === which.readOnly).map(({ path }) => path);
}

/** Mounts once, however often it is run; `what` is of words that a shell takes as they are. */
export function mountAt(tag: string, what: string): string {
  const place = `/mnt/${tag}`;
  return `grep -q " ${place} " /proc/mounts || { mkdir -p ${place} && mount ${what} ${place}; }`;
}
