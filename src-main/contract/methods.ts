/**
 * The whole of what a client may ask, one row a method: parameters, result and, for a machine,
 * the states in which it is legal. The window, the command line and a script have the same table;
 * `app/api.ts` is its only implementation and refuses what a row does not allow.
 *
 * A row with `stream` answers with a two-way byte stream; its `result` comes when that ends.
 */
import { z } from 'zod';
import {
  createMachine,
  engineName,
  kernelRequest,
  machineName,
  machineView,
  snapshotView,
  statsSample,
  translatorView,
  trashedMachine,
  updateMachine,
  type MachineState,
} from './machine.ts';
import {
  canvasLayout,
  check,
  hostView,
  imageReport,
  imageSource,
  imageView,
  jobView,
  kernelView,
  networkView,
} from './things.ts';

export type Row = {
  readonly params: z.ZodType;
  readonly result: z.ZodType;
  /** The machine states in which it is legal; everywhere when absent. */
  readonly when?: readonly MachineState[];
  readonly stream?: true;
  /** One line for `nymph help` and the command palette. */
  readonly about: string;
};

const none = z.strictObject({});
const nothing = z.null();
const machine = z.string().min(1).max(64);
const name = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'a name is a-z, 0-9, . _ and -');
/** The owner's consent that the files which an image builds on are read too. */
const withBacking = z.boolean().default(false);
const ofMachine = z.strictObject({ machine });
/** Whether those inside of it are meant as well; without, what would end them is refused. */
const children = z.boolean().default(false);
const withChildren = z.strictObject({ machine, children });
const sizeBytes = z
  .number()
  .int()
  .min(1 << 20)
  .max(2 ** 44);
const snapshots = z.array(snapshotView);
const exitStatus = z.object({ code: z.number().int(), signal: z.number().int().optional() });

const still = ['off', 'crashed'] as const;
const startable = [...still, 'suspended'] as const;
const alive = ['starting', 'running', 'paused', 'stopping'] as const;
/** Pulling the plug of a suspended machine throws its saved state away. */
const pluggedIn = [...alive, 'suspended'] as const;
const ofSnapshot = z.strictObject({ machine, snapshot: name });

function row<P extends z.ZodType, R extends z.ZodType>(
  about: string,
  params: P,
  result: R,
  when?: readonly MachineState[],
) {
  return { about, params, result, ...(when ? { when } : {}) };
}

function streamRow<P extends z.ZodType, R extends z.ZodType>(
  about: string,
  params: P,
  result: R,
  when?: readonly MachineState[],
) {
  return { ...row(about, params, result, when), stream: true as const };
}

