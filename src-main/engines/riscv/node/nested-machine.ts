/**
 * A portable machine that runs inside another one (`machine/node/inner-machine.ts`): its processor
 * is the outer guest's KVM. What it boots from and its disks are plugged into the outer machine
 * while it runs, from a folder in that one's own.
 */
import { randomFillSync } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Refusal } from '../../../base/refusal.ts';
import { makeDirectory } from '../../../base/node/files.ts';
import type {
  GuestNames, Inside, LaunchPlan, PlannedDisk, RunningMachine,
} from '../../../machine/engine.ts'; // prettier-ignore
import { nicSlots } from '../../../machine/descriptors.ts';
import {
  attachWords, foundOpening, InnerMachine, newOpening, opened, openedIfThere, type Opening,
} from '../../../machine/node/inner-machine.ts'; // prettier-ignore
import { disksMax } from '../machine-file.ts';
import { bootSerial, diskSerial, innerBoot, innerConsole } from '../nest.ts';
import { readImage } from './image-file.ts';
import { hardLink, nestRoot, removeNestRoot, sharedImage } from './nest-folder.ts';

type Plan = Pick<LaunchPlan, 'runDirectory' | 'spec'>;

export async function launchInside(plan: LaunchPlan, nowMs: number): Promise<RunningMachine> {
  const inside = plan.inside!;
  if (plan.spec.cpus > 1) {
    throw new Refusal('unsupported', 'A machine inside a portable one has one processor.');
  }
  const opening = await newOpening(plan, nowMs);
  const { path, modules: archive } = plan.kernel;
  const modules = archive === undefined ? [] : [await readFile(archive)];
  const files = {
    kernel: readImage(path),
    initramfs: Buffer.concat([...modules, await readFile(plan.initramfs)]),
    seed: randomFillSync(new Uint8Array(32)),
  };
  const { disk, words } = innerBoot(opening.name, plan, files, nicSlots);
  const folder = nestRoot(inside.directory, plan.spec.id);
  await removeNestRoot(folder);
  await makeDirectory(folder);
  await writeFile(join(folder, 'boot'), disk, { mode: 0o600 });
  try {
    for (const plugged of await linkDisks(folder, plan)) await inside.plugDisk(plugged);
    const machine = new NestedMachine(plan, inside, opening, words);
    return await opened(machine, inside.name);
  } catch (thrown) {
    await takeBack(plan.spec, inside);
    throw thrown;
  }
}

export async function adoptInside(
  plan: Plan & Pick<LaunchPlan, 'inside'>,
): Promise<RunningMachine | undefined> {
  const inside = plan.inside!;
  const opening = await foundOpening(plan);
  if (opening === undefined) return undefined;
  const machine = new NestedMachine(plan, inside, opening, attachWords(opening.name));
  return openedIfThere(machine, inside.name);
}

/** As disks of the outer machine, in the last of its places that are free. */
async function linkDisks(folder: string, plan: LaunchPlan): Promise<PlannedDisk[]> {
  const boot = { id: bootSerial(plan.spec.id), index: disksMax - 1, path: join(folder, 'boot') };
  const plugged: PlannedDisk[] = [boot];
  for (const { index, path, backing } of plan.disks) {
    if (index >= disksMax) continue;
    const own = join(folder, String(index));
    await hardLink(path, own);
    const disk = { id: diskSerial(plan.spec.id, index), index: disksMax - 1, path: own };
    const image = backing && (await sharedImage(dirname(folder), backing));
    plugged.push(image === undefined ? disk : { ...disk, backing: image });
  }
  return plugged;
}

/** What was plugged is unplugged, as far as it is there. */
async function takeBack(spec: LaunchPlan['spec'], inside: Inside): Promise<void> {
  const places = Array.from({ length: disksMax }, (_, place) => diskSerial(spec.id, place));
  for (const id of [bootSerial(spec.id), ...places]) {
    await inside.unplugDisk({ id, index: 0 }).catch(() => undefined);
  }
  await removeNestRoot(nestRoot(inside.directory, spec.id));
}

class NestedMachine extends InnerMachine {
  readonly guestNames: GuestNames;
  private readonly inside: Inside;

  constructor(plan: Plan, inside: Inside, opening: Opening, words: readonly string[]) {
    super(plan, inside, opening, words);
    this.inside = inside;
    const cards = plan.spec.nics.map(({ slot }) => slot).sort((a, b) => a - b);
    this.guestNames = {
      console: (index) => `/dev/${innerConsole(index)}`,
      card: (slot) => `eth${Math.max(0, cards.indexOf(slot))}`,
    };
  }

  plugNic(): Promise<void> {
    return refuse('A network card comes to a machine inside a portable one when it starts.');
  }
  unplugNic(): Promise<void> {
    return refuse('A network card stays in a machine inside a portable one while it runs.');
  }
  plugDisk(): Promise<void> {
    return refuse('A disk comes to a machine inside a portable one when it starts.');
  }
  unplugDisk(): Promise<void> {
    return refuse('A disk stays in a machine inside a portable one while it runs.');
  }
  askToStop(): Promise<void> {
    return refuse('Its guest has no agent to pass the wish on; force it off instead.');
  }

  protected takeOwn(): void {}

  protected async cleanUp(outerLives: boolean): Promise<void> {
    const { spec } = this.plan;
    if (outerLives) await takeBack(spec, this.inside);
    else await removeNestRoot(nestRoot(this.inside.directory, spec.id));
  }
}

function refuse(sentence: string): Promise<never> {
  return Promise.reject(new Refusal('unsupported', sentence));
}
