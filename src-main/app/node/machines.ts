/**
 * All machines: finds them, makes them, throws them away, and watches their folders so that an
 * edit by hand is taken up. What happens inside one machine is its driver's business.
 */
import { randomBytes } from 'node:crypto';
import { watch, type FSWatcher } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Refusal } from '../../base/refusal.ts';
import type { EngineName } from '../../contract/machine.ts';
import type { Params } from '../../contract/methods.ts';
import type { ImageReport } from '../../contract/things.ts';
import {
  formatSize, type DiskSpec, type MachineSpec, type NicSpec, type SpecInput,
} from '../../machine/spec.ts'; // prettier-ignore
import { checkName } from '../../machine/spec.ts';
import { makeBlankDisk, makeDiskCopy, makeOverlay } from './disk-makers.ts';
import { plainDisk } from '../spec-words.ts';
import { tinyFor } from './engine-kit.ts';
import { Driver, type Surroundings } from './driver.ts';
import type { ImageLibrary } from './image-library.ts';
import type { LanHouse } from './lan-house.ts';
import type { MachineStore } from './machine-store.ts';
import { addDisk, connectNic, disconnectNic } from './plugging.ts';

const machinesMax = 1000;
/** Marks a machine that lives for one command. */
export const throwAwayTag = 'throw-away';
const nicSlots = 4;

export class Machines {
  private readonly drivers = new Map<string, Driver>();
  private readonly around: Surroundings;
  private readonly store: MachineStore;
  private readonly images: ImageLibrary;
  private readonly lans: LanHouse;
  private readonly onRemoved: (id: string) => void;
  private watcher?: FSWatcher;
  private rescanTimer?: NodeJS.Timeout;

  constructor(parts: {
    around: Surroundings;
    images: ImageLibrary;
    lans: LanHouse;
    onRemoved: (id: string) => void;
  }) {
    this.around = parts.around;
    this.store = parts.around.store;
    this.images = parts.images;
    this.lans = parts.lans;
    this.onRemoved = parts.onRemoved;
  }

  async open(): Promise<void> {
    for (const name of await this.store.open()) await this.add(name);
    // One that is inside another is reached through it, so that one comes first.
    for (const driver of this.around.family.outermostFirst()) {
      driver.lookAtSaved();
      await driver.adopt().catch((thrown: unknown) => driver.note(String(thrown)));
    }
    // Throw-away machines belonged to a command whose server is gone.
    for (const driver of this.all().filter((each) => each.spec?.tags.includes(throwAwayTag))) {
      await this.discard(driver).catch((thrown: unknown) => driver.note(String(thrown)));
    }
    this.watcher = watch(join(this.store.directory('.'), '.'), { recursive: true }, (_, file) => {
      if (!file || /machine\.yaml$/.test(file) || !file.includes('/')) this.scheduleRescan();
    });
  }

  async close(): Promise<void> {
    this.watcher?.close();
    clearTimeout(this.rescanTimer);
    for (const driver of this.all()) await driver.leave();
  }

  all(): Driver[] {
    return [...this.drivers.values()];
  }

  /** By name or id. @throws Refusal `not-found` */
  find(nameOrId: string): Driver {
    const driver = this.drivers.get(nameOrId) ?? this.byId(nameOrId);
    if (!driver) throw new Refusal('not-found', `There is no machine “${nameOrId}”.`);
    return driver;
  }

  byId(id: string): Driver | undefined {
    return this.all().find((driver) => driver.spec?.id === id);
  }

  users(image: string): string[] {
    return this.all()
      .filter((driver) => driver.spec?.disks.some((disk) => disk.image === image))
      .map((driver) => driver.name);
  }

  /** @throws Refusal `not-found` for one whose disks could not be read any more. */
  refuseNoImage({ disks }: MachineSpec): void {
    for (const { image } of disks) if (image !== undefined) this.images.note(image);
  }

  /** Everything a creation is refused for before it has begun. */
  refuseCreation(wanted: Params<'machine.create'>): void {
    this.refuseMore();
    if (wanted.name !== undefined) {
      checkName(wanted.name);
      if (this.store.exists(wanted.name)) {
        throw new Refusal('exists', `There is a machine “${wanted.name}” already.`);
      }
    }
    const { image, engine } = this.chosen(wanted);
    refuseMismatch(image, this.images.note(image).report, engine);
    this.refuseInside(wanted, engine);
    const missing = wanted.networks.find((network) => !this.lans.has(network));
    if (missing !== undefined) {
      throw new Refusal('not-found', `There is no network “${missing}”.`);
    }
    if (wanted.networks.length > nicSlots) {
      throw new Refusal('unsupported', `A machine has at most ${nicSlots} network cards.`);
    }
  }

  /** Tiny Linux is there for each engine; any other image has one that it runs on. */
  private chosen(wanted: Pick<Params<'machine.create'>, 'image' | 'engine' | 'inside'>): {
    image: string;
    engine: EngineName;
  } {
    const engine = wanted.engine ?? this.parent(wanted)?.spec?.engine;
    if (wanted.image === 'tiny' && engine !== undefined) return { image: tinyFor(engine), engine };
    const { report } = this.images.note(wanted.image);
    return { image: wanted.image, engine: engine ?? engineFor(report) };
  }

