/**
 * The kernels on this host as clients see them, and the jobs that add to them. The list is read
 * once and again after each change of ours, since choosing a kernel is part of every start.
 */
import { Refusal } from '../../base/refusal.ts';
import type { JobView, KernelView } from '../../contract/things.ts';
import type { EngineName } from '../../contract/machine.ts';
import type { KernelFlavour } from '../../kernels/fragment.ts';
import { canRun, chooseInnerKernel, chooseKernel, type KernelInfo } from '../../kernels/kernel.ts';
import { buildKernel } from '../../kernels/node/build.ts';
import { defaultName, openKernelLibrary, type KernelLibrary } from '../../kernels/node/library.ts';
import { fetchPackagedKernel } from '../../kernels/node/packaged.ts';
import type { MachineSpec } from '../../machine/spec.ts';
import type { Jobs } from '../jobs.ts';
import type { Paths } from './paths.ts';

const flavourTitles: Record<KernelFlavour, string> = {
  up: 'the vkernel',
  smp: 'the vkernel for several processors',
  riscv64: 'the portable vkernel',
};

const stillBuilding =
  'The kernel is still being built, once for all machines; they can start when it is there.';

/** What a machine's kernel depends on. */
export type KernelWish = Pick<MachineSpec, 'engine' | 'cpus' | 'kernel' | 'parent'>;
export type ChosenKernel = { kernel: KernelInfo; cpus: number; seccomp: boolean; choice: string };

export class KernelShelf {
  private kernels: KernelInfo[] = [];
  private readonly shelf: KernelLibrary;
  private readonly paths: Paths;
  private readonly jobs: Jobs;
  private readonly usedBy: (kernel: string) => string[];
  private readonly announce: () => void;

  constructor(parts: {
    paths: Paths;
    jobs: Jobs;
    usedBy: (kernel: string) => string[];
    announce: () => void;
  }) {
    this.paths = parts.paths;
    this.jobs = parts.jobs;
    this.usedBy = parts.usedBy;
    this.announce = parts.announce;
    this.shelf = openKernelLibrary({ cacheDirectory: parts.paths.kernels });
  }

  async open(): Promise<void> {
    this.kernels = await this.shelf.list();
  }

  list(): KernelView[] {
    return this.kernels.map((kernel) => ({
      id: kernel.id,
      version: kernel.version,
      flavour: kernel.flavour,
      engine: kernel.engine,
      sizeBytes: kernel.sizeBytes,
      features: { ...kernel.features },
      default: kernel.default,
      usedBy: this.usedBy(kernel.id),
      ...(kernel.obstacle === undefined ? {} : { obstacle: kernel.obstacle }),
    }));
  }

  /** @throws Refusal `unavailable` when there is none, `not-found` when the named one is gone. */
  choose({ engine, cpus, kernel: wanted, parent }: KernelWish): ChosenKernel {
    const preferred = wanted === 'auto' ? undefined : wanted;
    const chooseOne = parent === undefined ? chooseKernel : chooseInnerKernel;
    try {
      const chosen = chooseOne(this.kernels, cpus, preferred, engine);
      const { kernel, cpus: given, seccomp, reason } = chosen;
      return { kernel, cpus: given, seccomp, choice: reason };
    } catch (thrown) {
      const waits = thrown instanceof Refusal && thrown.code === 'unavailable' && this.underWay();
      throw waits ? new Refusal('unavailable', stillBuilding) : thrown;
    }
  }

  canRun(engine: EngineName): boolean {
    return canRun(this.kernels, engine);
  }

  /** Brings the mirror's packaged kernel, for a host where none can run yet. */
  fetchPackaged(): JobView {
    if (this.underWay()) throw new Refusal('in-use', 'A kernel is being built already.');
    const title = 'Fetch a kernel for the first minutes';
    return this.jobs.start({ kind: 'kernel-build', title }, async (job) => {
      const kernel = await fetchPackagedKernel({
        cacheDirectory: this.paths.kernels,
        signal: job.signal,
        onStep: (step) => job.report(undefined, step),
        log: (line) => job.log(line),
      });
      await this.refresh();
      return kernel.id;
    });
  }

  build(flavour: KernelFlavour): JobView {
    if (this.underWay()) throw new Refusal('in-use', 'A kernel is being built already.');
    const title = `Build ${flavourTitles[flavour]}`;
    return this.jobs.start({ kind: 'kernel-build', title }, async (job) => {
      const kernel = await buildKernel({
        cacheDirectory: this.paths.kernels,
        flavour,
        signal: job.signal,
        onProgress: ({ fraction, step }) => job.report(fraction, step),
        log: (line) => job.log(line),
      });
      await this.refresh();
      return kernel.id;
    });
  }

  private underWay(): JobView | undefined {
    const jobs = this.jobs.list();
    return jobs.find(({ kind, state }) => kind === 'kernel-build' && state === 'running');
  }

  /** @param title what its user calls the file, which may lie here under another name. */
  async import(path: string, title: string): Promise<KernelView> {
    const kernel = await this.shelf.importFile(path, defaultName(title));
    await this.refresh();
    return this.list().find((view) => view.id === kernel.id)!;
  }

  async setDefault(id: string): Promise<void> {
    await this.shelf.setDefault(id === 'auto' ? undefined : id);
    await this.refresh();
  }

  async remove(id: string): Promise<void> {
    await this.shelf.remove(id);
    await this.refresh();
  }

  /** Reads the list anew after a kernel has come or gone. */
  async refresh(): Promise<void> {
    await this.open();
    this.announce();
  }
}
