/**
 * What can be said about a machine and seen of it. Sizes are bytes unless the name says MiB.
 */
import { z } from 'zod';

/** A host-name label (RFC 1123), starting with a letter: the machine answers to it on its LANs. */
export const machineName = z
  .string()
  .regex(/^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/, 'a name is a-z, 0-9 and -, starting with a letter');

export const engineName = z.enum(['native', 'portable']);
export type EngineName = z.infer<typeof engineName>;

export const machineState = z.enum([
  'off',
  'starting',
  'running',
  'paused',
  'stopping',
  'crashed',
  /** Without a process; its state is on disk, and a start goes on from there. */
  'suspended',
]);
export type MachineState = z.infer<typeof machineState>;

export const diskView = z.object({
  id: z.string(),
  /** 'overlay': copy-on-write over an image; 'blank': the machine's own raw file. */
  kind: z.enum(['overlay', 'blank']),
  image: z.string().optional(),
  /** As the guest sees it. */
  virtualBytes: z.number(),
  /** What the machine's own file occupies on the host. */
  realBytes: z.number(),
  device: z.string(),
  attached: z.boolean(),
});
export type DiskView = z.infer<typeof diskView>;

export const nicView = z.object({
  id: z.string(),
  slot: z.number().int(),
  network: z.string(),
  mac: z.string(),
  /** Leased or reported by the guest, most recent first. */
  addresses: z.array(z.string()),
  connected: z.boolean(),
});
export type NicView = z.infer<typeof nicView>;

/** A machine as it was at a moment: its disks, and what ran in it if it was not off. */
export const snapshotView = z.object({
  name: z.string(),
  createdMs: z.number(),
  /** It holds the memory and devices too, so that a machine goes on from there; else it boots. */
  memory: z.boolean(),
  /** What it occupies on the host, beyond what it shares with others. */
  realBytes: z.number(),
});
export type SnapshotView = z.infer<typeof snapshotView>;

export const sharesMax = 4;

/** Absolute, not the root. A kernel's mount options and a shell take its characters whole. */
export const hostPath = z
  .string()
  .max(1000)
  .regex(/^(\/(?!\.\.?(\/|$))[\w.@+-]+)+$/, 'an absolute path of letters, digits, . _ @ + -');

/** A folder of the host that a guest sees, under /mnt/TAG once its agent has mounted it. */
export const shareView = z.object({
  tag: z.string().regex(/^[a-z0-9][a-z0-9._-]{0,30}$/, 'a tag is a-z, 0-9, . _ and -'),
  path: hostPath,
  readOnly: z.boolean(),
});
export type ShareView = z.infer<typeof shareView>;

/** What the agent inside the guest has told us; absent until it answers. */
export const guestView = z.object({
  hostname: z.string(),
  osName: z.string(),
  kernelRelease: z.string(),
  architecture: z.string(),
});

export const machineView = z.object({
  id: z.string(),
  name: machineName,
  engine: engineName,
  /** The name of the machine this one runs inside of, for nested machines. */
  parent: z.string().optional(),
  /** The names of those that run inside of this one. */
  children: z.array(z.string()),
  state: machineState,
  /** Since when it is in that state: milliseconds since the epoch. */
  sinceMs: z.number(),
  /** Why it crashed, could not be read or not go on from its saved state; one sentence. */
  reason: z.string().optional(),
  /** The last console lines, when it crashed. */
  lastLines: z.array(z.string()).optional(),
  /** What a start now would be refused for: a broken machine.yaml, with line and column. */
  fault: z.string().optional(),
  cpus: z.number().int(),
  memoryMib: z.number().int(),
  image: z.string().optional(),
  /** Which kernel runs it, or would: its id and why. */
  kernel: z.string(),
  kernelChoice: z.string(),
  /** What its owner asked for: a kernel's id, or ‘auto’. */
  kernelWanted: z.string(),
  /** More words for the kernel's command line. */
  commandLine: z.string(),
  /** Keys of `machine.update` whose new values count from its next start. */
  pending: z.array(z.string()),
  consoles: z.number().int(),
  disks: z.array(diskView),
  nics: z.array(nicView),
  /** The newest first. */
  snapshots: z.array(snapshotView),
  shares: z.array(shareView),
  tags: z.array(z.string()),
  notes: z.string(),
  confinement: z.enum(['on', 'off', 'unavailable']),
  confinementNote: z.string().optional(),
  pid: z.number().int().optional(),
  /** A unix socket that leads to the guest's stream sockets; its neighbours `…_PORT` come back. */
  vsock: z.string().optional(),
  startedMs: z.number().optional(),
  /** How long the last start took from the request to userland, in milliseconds. */
  bootMs: z.number().optional(),
  agent: z.boolean(),
  guest: guestView.optional(),
  directory: z.string(),
});
export type MachineView = z.infer<typeof machineView>;

