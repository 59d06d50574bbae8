/**
 * What is plugged into a machine's slots beside its consoles: disks and network cards, those it
 * was started with and those that came while it ran. They stay over a restart of the guest.
 *
 * virtio-mmio knows no hot-plug: a slot is filled or emptied here, and the guest is told by its
 * agent to bind the slot's driver (see `portable-machine.ts`).
 */
import { join, relative } from 'node:path';
import { Refusal } from '../../../base/refusal.ts';
import type { Saved, VirtioDevice, Wiring } from '../devices/virtio/device.ts';
import { VirtioBlock } from '../devices/virtio/block.ts';
import { VirtioNet } from '../devices/virtio/net.ts';
import { diskPlaces, diskSlot, disksMax, nicsMax, slots } from '../machine-file.ts';
import type { MachineFile } from '../machine-file.ts';
import { damaged, recordOf, wholeOf } from '../saved.ts';
import { numberOf, textOf, type Verb } from './control-door.ts';
import { CountedBlock } from './counted-block.ts';
import { diskPort, openDisk } from './disk-port.ts';
import type { FrameSlots } from './frame-slots.ts';
import type { SharedDisk } from './hart-disks.ts';
import type { OpenDisk } from './open-disk.ts';

export type Make = (wiring: Wiring) => VirtioDevice;

/** A machine that is on: its slots can be filled and emptied. */
export interface Power {
  plug(slot: number, make: Make): void;
  unplug(slot: number): void;
  shareDisk(disk: SharedDisk): void;
}

const isInner = (path: string) => /^inside\//.test(path) && !path.split('/').includes('..');

type Disk = MachineFile['disks'][number];
type OwnDisk = { of: Disk; disk: OpenDisk; port: CountedBlock };

const macPattern = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/;

export class Plugs {
  /** Set while the machine is on. */
  power?: Power;
  private readonly frames: FrameSlots;
  private readonly disks = new Map<number, OwnDisk>();
  private readonly cards = new Map<number, Uint8Array>();

  /** @throws Refusal when a disk cannot be opened. */
  constructor(file: Pick<MachineFile, 'disks' | 'nics'>, frames: FrameSlots) {
    this.frames = frames;
    for (const disk of file.disks.slice(0, disksMax)) this.openDisk(disk);
    for (const { slot, mac } of file.nics) this.cards.set(slot, macOf(mac));
  }

  /** What a machine that is being switched on finds in its slots. */
  makers(): [slot: number, make: Make][] {
    return [
      ...[...this.disks.keys()].map(
        (place) => [diskSlot(place), this.diskMaker(place)] as const,
      ),
      ...[...this.cards.keys()].map(
        (place) => [slots.nics + place, this.cardMaker(place)] as const,
      ),
    ].map(([slot, make]) => [slot, make]);
  }

  /** The disks among them, for the machine's harts. */
  sharedDisks(): SharedDisk[] {
    return [...this.disks.keys()].map((place) => this.sharedDisk(place));
  }

  verbs(): ReadonlyMap<string, Verb> {
    return new Map<string, Verb>([
      [
        'plug-disk',
        async (words) => {
          const backing =
            words['backing'] === undefined ? {} : { backing: textOf(words, 'backing') };
          const wish = numberOf(words, 'index', diskPlaces);
          const disk = { id: textOf(words, 'id'), path: textOf(words, 'path'), ...backing };
          return { slot: this.plugDisk(disk, wish) };
        },
      ],
      ['find-disk', async (words) => ({ slot: diskSlot(this.placeOf(textOf(words, 'id'))) })],
      ['unplug-disk', (words) => this.unplugDisk(textOf(words, 'id'))],
      [
        'plug-nic',
        async (words) => this.plugNic(numberOf(words, 'slot', nicsMax), textOf(words, 'mac')),
      ],
      ['unplug-nic', async (words) => this.unplugNic(numberOf(words, 'slot', nicsMax))],
    ]);
  }

