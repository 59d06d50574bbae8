/**
 * A portable machine that runs inside another one (`machine/node/inner-machine.ts`): its processor
 * is the outer guest's KVM. What it boots from and its disks are plugged into the outer machine
 * while it runs, from a folder in that one's own.
 */
import { randomFillSync } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Refusal } from '../../../base/refusal.ts';
import { makeDirectory } from '../../../base/node/files.ts';
import type {
  GuestNames, InGuest, Inside, InsideRoot, LaunchPlan, PlannedDisk, RunningMachine,
} from '../../../machine/engine.ts'; // prettier-ignore
import { nicSlots } from '../../../machine/descriptors.ts';
import { encodeFrame, word } from '../../../machine/frames.ts';
import {
  attachWords, foundOpening, InnerMachine, newOpening, opened, openedIfThere, type Opening,
} from '../../../machine/node/inner-machine.ts'; // prettier-ignore
import { CardNumbers } from '../card-numbers.ts';
import { bindSlot, unbindCard, unbindDisk } from '../guest-scripts.ts';
import { disksMax, slots } from '../machine-file.ts';
import {
  bootSerial, diskSerial, innerBoot, innerConsole, innerCpusMax, slotWord,
} from '../nest.ts'; // prettier-ignore
import { readImage } from './image-file.ts';
import { hardLink, nestRoot, removeNestRoot, sharedImage } from './nest-folder.ts';
import { NestedDisks } from './nested-disks.ts';

type Plan = Pick<LaunchPlan, 'runDirectory' | 'spec'>;

/** Of what is plugged into the machine around: it has places that are not for its own disks. */
const outerWish = disksMax;

export async function launchInside(plan: LaunchPlan, nowMs: number): Promise<RunningMachine> {
  const inside = plan.inside!;
  const { spec } = plan;
  if (spec.cpus > innerCpusMax) {
    const most = `at most ${innerCpusMax} processors`;
    throw new Refusal('unsupported', `A machine inside a portable one has ${most}.`);
  }
  const opening = await newOpening(plan, nowMs);
  const own = plan.disks.filter(({ index }) => index < disksMax);
  const disks = await NestedDisks.begin(
    plan.runDirectory,
    own.map(({ id, index }) => ({ id, place: index, serial: diskSerial(spec.id, index) })),
  );
  const files = await bootFiles(plan);
  const { disk, words } = innerBoot(opening.name, plan, files, nicSlots, handsOn(inside.root));
  const folder = nestRoot(inside.root.directory, spec.id);
  await removeNestRoot(folder);
  await makeDirectory(folder);
  const boot = { id: bootSerial(spec.id), index: outerWish, path: join(folder, 'boot') };
  await writeFile(boot.path, disk, { mode: 0o600 });
  try {
    await oneByOne(inside, async () => {
      await inside.plugDisk(boot);
      for (const one of own) await inside.plugDisk(await linked(folder, one, spec.id));
    });
    return await opened(new NestedMachine(plan, inside, opening, words, disks), inside.name);
  } catch (thrown) {
    await takeBack(spec, inside, disks);
    throw thrown;
  }
}

export async function adoptInside(
  plan: Plan & Pick<LaunchPlan, 'inside'>,
): Promise<RunningMachine | undefined> {
  const inside = plan.inside!;
  const opening = await foundOpening(plan);
  if (opening === undefined) return undefined;
  const disks = await NestedDisks.found(plan.runDirectory);
  const machine = new NestedMachine(plan, inside, opening, attachWords(opening.name), disks);
  return openedIfThere(machine, inside.name);
}

const handsOn = ({ deeper }: InsideRoot): boolean => deeper !== undefined && deeper > 0;

async function bootFiles({ kernel, initramfs }: LaunchPlan) {
  const { path, modules: archive } = kernel;
  const modules = archive === undefined ? [] : [await readFile(archive)];
  return {
    kernel: readImage(path),
    initramfs: Buffer.concat([...modules, await readFile(initramfs)]),
    seed: randomFillSync(new Uint8Array(32)),
  };
}

/** A disk of its own as one of the machine around it, `index` being its own place. */
async function linked(folder: string, disk: PlannedDisk, machine: string): Promise<PlannedDisk> {
  const path = join(folder, String(disk.index));
  await rm(path, { force: true });
  await hardLink(disk.path, path);
  const plugged = { id: diskSerial(machine, disk.index), index: outerWish, path };
  if (disk.backing === undefined) return plugged;
  return { ...plugged, backing: await sharedImage(dirname(folder), disk.backing) };
}

const queues = new Map<string, Promise<unknown>>();

