/**
 * The household: builds every room in order, joins them, and takes them down in reverse. Whoever
 * opens a door (a shell) holds one `App` and serves its `api`.
 *
 *   const app = await App.open({ home });
 *   new Connection(channel, app.api, { trusted: true });
 */
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { Refusal } from '../../base/refusal.ts';
import { makeDirectory } from '../../base/node/files.ts';
import type { Events } from '../../contract/events.ts';
import type { MachineView } from '../../contract/machine.ts';
import type { Check, HostView } from '../../contract/things.ts';
import { contractVersion } from '../../contract/version.ts';
import { missingBuildPackages } from '../../kernels/node/build.ts';
import type { Engine } from '../../machine/engine.ts';
import type { EngineName } from '../../contract/machine.ts';
import { Jobs } from '../jobs.ts';
import { AppApi } from './api.ts';
import { clock } from './clock.ts';
import { runChecks } from './doctor.ts';
import type { Driver } from './driver.ts';
import { EngineKit } from './engine-kit.ts';
import { Family } from './family.ts';
import { Bundles } from './bundles.ts';
import { ImageLibrary } from './image-library.ts';
import { architectureOf, buildBootRamdisk } from './image-makers.ts';
import { KernelShelf } from './kernel-shelf.ts';
import { LanHouse } from './lan-house.ts';
import { LayoutStore } from './layout-store.ts';
import { MemoryReturn } from './memory-return.ts';
import { MachineStore } from './machine-store.ts';
import { Machines } from './machines.ts';
import { nymphPaths, type Paths } from './paths.ts';
import { canBuildKernel } from './prepare.ts';
import { availableMemoryBytes, Planner, type Confinement } from './planner.ts';
import { seedStaged } from './staged.ts';
import { Snapshots } from './snapshots.ts';
import { StatsWatch } from './stats-watch.ts';
import { Uploads } from './uploads.ts';
import { viewMachine } from './views.ts';
import { openWorkshop } from './workshop.ts';

export interface AppOptions {
  readonly home?: string;
  readonly version: string;
  /** The engines of this door, chosen by the shell that opens it. */
  readonly engines: readonly Engine[];
  readonly confinement: Confinement;
  /** Builds the vkernel as a job when it is missing and can be built. */
  readonly buildKernels: boolean;
  /** Called when the server is to end; machines are left or stopped by then. */
  readonly onQuit: () => void;
}

export class App {
  readonly paths: Paths;
  readonly jobs: Jobs;
  readonly store: MachineStore;
  readonly images: ImageLibrary;
  readonly kernels: KernelShelf;
  readonly kit: EngineKit;
  readonly lans: LanHouse;
  readonly layout: LayoutStore;
  readonly family: Family;
  readonly machines: Machines;
  readonly stats: StatsWatch;
  readonly uploads: Uploads;
  readonly bundles: Bundles;
  readonly memoryReturn: MemoryReturn;
  readonly snapshots: Snapshots;
  readonly api: AppApi;
  private readonly options: AppOptions;
  private readonly confinement: Confinement;
  private networkTimer?: NodeJS.Timeout;
  private quitting = false;

