/**
 * Snapshots of machines: taken of one that runs, which stands still for it, or of one that is
 * suspended; the start of any number of clones, each with a name, an id and cards of its own.
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Refusal } from '../../base/refusal.ts';
import type { SnapshotView } from '../../contract/machine.ts';
import { newSpecText, type MachineSpec } from '../../machine/spec.ts';
import { inputOf } from '../spec-words.ts';
import { clock } from './clock.ts';
import { makeDiskCopy } from './disk-makers.ts';
import type { Driver } from './driver.ts';
import { makeNic, type Machines } from './machines.ts';
import {
  copySuspended, createSnapshot, describeState, existingSnapshot, readState,
  suspendFrom,
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
    return driver.exclusively(async () => {
      const { directory, snapshots } = driver;
      if (snapshots.length >= snapshotsMax) {
        throw new Refusal('no-space', `“${driver.name}” has ${snapshotsMax} snapshots already.`);
      }
      const name = wanted ?? freeName(snapshots);
      await createSnapshot(directory, name, async (folder) => {
        if (driver.state === 'suspended') {
          await copySuspended(directory, folder);
          await copyDisks(driver.goodSpec(), join(directory, 'disks'), join(folder, 'disks'));
        } else await keepRunning(driver, folder);
      });
      driver.note(`Snapshot ${name} taken`);
      await driver.lookAtSnapshots();
      return driver.snapshots.find((snapshot) => snapshot.name === name)!;
    });
  }

  remove(driver: Driver, name: string): Promise<void> {
    return driver.exclusively(async () => {
      const folder = existingSnapshot(driver.directory, name);
      await rm(join(folder, 'state'));
      await rm(folder, { recursive: true });
      driver.note(`Snapshot ${name} deleted`);
      await driver.lookAtSnapshots();
    });
  }

  /** A new machine that is suspended where the snapshot was taken. */
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
      await suspendFrom(folder, dirname(disks));
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

function freeName(taken: readonly SnapshotView[]): string {
  for (let number = 1; ; number++) {
    const name = `snapshot-${number}`;
    if (!taken.some((snapshot) => snapshot.name === name)) return name;
  }
}