export const trashedMachine = z.object({
  name: z.string(),
  trashedMs: z.number(),
  realBytes: z.number(),
});
export type TrashedMachine = z.infer<typeof trashedMachine>;

/** One look at a machine, taken once a second while somebody watches. */
export const statsSample = z.object({
  atMs: z.number(),
  /** Of one host processor: 1 is one core fully used. */
  cpu: z.number(),
  memoryGivenBytes: z.number(),
  /** What the host really holds for it. */
  memoryHostBytes: z.number(),
  /** What the guest counts as used, when its agent answers. */
  memoryGuestBytes: z.number().optional(),
  /** How much of it the machines inside use, while there are any. */
  insideCpu: z.number().optional(),
  insideMemoryBytes: z.number().optional(),
  diskReadBytesPerSecond: z.number(),
  diskWriteBytesPerSecond: z.number(),
  networkRxBytesPerSecond: z.number(),
  networkTxBytesPerSecond: z.number(),
});
export type StatsSample = z.infer<typeof statsSample>;

/**
 * What the kernel of a machine is told past its guest's programs, which may hang. What ends or
 * stops the machine in other ways has a method of its own.
 */
export const kernelRequest = z.discriminatedUnion('verb', [
  z.strictObject({ verb: z.enum(['version', 'halt', 'reboot', 'cad']) }),
  /** A key of Magic SysRq; what the kernel prints on it is the answer. */
  z.strictObject({ verb: z.literal('sysrq'), key: z.string().regex(/^[a-z0-9]$/) }),
  /** A file below /proc. */
  z.strictObject({
    verb: z.literal('proc'),
    file: z.string().max(200).regex(/^[\w-][\w.-]*(\/[\w-][\w.-]*)*$/),
  }),
  /** Where a process of the guest stands in the kernel. */
  z.strictObject({ verb: z.literal('stack'), pid: z.number().int().min(1).max(2 ** 22) }),
]);
export type KernelRequest = z.infer<typeof kernelRequest>;

/** Counted since power-on, but for the three that are live. */
const translatorCounters = z.object({
  regions: z.number(),
  /** Of the guest, in those regions. */
  instructions: z.number(),
  wasmBytes: z.number(),
  /** Spent translating. */
  milliseconds: z.number(),
  /** Hot places that only the interpreter runs. */
  refused: z.number(),
  /** Regions whose code was written over before a fence.i. */
  droppedRewritten: z.number(),
  /** Regions dropped because too much code was written to know what. */
  droppedOverrun: z.number(),
  /** Regions dropped to make room, and how often that was needed. */
  droppedFull: z.number(),
  resets: z.number(),
  liveRegions: z.number(),
  livePages: z.number(),
  slots: z.number(),
});

/** What the translator of a running machine does; addresses are hexadecimal. */
export const translatorView = z.object({
  /** Where the processors were met of late, the most frequent first. */
  hot: z.array(
    z.object({
      pc: z.string(),
      mode: z.enum(['U', 'S', 'M']),
      /** Of all looks; and how much of those met it in translated code. */
      share: z.number(),
      translated: z.number(),
    }),
  ),
  /** What each processor's translator did last, newest first. */
  latest: z.array(
    z.object({
      hart: z.number(),
      kind: z.enum(['translated', 'refused', 'rewritten', 'overrun', 'full']),
      /** Physical. */
      address: z.string(),
      /** Instructions translated, or regions dropped. */
      count: z.number(),
      wasmBytes: z.number(),
    }),
  ),
  harts: z.array(translatorCounters),
  total: translatorCounters,
});
export type TranslatorView = z.infer<typeof translatorView>;

const sizeMib = z
  .number()
  .int()
  .min(16)
  .max(1 << 20);

export const createMachine = z.strictObject({
  name: machineName.optional(),
  /** An image's name; the built-in Tiny Linux when absent. */
  image: z.string().default('tiny'),
  engine: engineName.optional(),
  memoryMib: sizeMib.default(256),
  cpus: z.number().int().min(1).max(64).default(1),
  /** Host paths of further disk images, each imported and attached. */
  diskPaths: z.array(z.string()).default([]),
  networks: z.array(z.string()).default([]),
  /** The machine that it is to run inside of. */
  inside: z.string().min(1).max(64).optional(),
  tags: z.array(z.string()).default([]),
});

export const updateMachine = z.strictObject({
  name: machineName.optional(),
  memoryMib: sizeMib.optional(),
  cpus: z.number().int().min(1).max(64).optional(),
  kernel: z.string().optional(),
  commandLine: z.string().max(1024).optional(),
  consoles: z.number().int().min(1).max(8).optional(),
  confinement: z.enum(['on', 'off']).optional(),
  /** All of them; only those who may name host paths change them. */
  shares: z.array(shareView.strict()).max(sharesMax).optional(),
  tags: z.array(z.string().max(40)).max(32).optional(),
  notes: z.string().max(20000).optional(),
});
