/**
 * Snapshots of machines: taken of one that runs, which stands still for it, of one that is
 * suspended, or of the disks of one that is off. A machine goes back to its own, and they are the
 * start of any number of clones, each with a name, an id and cards of its own.
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { link, open, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Refusal } from '../../base/refusal.ts';
import type { SnapshotView } from '../../contract/machine.ts';
import { editSpec, newSpecText, type MachineSpec } from '../../machine/spec.ts';
import { inputOf, revertedSpec } from '../spec-words.ts';
import { clock } from './clock.ts';
import { makeDiskCopy } from './disk-makers.ts';
import type { Driver } from './driver.ts';
import { exchange } from './exchange.ts';
import { diskFile, specFile } from './machine-store.ts';
import { makeNic, type Machines } from './machines.ts';
import {
  copySuspended, createSnapshot, describeState, existingSnapshot, hasMemory, readState,
  removeSnapshot, suspendFrom,
} from './saved-states.ts'; // prettier-ignore
import { savingMachine } from './saving-machine.ts';
import { tellTheTime } from './wake.ts';

const snapshotsMax = 100;

export class Snapshots {
  private readonly machines: Machines;

  constructor(machines: Machines) {
    this.machines = machines;
  }

  /** @param wanted a name; the next free number when not given. */
  create(driver: Driver, wanted: string | undefined): Promise<SnapshotView> {
    return driver.queue(async () => {
      const { directory, snapshots } = driver;
      if (snapshots.length >= snapshotsMax) {
        throw new Refusal('no-space', `“${driver.name}” has ${snapshotsMax} snapshots already.`);
      }
      const name = wanted ?? freeName(snapshots);
      await createSnapshot(directory, name, async (folder) => {
        if (driver.alive) return keepRunning(driver, folder);
        const spec = driver.goodSpec();
        if (driver.state === 'suspended') await copySuspended(directory, folder);
        else await describeState(folder, driver.name, clock.nowMs(), spec);
        await copyDisks(spec, join(directory, 'disks'), join(folder, 'disks'));
      });
      driver.note(`Snapshot ${name} taken`);
      await driver.lookAtSnapshots();
      return driver.snapshots.find((snapshot) => snapshot.name === name)!;
    });
  }

  remove(driver: Driver, name: string): Promise<void> {
    return driver.queue(async () => {
      await removeSnapshot(driver.directory, name);
      driver.note(`Snapshot ${name} deleted`);
      await driver.lookAtSnapshots();
    });
  }

  /**
   * Puts back its disks, and its memory where the snapshot has it: then one that ran goes on, and
   * any other is suspended.
   */
  async revert(driver: Driver, name: string): Promise<void> {
    const goesOn = await driver.queue(async () => {
      const { alive, directory } = driver;
      const folder = existingSnapshot(directory, name);
      const { spec: then } = await readState(folder);
      this.machines.refuseNoImage(then);
      const spec = revertedSpec(then, driver.goodSpec());
      const { cpus, memory, consoles, nics, disks } = inputOf(spec);
      const text = editSpec(await driver.around.store.readSpec(driver.name), {
        cpus, memory, consoles, nics, disks,
      }); // prettier-ignore
      await exchange(directory, async (aside) => {
        await copyDisks(then, join(folder, 'disks'), join(aside, 'disks'));
        await linkDisks(driver, spec.disks.slice(then.disks.length), join(aside, 'disks'));
        if (hasMemory(folder)) await suspendFrom(folder, aside);
        await writeFile(join(aside, specFile), text, { mode: 0o644, flush: true });
        // Last of all, so that it has lost nothing while this can still fail.
        if (driver.alive) await driver.end();
      });
      await driver.reverted();
      driver.note(`Went back to the snapshot ${name}`);
      return alive && hasMemory(folder);
    });
    if (goesOn) await driver.start();
  }

  /** A new machine, suspended where the snapshot was taken; without its memory it is off. */
  async clone(driver: Driver, snapshot: string, wanted: string | undefined): Promise<Driver> {
    const folder = existingSnapshot(driver.directory, snapshot);
    const { spec } = await readState(folder);
    const id = randomBytes(4).toString('hex');
    const text = newSpecText({
      ...inputOf(spec),
      id,
      nics: spec.nics.map(({ network, slot }) => makeNic(id, network, slot)),
    });
    const name = wanted ?? this.machines.freeName(driver.name);
    const clone = await this.machines.createFrom(name, text, async (disks) => {
      await copyDisks(spec, join(folder, 'disks'), disks);
      if (hasMemory(folder)) await suspendFrom(folder, dirname(disks));
    });
    clone.note(`Made from the snapshot ${snapshot} of ${driver.name}`);
    return clone;
  }
}

/** Its disks are copied while it stands still at the very point of its saved memory. */
async function keepRunning(driver: Driver, folder: string): Promise<void> {
  const running = savingMachine(driver);
  const spec = driver.hardware();
  const path = await describeState(folder, driver.name, clock.nowMs(), spec);
  await running.snapshot(path, () =>
    copyDisks(spec, join(driver.directory, 'disks'), join(folder, 'disks')),
  );
  await tellTheTime(driver);
}

async function copyDisks(spec: MachineSpec, from: string, to: string): Promise<void> {
  for (const { id, file } of spec.disks) {
    // The machine's process can put a link there, which is not for us to follow.
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW;
    const disk = await open(join(from, file), flags).catch(() => {
      throw new Refusal('not-found', `The disk “${id}” has lost its file.`);
    });
    try {
      await makeDiskCopy(join(to, file), `/proc/self/fd/${disk.fd}`);
    } finally {
      await disk.close();
    }
  }
}

/** The files themselves: what they hold is not for a snapshot to change. */
async function linkDisks(driver: Driver, disks: MachineSpec['disks'], to: string): Promise<void> {
  for (const disk of disks) {
    await link(diskFile(driver.name, driver.directory, disk), join(to, disk.file));
  }
}

function freeName(taken: readonly SnapshotView[]): string {
  for (let number = 1; ; number++) {
    const name = `snapshot-${number}`;
    if (!taken.some((snapshot) => snapshot.name === name)) return name;
  }
}

