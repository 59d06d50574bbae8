/**
 * A machine's settings in the words of others: as machine.yaml has them, and as the contract does.
 */
import type { DiskSpec, MachineSpec, SpecInput } from '../machine/spec.ts';

/** Settings that only a start can take over. */
const atNextStart = [
  'memory',
  'cpus',
  'kernel',
  'commandLine',
  'consoles',
  'confinement',
] as const satisfies (keyof MachineSpec)[];

/** The contract's name of a setting. */
function updateKey(key: (typeof atNextStart)[number]): string {
  return key === 'memory' ? 'memoryMib' : key;
}

/** What of its settings a kernel was not started with, by the contract's names. */
export function pendingKeys(spec: MachineSpec, started: MachineSpec): string[] {
  return atNextStart.filter((key) => spec[key] !== started[key]).map(updateKey);
}

/** A disk as it is written in machine.yaml: no defaults, sizes as text. */
export function plainDisk(disk: DiskSpec): SpecInputDisk {
  return {
    id: disk.id,
    ...(disk.image === undefined ? {} : { image: disk.image }),
    ...(disk.size === undefined ? {} : { size: `${Math.round(disk.size / 2 ** 20)}MiB` }),
    file: disk.file,
    ...(disk.attached ? {} : { attached: false }),
  };
}

type SpecInputDisk = NonNullable<SpecInput['disks']>[number];
