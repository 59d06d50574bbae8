/**
 * Machines as files: exporting one that is off into a bundle, and making one from a bundle. Both
 * are jobs, done on a thread aside.
 *
 * Must hold: while a machine is exported nothing changes its disks (`refuseHeld` stands before
 * every call that would); a machine from a bundle appears whole or not at all.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { Refusal } from '../../base/refusal.ts';
import { makeDirectory } from '../../base/node/files.ts';
import { machineName } from '../../contract/machine.ts';
import type { MethodName } from '../../contract/methods.ts';
import type { ImageReport, JobView } from '../../contract/things.ts';
import type { BundleHead } from '../../disks/bundle.ts';
import { runAside } from '../../disks/node/aside.ts';
import { readBundleHead } from '../../disks/node/bundle.ts';
import { checkName, parseSpec, type DiskSpec } from '../../machine/spec.ts';
import { adoptSpec, type Adopted } from '../bundle-spec.ts';
import type { JobHandle, Jobs } from '../jobs.ts';
import type { Driver } from './driver.ts';
import type { ImageLibrary } from './image-library.ts';
import type { LanHouse } from './lan-house.ts';
import { diskFile, type MachineStore } from './machine-store.ts';
import { makeNic, throwAwayTag, type Machines } from './machines.ts';

/** Calls that leave a machine's disks and its folder as they are. */
const harmless: readonly MethodName[] = ['machine.get', 'machine.config', 'machine.log'];

export interface Surroundings {
  readonly jobs: Jobs;
  readonly store: MachineStore;
  readonly machines: Machines;
  readonly images: Pick<ImageLibrary, 'rawPath'>;
  readonly lans: Pick<LanHouse, 'has'>;
  /** Where bundles go that nobody gave a place. */
  readonly exports: string;
}

/** A file of the host that may be a bundle, and what its owner calls it. */
export type Handed = { readonly path: string; readonly title: string };

export class Bundles {
  private readonly around: Surroundings;
  private readonly held = new Set<Driver>();
  /** Names that running imports are to make. */
  private readonly promised = new Set<string>();

  constructor(around: Surroundings) {
    this.around = around;
  }

  /** @throws Refusal `in-use` for what would change a machine that is being exported. */
  refuseHeld(method: MethodName, driver: Driver): void {
    if (!this.held.has(driver) || harmless.includes(method) || method.startsWith('console.'))
      return;
    throw new Refusal(
      'in-use',
      `“${driver.name}” is being exported; wait for that, or cancel it in the jobs.`,
    );
  }

  /** @param path a new file; in the owner's folder for such things when not given. */
  async export(driver: Driver, path: string | undefined): Promise<JobView> {
    const target = path === undefined ? await this.freePath(driver.name) : checkTarget(path);
    const { jobs } = this.around;
    this.refuseHeld('machine.export', driver);
    // From here on no start gets through; one that got through before has its turn first.
    this.held.add(driver);
    return jobs.start({ kind: 'machine-export', title: `Export ${driver.name}` }, async (job) => {
      try {
        await driver.queue(async () => {
          if (driver.alive) throw new Refusal('wrong-state', `“${driver.name}” has been started.`);
        });
        await this.pack(driver, target, job);
        return target;
      } finally {
        this.held.delete(driver);
      }
    });
  }

  /** What is in a bundle, as a sheet shows it; undefined for any other file. */
  async inspect(file: Handed): Promise<ImageReport | undefined> {
    const head = await readBundleHead(file.path);
    if (!head) return undefined;
    return reportOf(head, this.adopt(head), statSync(file.path).size);
  }

  /** @param name refused where it is taken; without, the bundle's own or the next free one. */
  async import(file: Handed, name: string | undefined, after: () => void): Promise<JobView> {
    const head = await readBundleHead(file.path);
    if (!head) {
      throw new Refusal('unsupported', `“${basename(file.title)}” is not a machine bundle.`);
    }
    const adopted = this.adopt(head);
    const chosen = this.choose(name, head);
    this.promised.add(chosen);
    const about = { kind: 'machine-import', title: `Import ${file.title}` } as const;
    return this.around.jobs.start(about, async (job) => {
      try {
        for (const sentence of adopted.leftOut) job.log(sentence);
        const driver = await this.around.machines.createFrom(chosen, adopted.text, (directory) =>
          runAside('unpack', { path: file.path, directory, head }, progressOf(job)),
        );
        driver.note(`Imported from ${basename(file.title)}`);
        for (const sentence of adopted.leftOut) driver.note(sentence);
        return chosen;
      } finally {
        this.promised.delete(chosen);
        after();
      }
    });
  }

