/**
 * A machine's settings in the words of others: as machine.yaml has them, and as the contract does.
 */
import { formatSize, type DiskSpec, type MachineSpec, type SpecInput } from '../machine/spec.ts';

/** Settings that only a start can take over. */
const atNextStart = [
  'memory',
  'cpus',
  'kernel',
  'commandLine',
  'consoles',
  'confinement',
  'shares',
  'firmware',
] as const satisfies (keyof MachineSpec)[];

/** The contract's name of a setting. */
function updateKey(key: (typeof atNextStart)[number]): string {
  return key === 'memory' ? 'memoryMib' : key;
}

/** What of its settings a kernel was not started with, by the contract's names. */
export function pendingKeys(spec: MachineSpec, started: MachineSpec): string[] {
  const differs = (key: keyof MachineSpec) =>
    JSON.stringify(spec[key]) !== JSON.stringify(started[key]);
  return atNextStart.filter(differs).map(updateKey);
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

/** The disks that a machine has in it. */
export function attachedOf({ disks }: Pick<MachineSpec, 'disks'>): MachineSpec['disks'] {
  return disks.filter(({ attached }) => attached);
}

/** A spec as it is written in machine.yaml. */
export function inputOf(spec: MachineSpec): SpecInput {
  return {
    ...spec,
    memory: formatSize(spec.memory),
    disks: spec.disks.map(plainDisk),
    nics: [...spec.nics],
    tags: [...spec.tags],
  };
}

/**
 * What a machine is that goes back to a snapshot: the hardware of then, all else as its owner has
 * it now. Disks that the snapshot does not know are kept, detached.
 */
export function revertedSpec(saved: MachineSpec, now: MachineSpec): MachineSpec {
  const { cpus, memory, consoles, nics } = saved;
  const isKnown = ({ id, file }: DiskSpec) =>
    saved.disks.some((disk) => disk.id === id || disk.file === file);
  const others = now.disks.filter((disk) => !isKnown(disk));
  const detached = others.map((disk) => ({ ...disk, attached: false }));
  return { ...now, cpus, memory, consoles, nics, disks: [...saved.disks, ...detached] };
}

/** What a machine goes on as: the hardware of its saved state, all else as its owner has it now. */
export function resumedSpec(saved: MachineSpec, now: MachineSpec): MachineSpec {
  const { cpus, memory, consoles, disks } = saved;
  // What a folder's name leads to is its owner's word of now; one that is new waits.
  const nowAs = (tag: string) => now.shares.filter((share) => share.tag === tag);
  const shares = saved.shares.flatMap(({ tag }) => nowAs(tag));
  return { ...now, cpus, memory, consoles, disks, shares };
}
