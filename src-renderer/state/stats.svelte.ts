/**
 * Samples of the machines that somebody looks at. Whoever shows a graph watches while it is on
 * screen; the server is told the union, and nothing at all while the window is hidden.
 */
import { SvelteMap } from 'svelte/reactivity';
import type { StatsSample } from '@contract/machine.ts';
import type { Link } from './link.svelte.ts';
import type { Session } from './session.svelte.ts';

/** Five minutes of seconds. */
export const samplesMax = 300;
const watchedMax = 256;

export class Stats {
  readonly byMachine = new SvelteMap<string, readonly StatsSample[]>();
  private readonly watchers = new Map<string, number>();
  private readonly link: Link;
  private asked = '';
  private scheduled = false;
  private visible = true;

  constructor(link: Link, session: Session) {
    this.link = link;
    link.onOpen((client) => {
      client.on('stats', (samples) => {
        for (const [id, sample] of Object.entries(samples)) this.add(id, [sample]);
      });
    });
    $effect.root(() => {
      $effect(() => {
        this.visible = session.visible;
        if (link.generation > 0) this.asked = '';
        this.schedule();
      });
    });
  }

  of(id: string): readonly StatsSample[] {
    return this.byMachine.get(id) ?? [];
  }

  /** Returns the function that ends it. */
  watch(id: string): () => void {
    this.watchers.set(id, (this.watchers.get(id) ?? 0) + 1);
    this.schedule();
    return () => {
      const left = (this.watchers.get(id) ?? 1) - 1;
      if (left > 0) this.watchers.set(id, left);
      else this.watchers.delete(id);
      this.schedule();
    };
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    queueMicrotask(() => {
      this.scheduled = false;
      void this.tell();
    });
  }

  private async tell(): Promise<void> {
    if (!this.link.client) return;
    const machines = this.visible ? [...this.watchers.keys()].sort().slice(0, watchedMax) : [];
    const key = machines.join(' ');
    if (key === this.asked) return;
    this.asked = key;
    try {
      const histories = await this.link.call('stats.watch', { machines });
      for (const [id, samples] of Object.entries(histories)) this.add(id, samples);
    } catch {
      // Graphs are not worth a toast; the next change of what is watched asks again.
      this.asked = '?';
    }
  }

  private add(id: string, samples: readonly StatsSample[]): void {
    const had = this.byMachine.get(id) ?? [];
    const sinceMs = had.at(-1)?.atMs ?? 0;
    const fresh = samples.filter(({ atMs }) => atMs > sinceMs);
    if (fresh.length > 0) this.byMachine.set(id, [...had, ...fresh].slice(-samplesMax));
  }
}