  private async pack(driver: Driver, path: string, job: JobHandle): Promise<void> {
    const machineText = await this.around.store.readSpec(driver.name);
    const { disks } = parseSpec(machineText);
    const bytes = await runAside(
      'pack',
      {
        directory: dirname(path),
        name: basename(path),
        machineName: driver.name,
        machineText,
        disks: disks.map((disk) => this.diskOf(driver, disk)),
      },
      progressOf(job),
    );
    job.log(`${path}: ${bytes} bytes`);
  }

  private diskOf({ name, directory }: Driver, disk: DiskSpec) {
    const { id, image } = disk;
    const path = diskFile(name, directory, disk);
    return image === undefined
      ? { id, path }
      : { id, path, backing: this.around.images.rawPath(image) };
  }

  private adopt(head: BundleHead): Adopted {
    return adoptSpec(head.machineText, head.manifest.disks, {
      id: randomBytes(4).toString('hex'),
      reservedTags: [throwAwayTag],
      hasNetwork: (network) => this.around.lans.has(network),
      makeNic,
    });
  }

  private choose(name: string | undefined, { manifest }: BundleHead): string {
    if (name === undefined) {
      if (!machineName.safeParse(manifest.name).success) {
        throw new Refusal('bad-input', 'The machine in this bundle has a name that none can have.');
      }
      return this.around.machines.freeName(manifest.name, (other) => this.promised.has(other));
    }
    if (this.around.store.exists(checkName(name)) || this.promised.has(name)) {
      throw new Refusal('exists', `There is a machine “${name}” already.`);
    }
    return name;
  }

  private async freePath(stem: string): Promise<string> {
    await makeDirectory(this.around.exports);
    for (let number = 1; ; number++) {
      const file = number === 1 ? `${stem}.nymph` : `${stem}-${number}.nymph`;
      const path = join(this.around.exports, file);
      if (!existsSync(path)) return path;
    }
  }
}

function checkTarget(path: string): string {
  if (!isAbsolute(path)) throw new Refusal('usage', 'Name the file by its full path.');
  const folder = statSync(dirname(path), { throwIfNoEntry: false });
  if (!folder?.isDirectory()) {
    throw new Refusal('not-found', `There is no folder ${dirname(path)}.`);
  }
  if (existsSync(path)) throw new Refusal('exists', `There is a file “${basename(path)}” already.`);
  return path;
}

function progressOf(job: JobHandle) {
  return {
    signal: job.signal,
    onProgress: (done: number, total: number | undefined, step: string) =>
      job.report(total ? done / total : undefined, step),
  };
}

function reportOf(head: BundleHead, { spec, leftOut }: Adopted, storedBytes: number): ImageReport {
  const { name, disks } = head.manifest;
  const memoryMib = Math.round(spec.memory / 2 ** 20);
  const cpus = spec.cpus === 1 ? '1 CPU' : `${spec.cpus} CPUs`;
  const count = disks.length === 1 ? 'one disk' : `${disks.length} disks`;
  return {
    kind: 'machine',
    layers: ['zstd', 'bundle'],
    virtualBytes: disks.reduce((sum, { bytes }) => sum + bytes, 0),
    storedBytes,
    partitionTable: 'none',
    partitions: [],
    engine: spec.engine,
    sentence: `The machine “${name}”: ${cpus}, ${memoryMib} MiB of memory, ${count}; ` +
      `runs on the ${spec.engine} engine.`,
    machine: {
      name,
      cpus: spec.cpus,
      memoryMib,
      disks: disks.map(({ id, bytes }) => ({ id, virtualBytes: bytes })),
      networks: spec.nics.map(({ network }) => network),
      leftOut: [...leftOut],
    },
  }; // prettier-ignore
}