  /** What a machine inside another is refused for; one runs on the engine of those around it. */
  private refuseInside(wanted: Params<'machine.create'>, engine: EngineName): void {
    const parent = this.parent(wanted);
    if (!parent) return;
    const around = parent.spec?.engine ?? 'native';
    if (around !== engine) {
      throw new Refusal(
        'unsupported',
        `“${parent.name}” runs on the ${around} engine, so what is inside it does too.`,
      );
    }
    this.around.family.refuseParent(parent, this.around.engine(engine));
  }

  private parent(wanted: Pick<Params<'machine.create'>, 'inside'>): Driver | undefined {
    return wanted.inside === undefined ? undefined : this.find(wanted.inside);
  }

  async create(wanted: Params<'machine.create'>): Promise<Driver> {
    this.refuseCreation(wanted);
    const { image, engine } = this.chosen(wanted);
    const name = wanted.name ?? this.freeName(image);
    const { report } = this.images.note(image);
    const id = randomBytes(4).toString('hex');
    const parent = this.parent(wanted);
    const spec: SpecInput = {
      id,
      engine,
      ...(parent?.spec ? { parent: parent.spec.id } : {}),
      cpus: wanted.cpus,
      memory: formatSize(wanted.memoryMib * 2 ** 20),
      image,
      ...(report.root?.partition ? { rootPartition: report.root.partition } : {}),
      ...(report.root && report.root.filesystem !== 'ext4'
        ? { rootFilesystem: report.root.filesystem }
        : {}),
      ...(report.root?.init && report.root.init !== '/sbin/init' ? { init: report.root.init } : {}),
      disks: [{ id: 'root', image, file: 'root.cow' }],
      ...(wanted.networks.length > 0
        ? { nics: wanted.networks.map((network, slot) => makeNic(id, network, slot)) }
        : {}),
      ...(wanted.tags.length > 0 ? { tags: wanted.tags } : {}),
    };
    await this.store.create(name, spec, async (directory) => {
      await makeOverlay(join(directory, 'root.cow'), this.images.rawPath(image));
    });
    const driver = await this.add(name);
    if (parent) this.around.announce(parent);
    return driver;
  }

  /** From a machine.yaml that is there already, such as a bundle's; `fill` makes its disks. */
  async createFrom(
    name: string,
    text: string,
    fill: (directory: string) => Promise<void>,
  ): Promise<Driver> {
    this.refuseMore();
    await this.store.create(name, text, fill);
    return this.add(name);
  }

  /** With `children`, what is inside goes first. */
  async remove(driver: Driver, force: boolean, children: boolean): Promise<void> {
    const { family } = this.around;
    if (!children) family.refuseAny(driver);
    for (const inner of family.childrenOf(driver)) await this.remove(inner, force, true);
    if (driver.alive) {
      if (!force) {
        throw new Refusal(
          'wrong-state',
          `“${driver.name}” is ${driver.state}; stop it first, or use force.`,
        );
      }
      await driver.kill();
    }
    await driver.leave();
    await this.store.moveToTrash(driver.name);
    this.drop(driver);
    const parent = family.parentOf(driver.spec);
    if (parent) this.around.announce(parent);
  }

  /** Deletes a throw-away machine for good. */
  async discard(driver: Driver): Promise<void> {
    if (driver.alive) await driver.kill();
    await driver.leave();
    this.drop(driver);
    await this.store.discard(driver.name);
  }

  async recover(name: string): Promise<Driver> {
    await this.store.recover(name);
    return this.add(name);
  }

  async rename(driver: Driver, newName: string): Promise<void> {
    const oldName = driver.name;
    await driver.rename(newName);
    this.drivers.delete(oldName);
    this.drivers.set(newName, driver);
  }

  async connect(driver: Driver, network: string): Promise<void> {
    if (!this.lans.has(network))
      throw new Refusal('not-found', `There is no network “${network}”.`);
    const nics = driver.spec?.nics ?? [];
    if (nics.some((nic) => nic.network === network)) {
      throw new Refusal('exists', `“${driver.name}” is connected to “${network}” already.`);
    }
    const taken = new Set(nics.map((nic) => nic.slot));
    const slot = Array.from({ length: nicSlots }, (_, index) => index).find(
      (index) => !taken.has(index),
    );
    if (slot === undefined) {
      throw new Refusal(
        'no-space',
        `“${driver.name}” has all its ${nicSlots} network cards connected.`,
      );
    }
    await connectNic(driver, network, makeNic(driver.spec!.id, network, slot));
  }

  async disconnect(driver: Driver, network: string): Promise<void> {
    const nic = driver.spec?.nics.find((other) => other.network === network);
    if (!nic) throw new Refusal('not-found', `“${driver.name}” is not connected to “${network}”.`);
    await disconnectNic(driver, nic);
  }

