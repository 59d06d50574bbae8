/**
 * What runs through the LANs now, one sample a second while somebody looks at it and the window
 * is in sight. The server has counters only; the rates and their history are made here.
 */
import { SvelteMap } from 'svelte/reactivity';
import type { NetworkView } from '@contract/things.ts';
import type { Link } from './link.svelte.ts';
import { lanSample, type LanSample } from './rates.ts';
import type { Session } from './session.svelte.ts';
import type { Networks } from './things.svelte.ts';

/** Two minutes of seconds, as the graphs of machines show. */
const samplesMax = 120;
const periodMs = 1000;
/** After a break this long, two looks say nothing about now. */
const gapMsMax = 5000;

export class Traffic {
  private readonly byLan = new SvelteMap<string, readonly LanSample[]>();
  private readonly last = new Map<string, { atMs: number; view: NetworkView }>();
  private readonly link: Link;
  private readonly networks: Networks;
  private watchers = 0;
  private watched = $state(false);

  constructor(link: Link, session: Session, networks: Networks) {
    this.link = link;
    this.networks = networks;
    $effect.root(() => {
      $effect(() => {
        if (!this.watched || !session.visible || link.status !== 'open') return;
        void this.look();
        const timer = setInterval(() => void this.look(), periodMs);
        return () => clearInterval(timer);
      });
    });
  }

  of(lanId: string): readonly LanSample[] {
    return this.byLan.get(lanId) ?? [];
  }

  /** Returns the function that ends it. */
  watch(): () => void {
    this.watchers += 1;
    this.watched = true;
    return () => {
      this.watchers -= 1;
      this.watched = this.watchers > 0;
    };
  }

  private async look(): Promise<void> {
    let views: readonly NetworkView[];
    try {
      views = await this.link.call('network.list', {});
    } catch {
      // Graphs are not worth a toast; the next second asks again.
      return;
    }
    const nowMs = Date.now();
    for (const view of views) {
      // One removed while we asked does not come back by this.
      if (this.networks.get(view.id)) this.take(view, nowMs);
    }
  }

  private take(view: NetworkView, nowMs: number): void {
    const before = this.last.get(view.id);
    this.last.set(view.id, { atMs: nowMs, view });
    this.networks.put(view);
    if (!before || nowMs <= before.atMs) return;
    const passedMs = nowMs - before.atMs;
    if (passedMs > gapMsMax) return;
    const sample = lanSample(before.view, view, { passedMs, atMs: nowMs });
    this.byLan.set(view.id, [...this.of(view.id), sample].slice(-samplesMax));
  }
}
