/**
 * What a client sees of a machine, made anew from the driver each time: there is no second copy
 * of the truth to keep in step.
 */
import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import type { DiskView, MachineView, NicView } from '../../contract/machine.ts';
import type { MachineSpec } from '../../machine/spec.ts';
import { deviceName } from '../device-name.ts';
import type { Driver } from './driver.ts';
import type { Family } from './family.ts';
import type { ImageLibrary } from './image-library.ts';
import type { LanHouse } from './lan-house.ts';
import type { Confinement } from './planner.ts';

export interface ViewSources {
  readonly images: ImageLibrary;
  readonly lans: LanHouse;
  readonly family: Family;
  readonly confinement: Confinement;
}

export function viewMachine(driver: Driver, sources: ViewSources): MachineView {
  const { spec, guest } = driver;
  const wanted = spec?.confinement ?? 'on';
  const { works, reason } = sources.confinement;
  return {
    id: spec?.id ?? driver.name,
    name: driver.name,
    engine: spec?.engine ?? 'native',
    parent: sources.family.parentOf(spec)?.name,
    children: sources.family.childrenOf(driver).map(({ name }) => name),
    state: sources.family.stateOf(driver),
    sinceMs: driver.sinceMs,
    reason: driver.reason,
    lastLines: driver.lastLines,
    fault: driver.fault,
    cpus: spec?.cpus ?? 1,
    memoryMib: Math.round((spec?.memory ?? 0) / 2 ** 20),
    image: spec?.image,
    kernel: driver.kernel.id,
    kernelChoice: driver.kernel.choice,
    kernelWanted: spec?.kernel ?? 'auto',
    commandLine: spec?.commandLine ?? '',
    pending: driver.pending,
    consoles: driver.consoles.hubs.length,
    disks: spec ? viewDisks(driver, sources) : [],
    nics: spec ? viewNics(driver, sources) : [],
    snapshots: [...driver.snapshots],
    shares: (spec?.shares ?? []).map((share) => ({ ...share })),
    tags: spec?.tags ?? [],
    notes: spec?.notes ?? '',
    confinement: confinementOf(spec, works),
    confinementNote: spec?.parent ? insideNote : confinementNote(wanted, works, reason),
    pid: driver.running?.pid,
    vsock: driver.running?.vsock,
    startedMs: driver.running?.startedMs,
    bootMs: driver.bootMs,
    agent: guest?.hello !== undefined,
    guest: guest?.hello,
    directory: driver.directory,
  };
}

/** A machine inside another has namespaces of that one's guest around it in any case. */
function confinementOf(spec: MachineSpec | undefined, works: boolean): MachineView['confinement'] {
  if (spec?.parent !== undefined) return 'on';
  if (spec?.confinement === 'off') return 'off';
  return works ? 'on' : 'unavailable';
}

const insideNote =
  'It sees its kernel, its own folder and its sockets, and nothing of the guest around it.';

function confinementNote(wanted: 'on' | 'off', works: boolean, reason?: string): string {
  if (wanted === 'off')
    return 'Its owner switched the compartment off: it runs with your own rights.';
  if (!works)
    return `It runs with your own rights: ${reason ?? 'no compartment can be made here.'}`;
  return 'It sees its kernel, its own folder and its sockets, and nothing else of this host.';
}

function viewDisks(driver: Driver, sources: ViewSources): DiskView[] {
  return driver.spec!.disks.map((disk, index) => {
    const file = sizesOf(join(driver.directory, 'disks', disk.file));
    const image = disk.image === undefined ? undefined : sources.images.view(disk.image);
    return {
      id: disk.id,
      kind: disk.image === undefined ? 'blank' : 'overlay',
      image: disk.image,
      virtualBytes: image?.virtualBytes ?? disk.size ?? file.lengthBytes,
      realBytes: file.realBytes,
      device: deviceName(driver.spec!.engine, index),
      attached: disk.attached,
    };
  });
}

function viewNics(driver: Driver, sources: ViewSources): NicView[] {
  return driver.spec!.nics.map((nic) => {
    const leased = sources.lans.addressOf(nic.network, nic.mac);
    const reported = driver.guest?.cardAddresses(nic.slot) ?? [];
    const addresses = [...new Set([...(leased ? [leased] : []), ...reported])];
    return {
      id: nic.id,
      slot: nic.slot,
      network: nic.network,
      mac: nic.mac,
      addresses,
      connected: sources.lans.connected(driver, nic),
    };
  });
}

function sizesOf(path: string): { lengthBytes: number; realBytes: number } {
  try {
    const { size, blocks } = lstatSync(path);
    return { lengthBytes: size, realBytes: blocks * 512 };
  } catch {
    return { lengthBytes: 0, realBytes: 0 };
  }
}
