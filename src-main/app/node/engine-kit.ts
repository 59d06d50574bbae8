/**
 * What an engine needs before its machines can run: a kernel, the boot ramdisk, Tiny Linux. The
 * native engine's is made by the set-up and as a job at the first start; the portable one's is made
 * when somebody first asks for it, or by the set-up where there is a compiler for it.
 */
import type { EngineName } from '../../contract/machine.ts';
import type { JobView } from '../../contract/things.ts';
import { buildKernel } from '../../kernels/node/build.ts';
import type { Jobs } from '../jobs.ts';
import type { ImageLibrary } from './image-library.ts';
import { architectureOf, buildBootRamdisk } from './image-makers.ts';
import type { KernelShelf } from './kernel-shelf.ts';
import type { Paths } from './paths.ts';

/** The image a machine of an engine gets when it asks for Tiny Linux. */
export function tinyFor(engine: EngineName): 'tiny' | 'tiny-riscv64' {
  return engine === 'portable' ? 'tiny-riscv64' : 'tiny';
}

const ownKinds: readonly JobView['kind'][] = ['engine-prepare'];
const kernelKinds: readonly JobView['kind'][] = ['engine-prepare', 'kernel-build'];

export class EngineKit {
  private readonly paths: Paths;
  private readonly jobs: Jobs;
  private readonly images: ImageLibrary;
  private readonly kernels: KernelShelf;

  constructor(parts: { paths: Paths; jobs: Jobs; images: ImageLibrary; kernels: KernelShelf }) {
    this.paths = parts.paths;
    this.jobs = parts.jobs;
    this.images = parts.images;
    this.kernels = parts.kernels;
  }

  ready(engine: EngineName): boolean {
    return this.kernels.canRun(engine) && this.images.has(tinyFor(engine));
  }

  /** The job that makes what is missing; one that is at it already; or null. */
  prepare(engine: EngineName): JobView | null {
    if (this.ready(engine)) return null;
    // The kernel of the native engine may already be on its way since this server began.
    const kinds = this.images.has(tinyFor(engine)) && engine === 'native' ? kernelKinds : ownKinds;
    const running = this.jobs
      .list()
      .find(({ kind, state }) => kinds.includes(kind) && state === 'running');
    if (running) return running;
    const title = `Prepare the ${engine} engine`;
    return this.jobs.start({ kind: 'engine-prepare', title }, async (job) => {
      job.report(undefined, 'The boot program');
      await buildBootRamdisk(this.paths, architectureOf[engine]);
      job.report(undefined, 'Tiny Linux');
      await this.images.ensureTiny(tinyFor(engine), job);
      if (!this.kernels.canRun(engine)) {
        await buildKernel({
          cacheDirectory: this.paths.kernels,
          flavour: engine === 'portable' ? 'riscv64' : 'up',
          signal: job.signal,
          onProgress: ({ fraction, step }) => job.report(fraction, `The kernel: ${step}`),
          log: (line) => job.log(line),
        });
        await this.kernels.refresh();
      }
      return engine;
    });
  }
}