export const methods = {
  'host.info': row('What this host is and has', none, hostView),
  'host.doctor': row('Check what Nymph needs from this host', none, z.array(check)),
  'host.quit': row(
    'End the server',
    z.strictObject({ machines: z.enum(['stop', 'leave']) }),
    nothing,
  ),

  'file.grant': row(
    'Make a file of this host known, so that a window can name it by its grant',
    z.strictObject({ path: z.string().min(1).max(4096) }),
    z.object({ grant: z.string() }),
  ),

  'machine.list': row('All machines', none, z.array(machineView)),
  'machine.get': row('One machine', ofMachine, machineView),
  'machine.create': row('Make a machine from an image', createMachine, machineView),
  'machine.update': row(
    'Change a machine; what cannot change while it runs takes effect at its next start',
    z.strictObject({ machine, changes: updateMachine }),
    machineView,
  ),
  'machine.config': row('The text of machine.yaml', ofMachine, z.object({ text: z.string() })),
  'machine.setConfig': row(
    'Replace the text of machine.yaml, if it is valid',
    z.strictObject({ machine, text: z.string().max(1 << 18) }),
    machineView,
  ),
  'machine.remove': row(
    'Move a machine to the trash',
    z.strictObject({ machine, force: z.boolean().default(false), children }),
    nothing,
  ),
  'machine.trash': row('What is in the trash', none, z.array(trashedMachine)),
  'machine.recover': row('Bring a machine back from the trash', ofMachine, machineView),
  'machine.purge': row('Delete a trashed machine for good', ofMachine, nothing),
  'machine.export': row(
    'Write a machine that is off into a bundle, by default where downloads go; a job',
    z.strictObject({ machine, path: z.string().min(1).max(4096).optional() }),
    jobView,
    still,
  ),
  'machine.import': row(
    'Make a machine from a bundle; a job',
    z.strictObject({ source: imageSource, name: machineName.optional() }),
    jobView,
  ),
  'machine.start': row(
    'Start; one that is suspended goes on where it was',
    ofMachine,
    machineView,
    startable,
  ),
  'machine.stop': row(
    'Ask the guest to shut down; refuses with `timeout` if it does not',
    z.strictObject({
      machine,
      timeoutMs: z.number().int().min(100).max(600_000).default(30_000),
      children,
    }),
    machineView,
    ['starting', 'running', 'stopping'],
  ),
  'machine.kill': row(
    'End it at once, as by pulling the plug',
    withChildren,
    machineView,
    pluggedIn,
  ),
  'machine.pause': row('Freeze', ofMachine, machineView, ['running']),
  'machine.resume': row('Thaw', ofMachine, machineView, ['paused']),
  'machine.suspend': row(
    'Write it to disk with all that runs in it, and end its process',
    ofMachine,
    machineView,
    ['running'],
  ),
  'machine.reset': row('Pull the plug and start again', withChildren, machineView, pluggedIn),
  'machine.reclaim': row(
    'Give memory the guest has freed back to the host',
    ofMachine,
    z.object({ freedBytes: z.number() }),
    ['running'],
  ),
  'machine.monitor': row(
    'Tell the kernel of a native machine something by its management console',
    z.strictObject({ machine, request: kernelRequest }),
    z.object({ text: z.string() }),
    ['starting', 'running', 'stopping'],
  ),
  'machine.translator': row(
    'What is hot in a portable machine, what was translated and what was thrown away',
    ofMachine,
    translatorView,
    ['starting', 'running', 'stopping'],
  ),
  'machine.log': row(
    'What happened to a machine, newest last',
    ofMachine,
    z.array(z.object({ atMs: z.number(), text: z.string() })),
  ),
  'machine.exec': streamRow(
    'Run a command inside a running machine',
    z.strictObject({
      machine,
      argv: z.array(z.string()).min(1).max(256),
      tty: z.object({ rows: z.number().int(), columns: z.number().int() }).optional(),
    }),
    exitStatus,
    ['running'],
  ),
  'machine.run': streamRow(
    'Run a command in a throw-away machine',
    z.strictObject({
      image: z.string().default('tiny'),
      engine: engineName.optional(),
      memoryMib: z
        .number()
        .int()
        .min(16)
        .max(1 << 20)
        .default(256),
      cpus: z.number().int().min(1).max(64).default(1),
      network: z.string().optional(),
      /** The machine that it runs inside of. */
      inside: machine.optional(),
      argv: z.array(z.string()).min(1).max(256),
    }),
    exitStatus,
  ),

  'machine.clone': row(
    'Make a machine that goes on from a snapshot of this one, with a name and cards of its own',
    ofSnapshot.extend({ name: machineName.optional() }),
    machineView,
  ),

  'snapshot.list': row('The snapshots of a machine, the newest first', ofMachine, snapshots),
  'snapshot.create': row(
    'Keep a machine as it is now: its disks and, unless it is off, its memory and devices',
    z.strictObject({ machine, snapshot: name.optional() }),
    snapshotView,
    ['off', 'crashed', 'running', 'suspended'],
  ),
  'snapshot.revert': row(
    'Go back to a snapshot and lose what came after; one that ran goes on from its memory',
    ofSnapshot,
    machineView,
    ['off', 'crashed', 'running', 'paused', 'suspended'],
  ),
  'snapshot.remove': row('Delete a snapshot; what was made from it stays', ofSnapshot, nothing),

  'console.attach': streamRow(
    'Attach to a console: the kept scrollback first, then live',
    z.strictObject({
      machine,
      console: z.number().int().min(0).max(7).default(0),
      /** An empty message between the scrollback and what is live: till then answer no query. */
      mark: z.boolean().default(false),
    }),
    nothing,
  ),
  'console.log': streamRow(
    'The kept scrollback of a console',
    z.strictObject({ machine, console: z.number().int().min(0).max(7).default(0) }),
    nothing,
  ),
  'console.resize': row(
    'Tell the guest the size of a console window',
    z.strictObject({
      machine,
      console: z.number().int().min(0).max(7),
      rows: z.number().int().min(1).max(1000),
      columns: z.number().int().min(1).max(1000),
    }),
    nothing,
  ),

  'disk.add': row(
    'Add a disk: blank of a size, or a copy-on-write overlay of an image; live if it runs',
    z.strictObject({
      machine,
      sizeBytes: sizeBytes.optional(),
      image: z.string().optional(),
    }),
    machineView,
  ),
  'disk.detach': row(
    'Take a disk out of a machine, keeping its file',
    z.strictObject({ machine, disk: z.string() }),
    machineView,
  ),
  'disk.delete': row(
    'Delete a disk that is detached or in a machine that is off',
    z.strictObject({ machine, disk: z.string() }),
    machineView,
    still,
  ),

  'network.list': row('All networks', none, z.array(networkView)),
  'network.create': row(
    'Make a virtual LAN',
    z.strictObject({ name, dhcp: z.boolean().default(true), dns: z.boolean().default(true) }),
    networkView,
  ),
  'network.update': row(
    'Move a LAN on the canvas, switch its services',
    z.strictObject({
      network: name,
      dhcp: z.boolean().optional(),
      dns: z.boolean().optional(),
      position: z.object({ x: z.number(), y: z.number() }).optional(),
    }),
    networkView,
  ),
  'network.remove': row('Delete a LAN', z.strictObject({ network: name }), nothing),
  'network.connect': row(
    'Plug a machine into a LAN, running or not',
    z.strictObject({ machine, network: name }),
    machineView,
  ),
  'network.disconnect': row(
    'Unplug a machine from a LAN',
    z.strictObject({ machine, network: name }),
    machineView,
  ),

  'layout.get': row('Where machines stand on the canvas', none, canvasLayout),
  'layout.set': row(
    'Move machines on the canvas, for every window; others stay where they are',
    z.strictObject({ places: canvasLayout }),
    nothing,
  ),

  'image.list': row('All images', none, z.array(imageView)),
  'image.info': row('One image', z.strictObject({ image: name }), imageView),
  'image.inspect': row(
    'Say what a file is, from its content',
    z.strictObject({ source: imageSource, withBacking }),
    imageReport,
  ),
  'image.import': row(
    'Bring a file in as an image; a job',
    z.strictObject({ source: imageSource, name: name.optional(), withBacking }),
    jobView,
  ),
  'image.build': row(
    'Build an image from its recipe; a job',
    z.strictObject({ recipe: z.enum(['tiny', 'tiny-riscv64', 'debian', 'debian-riscv64']) }),
    jobView,
  ),
  'image.remove': row(
    'Delete an image that no machine uses',
    z.strictObject({ image: name }),
    nothing,
  ),

  'engine.prepare': row(
    'Make what machines of an engine need; a job, or null when all of it is there',
    z.strictObject({ engine: engineName }),
    jobView.nullable(),
  ),

  'kernel.list': row('All kernels', none, z.array(kernelView)),
  'kernel.build': row(
    'Build the vkernel from its recipe; a job',
    z.strictObject({ flavour: z.enum(['up', 'smp', 'riscv64']).optional() }),
    jobView,
  ),
  'kernel.import': row(
    'Add a kernel from a file',
    z.strictObject({ source: imageSource }),
    kernelView,
  ),
  'kernel.setDefault': row(
    'Choose the kernel of machines that name none',
    z.strictObject({ kernel: z.string() }),
    nothing,
  ),
  'kernel.remove': row('Delete a kernel', z.strictObject({ kernel: z.string() }), nothing),

  'job.list': row('Running and recent jobs', none, z.array(jobView)),
  'job.cancel': row('Cancel a job', z.strictObject({ job: z.string() }), nothing),
  'job.wait': row('Wait for a job to end', z.strictObject({ job: z.string() }), jobView),
  'job.log': row(
    'The last lines of a job',
    z.strictObject({ job: z.string() }),
    z.object({ text: z.string() }),
  ),

  'events.subscribe': row('Send a snapshot now, then every change as events', none, nothing),
  'stats.watch': row(
    'Send samples of these machines every second; an empty list ends it',
    z.strictObject({ machines: z.array(machine).max(256) }),
    z.record(z.string(), z.array(statsSample)),
  ),
} as const satisfies Record<string, Row>;

export type Methods = typeof methods;
export type MethodName = keyof Methods;
/** What a caller writes (defaults may be left out). */
export type Input<M extends MethodName> = z.input<Methods[M]['params']>;
/** What the implementation receives (defaults filled in). */
export type Params<M extends MethodName> = z.output<Methods[M]['params']>;
export type Result<M extends MethodName> = z.output<Methods[M]['result']>;
export type StreamName = {
  [M in MethodName]: Methods[M] extends { stream: true } ? M : never;
}[MethodName];
export type CallName = Exclude<MethodName, StreamName>;
