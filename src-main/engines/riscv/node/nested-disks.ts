/**
 * Which disk a machine inside a portable one has in which of its places, and by which serial it is
 * plugged into the machine around it: its own, and those that go on to a machine inside of it. Kept
 * in the run directory, where a new server finds it.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Refusal } from '../../../base/refusal.ts';
import { readTextIfThere } from '../../../base/node/files.ts';
import { disksMax } from '../machine-file.ts';

export interface NestedDisk {
  readonly id: string;
  readonly place: number;
  readonly serial: string;
}

export class NestedDisks {
  private readonly path: string;
  private list: readonly NestedDisk[];

  private constructor(path: string, list: readonly NestedDisk[]) {
    this.path = path;
    this.list = list;
  }

  static async begin(runDirectory: string, list: readonly NestedDisk[]): Promise<NestedDisks> {
    const disks = new NestedDisks(join(runDirectory, 'disks.json'), []);
    await disks.keep(list);
    return disks;
  }

  static async found(runDirectory: string): Promise<NestedDisks> {
    const path = join(runDirectory, 'disks.json');
    const text = (await readTextIfThere(path)) ?? '[]';
    return new NestedDisks(path, JSON.parse(text) as NestedDisk[]);
  }

  all(): readonly NestedDisk[] {
    return this.list;
  }

  /** @throws Refusal `not-found`. */
  of(id: string): NestedDisk {
    const found = this.list.find((disk) => disk.id === id);
    if (found) return found;
    throw new Refusal('not-found', `The machine has no disk “${id}” plugged.`);
  }

  /** @throws Refusal `exists`, or `no-space` when all are taken. */
  freePlace(id: string, wish: number): number {
    if (this.list.some((disk) => disk.id === id)) {
      throw new Refusal('exists', `The disk “${id}” is plugged already.`);
    }
    const places = [wish, ...Array.from({ length: disksMax }, (_, place) => place)];
    const taken = new Set(this.list.map(({ place }) => place));
    const place = places.find((other) => other < disksMax && !taken.has(other));
    if (place !== undefined) return place;
    throw new Refusal('no-space', 'All places for disks are taken.');
  }

  add(disk: NestedDisk): Promise<void> {
    return this.keep([...this.list, disk]);
  }

  remove(id: string): Promise<void> {
    return this.keep(this.list.filter((disk) => disk.id !== id));
  }

  private async keep(list: readonly NestedDisk[]): Promise<void> {
    this.list = list;
    await writeFile(this.path, JSON.stringify(list), { mode: 0o600 });
  }
}