  private constructor(options: AppOptions) {
    this.options = options;
    this.confinement = options.confinement;
    this.paths = nymphPaths(process.env, options.home);
    this.jobs = new Jobs(clock.nowMs, (job) => this.api.emit('job.changed', job));
    this.store = new MachineStore(this.paths, clock.nowMs);
    this.images = new ImageLibrary({
      paths: this.paths,
      jobs: this.jobs,
      nowMs: clock.nowMs,
      usedBy: (image) => this.machines.users(image),
      trashedUsers: (image) => this.store.trashedUsers(image),
      announce: (name) => this.announceImage(name),
      finish: openWorkshop({
        paths: this.paths,
        engine: () => this.engine('portable'),
        kernels: { choose: (...words) => this.kernels.choose(...words) },
        confinement: options.confinement,
      }),
    });
    this.kernels = new KernelShelf({
      paths: this.paths,
      jobs: this.jobs,
      usedBy: (kernel) => this.kernelUsers(kernel),
      announce: () => this.announceKernels(),
    });
    this.kit = new EngineKit(this);
    this.lans = new LanHouse({
      paths: this.paths,
      machines: () => this.machines.all(),
      announce: (id) => this.announceNetwork(id),
    });
    this.layout = new LayoutStore({
      paths: this.paths,
      isKnown: (id) => this.machines.byId(id) !== undefined,
      announce: (places) => this.api.emit('layout.changed', { places }),
    });
    this.family = new Family(() => this.machines.all());
    this.machines = new Machines({
      images: this.images,
      lans: this.lans,
      onRemoved: (id) => this.api.emit('machine.removed', { id }),
      around: {
        store: this.store,
        lans: this.lans,
        family: this.family,
        planner: new Planner({
          paths: this.paths,
          images: this.images,
          kernels: this.kernels,
          confinement: options.confinement,
          initramfs: (engine) => buildBootRamdisk(this.paths, architectureOf[engine]),
        }),
        engine: (name) => this.engine(name),
        announce: (driver) => this.announceMachine(driver),
      },
    });
    this.stats = new StatsWatch((id) => this.machines.byId(id), this.lans, this.family);
    this.uploads = new Uploads(this.paths);
    const { jobs, store, machines, images, lans, paths } = this;
    this.bundles = new Bundles({ jobs, store, machines, images, lans, exports: paths.exports });
    this.snapshots = new Snapshots(this.machines);
    this.memoryReturn = new MemoryReturn(() => this.machines.all());
    this.api = new AppApi(this);
  }

  static async open(options: AppOptions): Promise<App> {
    const app = new App(options);
    await makeDirectory(app.paths.run);
    await makeDirectory(app.paths.state);
    await app.uploads.open();
    for (const sentence of await seedStaged(app.paths)) process.stderr.write(`${sentence}\n`);
    await app.kernels.open();
    await app.images.open();
    await app.lans.open();
    await app.layout.open();
    await app.machines.open();
    await app.firstTime();
    if (options.buildKernels) void app.bringKernels();
    app.memoryReturn.open();
    app.networkTimer = setInterval(() => app.announceBusyNetworks(), 1000).unref();
    return app;
  }

  viewMachine(driver: Parameters<typeof viewMachine>[0]): MachineView {
    const { images, lans, family, confinement } = this;
    return viewMachine(driver, { images, lans, family, confinement });
  }

  snapshot(): Events['snapshot'] {
    return {
      host: this.host(),
      machines: this.machines.all().map((driver) => this.viewMachine(driver)),
      networks: this.lans.list(),
      images: this.images.list(),
      kernels: this.kernels.list(),
      jobs: this.jobs.list(),
    };
  }

  host(): HostView {
    return {
      version: this.options.version,
      contract: contractVersion,
      pid: process.pid,
      platform: `${process.platform} ${process.arch}`,
      cpus: cpus().length,
      memoryTotalBytes: totalmem(),
      memoryAvailableBytes: availableMemoryBytes() ?? 0,
      dataDirectory: this.paths.data,
      confinement: this.confinement.works ? 'on' : 'unavailable',
      confinementNote: this.confinement.reason,
    };
  }

  doctor(): Promise<Check[]> {
    return runChecks(this.paths, this.confinement, this.kernels.list());
  }

  /** Imports a file as an image before a machine is made from it. */
  async importNow(path: string, signal: AbortSignal): Promise<string> {
    const file = this.uploads.resolve({ path }, true);
    const job = this.images.import({ ...file, withBacking: false }, undefined, file.done);
    signal.addEventListener('abort', () => this.jobs.cancel(job.id), { once: true });
    const ended = await this.jobs.wait(job.id);
    if (ended.state !== 'done') throw new Refusal('bad-input', ended.error ?? 'Cancelled.');
    return ended.outcome!;
  }

  async quit(machines: 'stop' | 'leave'): Promise<void> {
    if (this.quitting) return;
    this.quitting = true;
    if (machines === 'stop') {
      const onHost = this.machines.all().filter(({ spec }) => spec?.parent === undefined);
      await Promise.all(onHost.map((driver) => this.stopWhole(driver)));
    }
    await this.close();
    this.options.onQuit();
  }

