/**
 * The mirrors of networks, images, kernels, jobs and the host, and the trash, which the server
 * tells only when asked.
 */
import { SvelteMap } from 'svelte/reactivity';
import type { TrashedMachine } from '@contract/machine.ts';
import type {
  Check,
  HostView,
  ImageView,
  JobView,
  KernelView,
  NetworkView,
} from '@contract/things.ts';
import type { Link } from './link.svelte.ts';
import { Mirror } from './mirror.svelte.ts';
import type { Toasts } from './toasts.svelte.ts';

export class Networks extends Mirror<NetworkView> {
  constructor(link: Link) {
    super(({ id }) => id, ({ name }) => name);
    link.onOpen((client) => {
      client.on('snapshot', ({ networks }) => this.fill(networks));
      client.on('network.changed', (network) => this.put(network));
      client.on('network.removed', ({ id }) => this.drop(id));
    });
  }

  find(idOrName: string): NetworkView | undefined {
    return this.get(idOrName) ?? this.list.find(({ name }) => name === idOrName);
  }
}

export class Images extends Mirror<ImageView> {
  constructor(link: Link) {
    super(({ name }) => name, ({ title }) => title);
    link.onOpen((client) => {
      client.on('snapshot', ({ images }) => this.fill(images));
      client.on('image.changed', (image) => this.put(image));
      client.on('image.removed', ({ name }) => this.drop(name));
    });
  }

  /** The wish, or the next name like it that no image has or could be built under. */
  freeName(wish: string): string {
    let name = wish;
    for (let number = 2; this.get(name); number += 1) name = `${wish}-${number}`;
    return name;
  }

  /** What a machine can be made from now. */
  readonly usable: readonly ImageView[] = $derived(
    this.list.filter(({ origin, engine }) => origin !== 'available' && engine !== 'none'),
  );
}

export class Kernels extends Mirror<KernelView> {
  constructor(link: Link) {
    super(({ id }) => id);
    link.onOpen((client) => {
      client.on('snapshot', ({ kernels }) => this.fill(kernels));
      client.on('kernel.changed', ({ kernels }) => this.fill(kernels));
    });
  }
}

export class Jobs {
  readonly byId = new SvelteMap<string, JobView>();
  readonly list: readonly JobView[] = $derived(
    [...this.byId.values()].sort((a, b) => b.startedMs - a.startedMs),
  );
  readonly running: readonly JobView[] = $derived(
    this.list.filter(({ state }) => state === 'running'),
  );

  constructor(link: Link, toasts: Toasts) {
    link.onOpen((client) => {
      client.on('snapshot', ({ jobs }) => {
        this.byId.clear();
        for (const job of jobs) this.byId.set(job.id, job);
      });
      client.on('job.changed', (job) => {
        const before = this.byId.get(job.id)?.state;
        this.byId.set(job.id, job);
        if (before !== 'running' || job.state === 'running') return;
        // Whoever asked for a look is told what was seen.
        if (job.kind === 'image-look') return;
        const where = job.kind === 'machine-export' ? `it is ${job.outcome}` : 'done';
        if (job.state === 'done') toasts.show('good', `${job.title}: ${where}.`);
        if (job.state === 'failed') toasts.show('refusal', job.error ?? `${job.title} failed.`);
      });
    });
  }

  ofKind(kind: JobView['kind']): JobView | undefined {
    return this.running.find((job) => job.kind === kind);
  }
}

export class Host {
  view = $state.raw<HostView | undefined>();
  checks = $state.raw<readonly Check[] | undefined>();
  private readonly link: Link;

  constructor(link: Link) {
    this.link = link;
    link.onOpen((client) => {
      client.on('snapshot', ({ host }) => (this.view = host));
      client.on('host.changed', (host) => (this.view = host));
    });
  }

  async check(): Promise<void> {
    this.checks = undefined;
    this.checks = (await this.link.attempt('host.doctor', {})) ?? [];
  }
}

export class Trash {
  list = $state.raw<readonly TrashedMachine[] | undefined>();
  private readonly link: Link;

  constructor(link: Link) {
    this.link = link;
    link.onOpen((client) => {
      client.on('snapshot', () => void this.look());
      client.on('trash.changed', ({ machines }) => (this.list = machines));
    });
  }

  async look(): Promise<void> {
    const list = await this.link.attempt('machine.trash', {});
    if (list) this.list = [...list].sort((a, b) => b.trashedMs - a.trashedMs);
  }

  async recover(name: string): Promise<void> {
    await this.link.attempt('machine.recover', { machine: name });
    await this.look();
  }

  async purge(name: string): Promise<void> {
    await this.link.attempt('machine.purge', { machine: name });
    await this.look();
  }
}
