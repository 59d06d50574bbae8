/**
 * The other things a client sees: images, networks, kernels, jobs and the host itself.
 */
import { z } from 'zod';

/** What a file turned out to be, from its content alone. */
export const imageReport = z.object({
  kind: z.enum(['disk', 'rootfs-tar', 'machine', 'unknown']),
  /** From the outside in, such as xz, qcow2. */
  layers: z.array(z.string()),
  virtualBytes: z.number(),
  storedBytes: z.number(),
  partitionTable: z.enum(['none', 'mbr', 'gpt']),
  partitions: z.array(
    z.object({
      index: z.number().int(),
      startByte: z.number(),
      sizeBytes: z.number(),
      type: z.string(),
      filesystem: z.string().optional(),
    }),
  ),
  root: z
    .object({
      partition: z.number().int(),
      filesystem: z.string(),
      osName: z.string().optional(),
      architecture: z.string().optional(),
      init: z.string().optional(),
      hasSystemd: z.boolean().optional(),
    })
    .optional(),
  /** The files it builds on, as it names them: read only when its owner agrees to that. */
  backing: z.array(z.string()).optional(),
  /** The machine in a bundle. */
  machine: z
    .object({
      name: z.string(),
      cpus: z.number().int(),
      memoryMib: z.number().int(),
      disks: z.array(z.object({ id: z.string(), virtualBytes: z.number() })),
      networks: z.array(z.string()),
      /** What will not be taken over, a sentence each. */
      leftOut: z.array(z.string()),
    })
    .optional(),
  /** Which engine boots it, if any, and one sentence that says what it is and why. */
  engine: z.enum(['native', 'portable', 'none']),
  sentence: z.string(),
});
export type ImageReport = z.infer<typeof imageReport>;

export const imageView = z.object({
  name: z.string(),
  /** 'built-in' is made by Nymph on the first start; 'available' can be built on request. */
  origin: z.enum(['built-in', 'imported', 'built', 'available']),
  title: z.string(),
  description: z.string(),
  engine: z.enum(['native', 'portable', 'none']),
  architecture: z.string(),
  virtualBytes: z.number(),
  realBytes: z.number(),
  createdMs: z.number().optional(),
  usedBy: z.array(z.string()),
  report: imageReport.optional(),
});
export type ImageView = z.infer<typeof imageView>;

/** Where an image comes from: a host path (trusted clients) or bytes handed in beforehand. */
export const imageSource = z.union([
  z.strictObject({ path: z.string().min(1) }),
  z.strictObject({ grant: z.string().min(1) }),
]);

export const networkView = z.object({
  id: z.string(),
  /** Why nothing moves on it just now. */
  fault: z.string().optional(),
  name: z.string(),
  subnet: z.string(),
  gateway: z.string(),
  services: z.object({ dhcp: z.boolean(), dns: z.boolean() }),
  ports: z.array(
    z.object({
      machine: z.string(),
      nic: z.string(),
      mac: z.string(),
      address: z.string().optional(),
      linkUp: z.boolean(),
      rxFrames: z.number(),
      rxBytes: z.number(),
      txFrames: z.number(),
      txBytes: z.number(),
      dropped: z.number(),
    }),
  ),
  rxBytesPerSecond: z.number(),
  dropped: z.number(),
  /** Where it stands on the canvas. */
  position: z.object({ x: z.number(), y: z.number() }).optional(),
});
export type NetworkView = z.infer<typeof networkView>;

const coordinate = z.number().min(-1e6).max(1e6);

/** Where machines stand on the network canvas, by machine id. */
export const canvasLayout = z.record(
  z.string().min(1).max(64),
  z.object({ x: coordinate, y: coordinate }),
);
export type CanvasLayout = z.infer<typeof canvasLayout>;

export const kernelView = z.object({
  id: z.string(),
  version: z.string(),
  flavour: z.enum(['up', 'smp', 'riscv64', 'packaged', 'imported']),
  engine: z.enum(['native', 'portable']),
  sizeBytes: z.number(),
  features: z.record(z.string(), z.boolean()),
  default: z.boolean(),
  usedBy: z.array(z.string()),
  /** Why it cannot run on this host. */
  obstacle: z.string().optional(),
});
export type KernelView = z.infer<typeof kernelView>;

export const jobView = z.object({
  id: z.string(),
  kind: z.enum([
    'kernel-build',
    'engine-prepare',
    'image-look',
    'image-import',
    'image-build',
    'machine-export',
    'machine-import',
    'disk',
    'setup',
  ]),
  title: z.string(),
  step: z.string(),
  state: z.enum(['running', 'done', 'failed', 'cancelled']),
  /** 0 to 1; absent while it cannot be known. */
  fraction: z.number().min(0).max(1).optional(),
  startedMs: z.number(),
  endedMs: z.number().optional(),
  error: z.string().optional(),
  /** What it made: the name of an image or machine, the id of a kernel, a file. */
  outcome: z.string().optional(),
});
export type JobView = z.infer<typeof jobView>;

export const check = z.object({
  id: z.string(),
  title: z.string(),
  status: z.enum(['ok', 'warn', 'fail']),
  sentence: z.string(),
  /** The one command or click that mends it. */
  fix: z.string().optional(),
});
export type Check = z.infer<typeof check>;

export const hostView = z.object({
  version: z.string(),
  contract: z.number().int(),
  pid: z.number().int(),
  platform: z.string(),
  cpus: z.number().int(),
  memoryTotalBytes: z.number(),
  memoryAvailableBytes: z.number(),
  dataDirectory: z.string(),
  confinement: z.enum(['on', 'unavailable']),
  confinementNote: z.string().optional(),
});
export type HostView = z.infer<typeof hostView>;