  async addDisk(driver: Driver, wanted: { sizeBytes?: number; image?: string }): Promise<void> {
    const disks = driver.spec?.disks ?? [];
    if (disks.length >= 8) throw new Refusal('no-space', 'A machine has at most eight disks.');
    const id = freeDiskId(disks);
    const directory = join(driver.directory, 'disks');
    if (wanted.image !== undefined) {
      const backing = this.images.rawPath(wanted.image);
      const live = driver.alive;
      // The compartment of a running machine does not reach further images, so it gets a copy.
      const file = live ? `${id}.raw` : `${id}.cow`;
      if (live) await makeDiskCopy(join(directory, file), backing);
      else await makeOverlay(join(directory, file), backing);
      const disk = { id, file, attached: true, ...(live ? {} : { image: wanted.image }) };
      return this.attach(driver, disk, join(directory, file));
    }
    if (wanted.sizeBytes === undefined) throw new Refusal('usage', 'Say a size or an image.');
    const file = `${id}.raw`;
    await makeBlankDisk(join(directory, file), wanted.sizeBytes);
    await this.attach(
      driver,
      { id, file, attached: true, size: wanted.sizeBytes },
      join(directory, file),
    );
  }

  deleteDisk(driver: Driver, id: string): Promise<void> {
    const disks = driver.spec?.disks ?? [];
    const disk = disks.find((other) => other.id === id);
    if (!disk) throw new Refusal('not-found', `“${driver.name}” has no disk “${id}”.`);
    if (disks.indexOf(disk) === 0) {
      throw new Refusal(
        'in-use',
        'The root disk goes with its machine; delete the machine instead.',
      );
    }
    return driver
      .configure({ disks: disks.filter((other) => other !== disk).map(plainDisk) })
      .then(() => rm(join(driver.directory, 'disks', disk.file), { force: true }));
  }

  private async attach(driver: Driver, disk: DiskSpec, path: string): Promise<void> {
    try {
      await addDisk(driver, disk);
    } catch (thrown) {
      await rm(path, { force: true });
      throw thrown;
    }
  }

  private refuseMore(): void {
    if (this.drivers.size < machinesMax) return;
    throw new Refusal('no-space', 'There are a thousand machines already.');
  }

  private async add(name: string): Promise<Driver> {
    const known = this.drivers.get(name);
    if (known) return known;
    const driver = new Driver(name, this.around);
    this.drivers.set(name, driver);
    await driver.reload();
    const twin = this.all().find((other) => other !== driver && other.spec?.id === driver.spec?.id);
    if (twin && driver.spec) {
      // A folder copied by hand: the copy becomes a machine of its own.
      await driver.configure({ id: randomBytes(4).toString('hex') });
    }
    return driver;
  }

  private drop(driver: Driver): void {
    this.drivers.delete(driver.name);
    this.onRemoved(driver.spec?.id ?? driver.name);
  }

  private scheduleRescan(): void {
    clearTimeout(this.rescanTimer);
    this.rescanTimer = setTimeout(() => void this.rescan(), 150).unref();
  }

  private async rescan(): Promise<void> {
    const names = new Set(await this.store.names().catch(() => []));
    for (const driver of this.all()) {
      if (names.has(driver.name)) await driver.reload();
      else if (!driver.alive && !this.store.exists(driver.name)) this.drop(driver);
    }
    for (const name of names) {
      if (!this.drivers.has(name) && this.store.exists(name)) await this.add(name);
    }
  }

  /** The first name like `wish` that no machine has and that is not `taken` otherwise. */
  freeName(wish: string, taken = (_: string): boolean => false): string {
    const stem = wish.replace(/[^a-z0-9-]+/g, '-').replace(/^[^a-z]+|-+$/g, '') || 'machine';
    for (let number = 1; ; number++) {
      const name = number === 1 ? stem.slice(0, 60) : `${stem.slice(0, 56)}-${number}`;
      if (!this.store.exists(name) && !taken(name)) return name;
    }
  }
}

/**
 * A card with a locally administered unicast address (IEEE 802, U/L bit set) that follows from the
 * machine's id and the slot: a card that is put in again is the same card.
 */
export function makeNic(machineId: string, network: string, slot: number): NicSpec {
  const tail = [...(machineId.match(/../g) ?? []), slot.toString(16).padStart(2, '0')];
  return { id: `nic${slot}`, slot, network, mac: ['52', ...tail].join(':') };
}

/** @throws Refusal `unsupported` with what the image is. */
function engineFor(report: ImageReport): EngineName {
  if (report.engine === 'none') throw new Refusal('unsupported', report.sentence);
  return report.engine;
}

function refuseMismatch(image: string, report: ImageReport, engine: EngineName): void {
  const own = engineFor(report);
  if (own === engine) return;
  const what = report.root?.architecture ?? 'another processor';
  throw new Refusal(
    'unsupported',
    `The image “${image}” is for ${what}; it runs on the ${own} engine only.`,
  );
}

function freeDiskId(disks: readonly DiskSpec[]): string {
  for (let number = 1; ; number++) {
    const id = `data${number}`;
    if (!disks.some((disk) => disk.id === id || disk.file.startsWith(`${id}.`))) return id;
  }
}
