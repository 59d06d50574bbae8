/**
 * The two engines in words, and whether the portable one is here yet: it is made on the first
 * wish for it, which takes minutes, so a sheet says so before and shows how far it is.
 */
import type { EngineName } from '@contract/machine.ts';
import type { ImageView, JobView } from '@contract/things.ts';
import type { Link } from './link.svelte.ts';
import type { Images, Jobs, Kernels } from './things.svelte.ts';

export const engines = {
  native: {
    title: 'Native',
    line: 'The kernel is an ordinary process of this host: x86-64 Linux, at full speed.',
  },
  portable: {
    title: 'Portable',
    line: 'A RISC-V (riscv64) computer made of software: slower, and the same on every host.',
  },
} as const satisfies Record<EngineName, { title: string; line: string }>;

/** Tiny Linux is one choice to a person, though each engine has its own. */
const tinyOf: Record<EngineName, string> = { native: 'tiny', portable: 'tiny-riscv64' };

export class Engines {
  private readonly link: Link;
  private readonly images: Images;
  private readonly kernels: Kernels;
  private readonly jobs: Jobs;
  /** What a machine can be made from, Tiny Linux once. */
  readonly choices: readonly ImageView[];

  constructor(link: Link, images: Images, kernels: Kernels, jobs: Jobs) {
    this.link = link;
    this.images = images;
    this.kernels = kernels;
    this.jobs = jobs;
    this.choices = $derived(
      images.usable.filter(({ name }) => name !== tinyOf.portable || !images.get('tiny')),
    );
  }

  /** The engine an image needs; undefined where both will do. */
  neededBy(image: ImageView | undefined): EngineName | undefined {
    if (!image || Object.values(tinyOf).includes(image.name)) return undefined;
    return image.engine === 'portable' ? 'portable' : 'native';
  }

  ready(engine: EngineName): boolean {
    const tiny = this.images.get(tinyOf[engine]);
    return (
      tiny !== undefined &&
      tiny.origin !== 'available' &&
      this.kernels.list.some((kernel) => kernel.engine === engine && !kernel.obstacle)
    );
  }

  /** The job that prepares an engine now, for its progress. */
  get preparing(): JobView | undefined {
    return this.jobs.ofKind('engine-prepare');
  }

  /** Settles when an engine can run machines; throws the sentence why it cannot. */
  async prepare(engine: EngineName): Promise<void> {
    if (this.ready(engine)) return;
    const job = await this.link.call('engine.prepare', { engine });
    if (!job) return;
    const ended = await this.link.call('job.wait', { job: job.id });
    if (ended.state !== 'done') {
      throw new Error(ended.error ?? 'It was cancelled before the engine was there.');
    }
  }
}