  /** A machine and what runs inside it, innermost first; killed where they do not stop. */
  private async stopWhole(driver: Driver): Promise<void> {
    const innermostFirst = [...this.family.descendantsOf(driver), driver];
    for (const each of innermostFirst.toReversed()) {
      if (each.state === 'paused') await each.resume().catch(() => undefined);
    }
    for (const each of innermostFirst) {
      if (!each.alive) continue;
      await each.stop(15_000).catch(() => each.kill()).catch(() => undefined);
    }
  }

  async close(): Promise<void> {
    clearInterval(this.networkTimer);
    this.memoryReturn.close();
    this.stats.close();
    await this.jobs.stopAll();
    await this.images.close();
    await this.machines.close();
    await this.lans.close();
    this.api.closeAll();
  }

  /** On the very first start a Tiny Linux machine is already in the list. */
  private async firstTime(): Promise<void> {
    const fresh = !this.images.has('tiny') && this.machines.all().length === 0;
    try {
      await this.images.ensureTiny();
    } catch (thrown) {
      if (!(thrown instanceof Refusal)) throw thrown;
      return;
    }
    if (fresh) {
      await this.machines.create({
        name: 'tiny',
        image: 'tiny',
        engine: 'native',
        memoryMib: 128,
        cpus: 1,
        diskPaths: [],
        networks: [],
        tags: [],
      });
    }
  }

  /** Until it is there a packaged kernel serves; both flavours, one after the other. */
  private async bringKernels(): Promise<void> {
    const native = process.platform === 'linux' && process.arch === 'x64';
    if (native && !this.kernels.canRun('native')) {
      await this.jobs.wait(this.kernels.fetchPackaged().id);
    }
    if (!canBuildKernel()) return;
    for (const flavour of ['up', 'smp'] as const) {
      if (this.kernels.list().some((kernel) => kernel.flavour === flavour)) continue;
      const { state } = await this.jobs.wait(this.kernels.build(flavour).id);
      if (state !== 'done') return;
    }
    if (missingBuildPackages(undefined, 'riscv64').length === 0) this.kit.prepare('portable');
  }

  private engine(name: EngineName): Engine {
    const engine = this.options.engines.find((candidate) => candidate.name === name);
    if (!engine) throw new Refusal('unsupported', `The ${name} engine is not part of this build.`);
    return engine;
  }

  private kernelUsers(kernel: string): string[] {
    return this.machines
      .all()
      .filter((driver) => driver.kernel.id === kernel)
      .map((driver) => driver.name);
  }

  /** After anything that came into the trash or went from it. */
  async announceTrash(): Promise<void> {
    this.api.emit('trash.changed', { machines: await this.store.trash() });
  }

  /** With those inside of it, which stand still when it does. */
  private announceMachine(driver: Driver): void {
    for (const each of [driver, ...this.family.descendantsOf(driver)]) {
      this.api.emit('machine.changed', this.viewMachine(each));
    }
  }

  private announceImage(name: string): void {
    const view = this.images.view(name);
    if (view) this.api.emit('image.changed', view);
    else this.api.emit('image.removed', { name });
  }

  private announceKernels(): void {
    this.api.emit('kernel.changed', { kernels: this.kernels.list() });
    for (const driver of this.machines.all()) void driver.reload();
  }

  private announceNetwork(id: string): void {
    const view = this.lans.view(id);
    if (view) this.api.emit('network.changed', view);
  }

  private readonly lastTraffic = new Map<string, string>();

  /** Counters move without any event; a LAN whose counters moved is told once a second. */
  private announceBusyNetworks(): void {
    for (const view of this.lans.list()) {
      const seen = JSON.stringify([view.ports, view.rxBytesPerSecond > 0]);
      if (this.lastTraffic.get(view.id) === seen) continue;
      this.lastTraffic.set(view.id, seen);
      this.api.emit('network.changed', view);
    }
  }
}

/** Where the built renderer is, beside the sources or in a package. */
export function rendererDirectory(): string {
  return join(import.meta.dirname, '../../../dist/renderer');
}
