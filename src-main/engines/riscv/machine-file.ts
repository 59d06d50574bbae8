/**
 * What the process of a portable machine is told: written by the engine into the machine's run
 * directory before the process starts, read by `node/child.ts`. Pure, so that the exact words can
 * be shown and tested.
 */
import type { DescriptorLayout } from '../../machine/descriptors.ts';
import type { LaunchPlan } from '../../machine/engine.ts';
import type { ShareSpec } from '../../machine/spec.ts';
import { board } from './board.ts';
import { ramMibMax } from './machine.ts';

export interface MachineFile {
  readonly name: string;
  readonly memoryMib: number;
  readonly cpus: number;
  readonly kernel: string;
  readonly firmware?: string;
  /** Archives that one after the other are the boot file system. */
  readonly initramfs: readonly string[];
  readonly bootArguments: string;
  readonly layout: DescriptorLayout;
  readonly disks: readonly { id: string; index: number; path: string; backing?: string }[];
  readonly nics: readonly { slot: number; mac: string }[];
  readonly shares: readonly ShareSpec[];
  /** The file of a saved state from which it goes on, once, instead of booting. */
  readonly resume?: string;
}

/** In the run directory: why the process has refused to run, one sentence. */
export const reasonFile = 'reason';
/** In the run directory: the unix socket that leads to the guest's (`node/socket-door.ts`). */
export const vsockFile = 'vsock';

/** Which virtio slot holds what; an empty one can be filled while the machine runs. */
export const slots = {
  /** The agent's line: the first of all, so that its port is /dev/vport0p1. */
  port: 0,
  /** The same as a console, hvc0, for a kernel that does not know ports. */
  agent: 1,
  /** Consoles 1 and following; console 0 is the serial line. */
  consoles: 2,
  disks: 9,
  nics: 17,
  balloon: 21,
  vsock: 22,
  keyboard: 23,
  shares: 24,
  random: 28,
  /** Also disks, for machines inside this one. */
  moreDisks: 29,
  count: 48,
} as const;

/** A machine's own disks; places from there on are for those of machines inside it. */
export const disksMax = slots.nics - slots.disks;
export const diskPlaces = disksMax + slots.count - slots.moreDisks;
export const nicsMax = slots.balloon - slots.nics;

export function diskSlot(place: number): number {
  return place < disksMax ? slots.disks + place : slots.moreDisks + place - disksMax;
}

/** The name of a slot's platform device in the guest, by which its driver is bound. */
export function slotDevice(slot: number): string {
  return `${(board.virtio + slot * board.virtioStride).toString(16)}.virtio_mmio`;
}

/** The guest's names of the agent's line, the best first; /dev/hvc0 is the first virtio console. */
export const agentDevices = ['/dev/vport0p1', '/dev/hvc0'];

export function consoleDevice(console: number): string {
  return console === 0 ? '/dev/ttyS0' : `/dev/hvc${console}`;
}

export function rootDevice(partition: number): string {
  return partition === 0 ? '/dev/vda' : `/dev/vda${partition}`;
}

/** The kernel's command line; `console` is the guest's name of the terminal it speaks on. */
export function bootArguments(
  plan: Pick<LaunchPlan, 'name' | 'spec'>,
  console: string,
  agent: readonly string[] = agentDevices,
): string {
  const { spec } = plan;
  return [
    `console=${console}`,
    'quiet',
    // A panic ends the machine at once, and its last lines tell why.
    'panic=-1',
    `nymph.root=${rootDevice(spec.rootPartition)}`,
    `nymph.rootfs=${spec.rootFilesystem}`,
    `nymph.agent=${agent.join()}`,
    `nymph.hostname=${plan.name}`,
    // The kernel's own names, by which we know the cards.
    'net.ifnames=0',
    // Free memory is told to the balloon in pieces from 64 KiB, not only from 2 MiB.
    'page_reporting.page_reporting_order=4',
    ...(spec.init ? [`nymph.init=${spec.init}`] : []),
    ...spec.commandLine.split(/\s+/).filter(Boolean),
  ].join(' ');
}

export function machineFile(plan: LaunchPlan, layout: DescriptorLayout): MachineFile {
  const { spec } = plan;
  return {
    name: plan.name,
    memoryMib: memoryMibOf(spec.memory),
    cpus: spec.cpus,
    kernel: plan.kernel.path,
    ...(spec.firmware === undefined ? {} : { firmware: spec.firmware }),
    // Uncompressed ones come first, where their place is one that the kernel takes.
    initramfs: [...(plan.kernel.modules ? [plan.kernel.modules] : []), plan.initramfs],
    bootArguments: bootArguments(plan, 'ttyS0'),
    layout,
    disks: plan.disks.map(({ id, index, path, backing }) => ({
      id,
      index,
      path,
      ...(backing === undefined ? {} : { backing }),
    })),
    nics: spec.nics.map(({ slot, mac }) => ({ slot, mac })),
    shares: spec.shares,
    ...(plan.resume === undefined ? {} : { resume: plan.resume }),
  };
}

/** The machine's memory in whole 2 MiB, which is how its first page tables are made. */
export function memoryMibOf(bytes: number): number {
  return Math.floor(bytes / 2 ** 21) * 2;
}

export const memoryBytesMax = ramMibMax * 2 ** 20;
