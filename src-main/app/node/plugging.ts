/**
 * Cables and disks of one machine, put in and taken out: in machine.yaml, and in the machine itself
 * while it runs. Each of these is one turn in the driver's queue.
 */
import { join } from 'node:path';
import { asRefusal, Refusal } from '../../base/refusal.ts';
import type { RunningMachine } from '../../machine/engine.ts';
import type { DiskSpec, NicSpec } from '../../machine/spec.ts';
import { plainDisk } from '../spec-words.ts';
import type { Driver } from './driver.ts';

export function connectNic(driver: Driver, network: string, nic: NicSpec): Promise<void> {
  return driver.queue(async () => {
    refuseHalfway(driver, 'cables wait');
    const { running } = driver;
    const { nics } = driver.goodSpec();
    if (running) await plug(driver, running, nic);
    await driver.edit({ nics: [...nics, nic] });
    if (running) await driver.around.lans.attach(driver, nic);
    driver.note(`Connected to ${network}`);
  });
}

export function disconnectNic(driver: Driver, nic: NicSpec): Promise<void> {
  return driver.queue(async () => {
    refuseSuspended(driver, 'cables wait');
    const { nics } = driver.goodSpec();
    await driver.around.lans.detach(driver, nic);
    // A card whose guest does not let it go stays in its slot without a cable, and takes the
    // next one.
    await driver.running?.unplugNic(nic.slot, driver.inGuest).catch(() => undefined);
    await driver.edit({ nics: nics.filter((other) => other.id !== nic.id) });
    driver.note(`Disconnected from ${nic.network}`);
  });
}

export function addDisk(driver: Driver, disk: DiskSpec): Promise<void> {
  return driver.queue(async () => {
    refuseSuspended(driver, 'disks wait');
    const disks = [...driver.goodSpec().disks, disk];
    const path = join(driver.directory, 'disks', disk.file);
    const index = disks.length - 1;
    await driver.running?.plugDisk({ id: disk.id, index, path }, driver.inGuest);
    await driver.edit({ disks: disks.map(plainDisk) });
    driver.note(`Disk ${disk.id} added`);
  });
}

export function detachDisk(driver: Driver, id: string): Promise<void> {
  return driver.queue(async () => {
    refuseSuspended(driver, 'disks wait');
    const { running } = driver;
    const spec = driver.goodSpec();
    const index = spec.disks.findIndex((disk) => disk.attached && disk.id === id);
    if (index < 0) throw new Refusal('not-found', `“${driver.name}” has no attached disk “${id}”.`);
    if (running && index === 0) {
      throw new Refusal('in-use', 'The root disk cannot be detached while the machine runs.');
    }
    await running?.unplugDisk({ id, index }, driver.inGuest);
    const disks = spec.disks.map((disk) => (disk.id === id ? { ...disk, attached: false } : disk));
    await driver.edit({ disks: disks.map(plainDisk) });
    driver.note(`Disk ${id} detached`);
  });
}

/** Its saved state knows the cards and disks that it had. */
function refuseSuspended({ name, state }: Driver, what: string): void {
  if (state !== 'suspended') return;
  throw new Refusal('wrong-state', `“${name}” is suspended; ${what} until it runs.`);
}

function refuseHalfway(driver: Driver, what: string): void {
  refuseSuspended(driver, what);
  if (!driver.running || driver.state === 'running') return;
  throw new Refusal('wrong-state', `“${driver.name}” is ${driver.state}; ${what} until it runs.`);
}

async function plug(driver: Driver, running: RunningMachine, nic: NicSpec): Promise<void> {
  try {
    await running.plugNic(nic.slot, nic.mac, driver.inGuest);
  } catch (thrown) {
    if (!/already configured/.test(asRefusal(thrown).message)) throw thrown;
  }
}