  /**
   * The disks of machines inside this one, for its saved state: whoever starts it again knows its
   * own. Their files are in its folder, which may have another name by then.
   */
  inner(directory: string): Saved {
    const from = (path: string) => relative(directory, path);
    const inner = [...this.disks].filter(([, { of }]) => isInner(from(of.path)));
    return Object.fromEntries(
      inner.map(([place, { of: { id, index, path, backing } }]): [string, Saved] => {
        const at: Record<string, Saved> = { id, index, path: from(path) };
        return [String(place), backing === undefined ? at : { ...at, backing: from(backing) }];
      }),
    );
  }

  /** @throws Refusal `bad-input` for what `inner` has not written, or when a disk is gone. */
  reopenInner(saved: unknown, directory: string): void {
    const file = (value: unknown) => {
      if (typeof value === 'string' && isInner(value)) return join(directory, value);
      throw damaged();
    };
    for (const each of Object.values(recordOf(saved))) {
      const { id, index, path, backing } = recordOf(each);
      const under = backing === undefined ? {} : { backing: file(backing) };
      const place = wholeOf(index, 0, diskPlaces - 1);
      this.openDisk({ id: String(id), index: place, path: file(path), ...under });
    }
  }

  /** No request of a disk is under way any more. */
  async settled(): Promise<void> {
    await Promise.all([...this.disks.values()].map(({ port }) => port.settled()));
  }

  async close(): Promise<void> {
    await Promise.all([...this.disks.values()].map(({ port }) => port.close()));
  }

  private plugDisk(disk: Omit<Disk, 'index'>, wish: number): number {
    if ([...this.disks.values()].some(({ of }) => of.id === disk.id)) {
      throw new Refusal('exists', `The disk “${disk.id}” is plugged already.`);
    }
    // From the wish on, then before it.
    const places = Array.from({ length: diskPlaces }, (_, n) => (wish + n) % diskPlaces);
    const place = places.find((other) => !this.disks.has(other));
    if (place === undefined) throw new Refusal('no-space', 'All places for disks are taken.');
    this.openDisk({ ...disk, index: place });
    this.power?.plug(diskSlot(place), this.diskMaker(place));
    this.power?.shareDisk(this.sharedDisk(place));
    return diskSlot(place);
  }

  private async unplugDisk(id: string): Promise<void> {
    const place = this.placeOf(id);
    const { port } = this.disks.get(place)!;
    this.power?.unplug(diskSlot(place));
    this.disks.delete(place);
    await port.close();
  }

  private plugNic(place: number, mac: string): void {
    if (!macPattern.test(mac)) throw new Refusal('usage', 'That is no hardware address.');
    if (this.cards.has(place)) this.unplugNic(place);
    this.cards.set(place, macOf(mac));
    this.power?.plug(slots.nics + place, this.cardMaker(place));
  }

  private unplugNic(place: number): void {
    if (!this.cards.delete(place)) return;
    this.power?.unplug(slots.nics + place);
    this.frames.idle(place);
  }

  private placeOf(id: string): number {
    for (const [place, { of }] of this.disks) if (of.id === id) return place;
    throw new Refusal('not-found', `The machine has no disk “${id}” plugged.`);
  }

  private openDisk({ id, index, path, backing }: Disk): void {
    const disk = openDisk({ path, backing });
    const of = { id, index, path, backing };
    this.disks.set(index, { of, disk, port: new CountedBlock(diskPort(disk)) });
  }

  private diskMaker(place: number): Make {
    const { of, port } = this.disks.get(place)!;
    return (wiring) => new VirtioBlock(wiring, port, of.id);
  }

  private sharedDisk(place: number): SharedDisk {
    const { of, disk } = this.disks.get(place)!;
    return { slot: diskSlot(place), name: of.id, disk };
  }

  private cardMaker(place: number): Make {
    const mac = this.cards.get(place)!;
    return (wiring) => new VirtioNet(wiring, this.frames.port(place, mac));
  }
}

function macOf(text: string): Uint8Array {
  return Uint8Array.from(text.split(':'), (byte) => Number.parseInt(byte, 16));
}