/** What many plug into one machine at once: its agent runs few programs side by side. */
function oneByOne({ root: { directory } }: Inside, work: () => Promise<void>): Promise<void> {
  const done = (queues.get(directory) ?? Promise.resolve()).then(work);
  const settled = done.catch(() => {});
  queues.set(directory, settled);
  void settled.then(() => {
    if (queues.get(directory) === settled) queues.delete(directory);
  });
  return done;
}

/** What was plugged is unplugged, as far as it is there. */
async function takeBack(
  spec: LaunchPlan['spec'],
  inside: Inside,
  disks: NestedDisks,
): Promise<void> {
  await oneByOne(inside, async () => {
    for (const id of [bootSerial(spec.id), ...disks.all().map(({ serial }) => serial)]) {
      await inside.unplugDisk({ id, index: 0 }).catch(() => undefined);
    }
  });
  await removeNestRoot(nestRoot(inside.root.directory, spec.id));
}

class NestedMachine extends InnerMachine {
  readonly guestNames: GuestNames = {
    console: (index) => `/dev/${innerConsole(index)}`,
    card: (slot) => this.cards.name(slot),
  };
  readonly insideRoot?: InsideRoot;
  private readonly inside: Inside;
  private readonly disks: NestedDisks;
  private readonly cards: CardNumbers;
  private readonly folder: string;

  constructor(
    plan: Plan,
    inside: Inside,
    opening: Opening,
    words: readonly string[],
    disks: NestedDisks,
  ) {
    super(plan, inside, opening, words);
    this.inside = inside;
    this.disks = disks;
    this.folder = nestRoot(inside.root.directory, plan.spec.id);
    // What is inside of it goes through it as disks, from where the outermost process opens them.
    const { directory, deeper = 0 } = inside.root;
    if (deeper > 0) this.insideRoot = { directory, seenAs: '', deeper: deeper - 1 };
    this.cards = new CardNumbers(plan.spec.nics.map(({ slot }) => slot));
  }

  async plugNic(slot: number, mac: string, inGuest: InGuest): Promise<void> {
    await this.fill(slots.nics + slot, slotWord.card(slot, mac), inGuest);
    this.cards.plugged(slot);
  }

  async unplugNic(slot: number, inGuest: InGuest): Promise<void> {
    await unbindCard(slots.nics + slot, inGuest);
    this.say(slotWord.nothing(slots.nics + slot));
    this.cards.unplugged(slot);
  }

  /** Into the machine around it first, from which the daemon there hands it in. */
  async plugDisk(disk: PlannedDisk, inGuest: InGuest): Promise<void> {
    const { id, path } = disk;
    const place = this.disks.freePlace(id, disk.index);
    const goesOn = path.startsWith(`${this.inside.root.directory}/`);
    const { spec } = this.plan;
    const outer = goesOn ? disk : await linked(this.folder, { ...disk, index: place }, spec.id);
    await this.inside.plugDisk(outer);
    await this.disks.add({ id, place, serial: outer.id });
    try {
      await this.fill(slots.disks + place, slotWord.disk(place, outer.id), inGuest);
    } catch (thrown) {
      await this.letGo(id);
      throw thrown;
    }
  }

  async unplugDisk({ id }: Pick<PlannedDisk, 'id'>, inGuest: InGuest): Promise<void> {
    const slot = slots.disks + this.disks.of(id).place;
    await unbindDisk(slot, id, inGuest);
    this.say(slotWord.nothing(slot));
    await this.letGo(id);
  }

  askToStop(): Promise<void> {
    const sentence = 'Its guest has no agent to pass the wish on; force it off instead.';
    return Promise.reject(new Refusal('unsupported', sentence));
  }

  protected takeOwn(): void {}

  protected async cleanUp(outerLives: boolean): Promise<void> {
    if (outerLives) await takeBack(this.plan.spec, this.inside, this.disks);
    else await removeNestRoot(this.folder);
  }

  /** The guest is told to look into a slot; where that fails the slot is empty again. */
  private async fill(slot: number, told: string, inGuest: InGuest): Promise<void> {
    this.say(told);
    try {
      await bindSlot(slot, inGuest);
    } catch (thrown) {
      this.say(slotWord.nothing(slot));
      throw thrown;
    }
  }

  private async letGo(id: string): Promise<void> {
    const { place, serial } = this.disks.of(id);
    await this.disks.remove(id);
    await this.inside.unplugDisk({ id: serial, index: 0 });
    if (serial === diskSerial(this.plan.spec.id, place)) await rm(join(this.folder, String(place)));
  }

  private say(told: string): void {
    this.send(encodeFrame(word.plug, new TextEncoder().encode(told)));
  }
}
