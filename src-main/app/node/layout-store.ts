/**
 * Where machines stand on the network canvas, by their id: `layout.json` in the data folder, so
 * that every window shows the same picture. A convenience, never a truth: what cannot be read is
 * begun anew, and machines that are gone are forgotten with the next move.
 *
 *   await layout.open();
 *   await layout.set({ 'f3a9…': { x: 40, y: 120 } });
 */
import { join } from 'node:path';
import { Refusal } from '../../base/refusal.ts';
import { readTextIfThere, writeFileAtomic } from '../../base/node/files.ts';
import { canvasLayout, type CanvasLayout } from '../../contract/things.ts';
import type { Paths } from './paths.ts';

export const placesMax = 2000;

export class LayoutStore {
  private places: CanvasLayout = {};
  /** Writes go one after another, each with what is newest then. */
  private tail: Promise<void> = Promise.resolve();
  private readonly file: string;
  private readonly isKnown: (machine: string) => boolean;
  private readonly announce: (places: CanvasLayout) => void;

  constructor(parts: {
    paths: Pick<Paths, 'data'>;
    isKnown: (machine: string) => boolean;
    announce: (places: CanvasLayout) => void;
  }) {
    this.file = join(parts.paths.data, 'layout.json');
    this.isKnown = parts.isKnown;
    this.announce = parts.announce;
  }

  async open(): Promise<void> {
    const text = await readTextIfThere(this.file);
    if (text === undefined) return;
    try {
      this.places = canvasLayout.parse(JSON.parse(text));
    } catch {
      this.places = {};
    }
  }

  get(): CanvasLayout {
    return this.places;
  }

  /** Adds to what is kept, or replaces it machine by machine. */
  async set(moved: CanvasLayout): Promise<void> {
    const all = Object.entries({ ...this.places, ...moved });
    const known = all.filter(([machine]) => this.isKnown(machine));
    if (known.length > placesMax) {
      throw new Refusal('no-space', `The canvas keeps the places of ${placesMax} machines.`);
    }
    this.places = Object.fromEntries(known);
    this.announce(this.places);
    await this.save();
  }

  private save(): Promise<void> {
    const write = () => writeFileAtomic(this.file, JSON.stringify(this.places), 0o644);
    const saved = this.tail.then(write);
    // One failed write is told to whoever asked for it; the next is tried all the same.
    this.tail = saved.catch(() => undefined);
    return saved;
  }
}
