/**
 * A mirror of one kind of thing in the server: the snapshot fills it, events change it, and
 * nothing else ever does.
 */
import { SvelteMap } from 'svelte/reactivity';

export class Mirror<T> {
  readonly byKey = new SvelteMap<string, T>();
  readonly list: readonly T[] = $derived.by(() =>
    [...this.byKey.values()].sort((a, b) => collator.compare(this.labelOf(a), this.labelOf(b))),
  );
  private readonly keyOf: (thing: T) => string;
  private readonly labelOf: (thing: T) => string;

  constructor(keyOf: (thing: T) => string, labelOf: (thing: T) => string = keyOf) {
    this.keyOf = keyOf;
    this.labelOf = labelOf;
  }

  get(key: string): T | undefined {
    return this.byKey.get(key);
  }

  fill(things: readonly T[]): void {
    const kept = new Set(things.map((thing) => this.keyOf(thing)));
    for (const key of [...this.byKey.keys()]) if (!kept.has(key)) this.byKey.delete(key);
    for (const thing of things) this.put(thing);
  }

  put(thing: T): void {
    this.byKey.set(this.keyOf(thing), thing);
  }

  drop(key: string): void {
    this.byKey.delete(key);
  }
}

const collator = new Intl.Collator('en', { numeric: true });
