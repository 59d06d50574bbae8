/**
 * A native machine that runs inside another one (`machine/node/inner-machine.ts`): its kernel is a
 * process of the outer guest, its folder part of what that one reaches by hostfs, and its
 * management console is asked over frames too.
 */
import { Refusal } from '../../../base/refusal.ts';
import { layoutDescriptors } from '../../../machine/descriptors.ts';
import type {
  GuestNames, Inside, InsideRoot, LaunchPlan, PlannedDisk, RunningMachine,
} from '../../../machine/engine.ts'; // prettier-ignore
import { encodeFrame, word } from '../../../machine/frames.ts';
import {
  attachWords, foundOpening, InnerMachine, newOpening, opened, openedIfThere, type Opening,
} from '../../../machine/node/inner-machine.ts'; // prettier-ignore
import { diskArgument, nicArgument } from '../command-line.ts';
import { innerPaths, startWords } from '../nest.ts';
import { MconsoleClient, type MconsoleRoad } from './mconsole-client.ts';
import {
  addNestDisk, fillNestRoot, nestRoot, removeNestDisk, removeNestRoot,
} from './nest-files.ts'; // prettier-ignore

type Plan = Pick<LaunchPlan, 'runDirectory' | 'spec'>;

export async function launchInside(plan: LaunchPlan, nowMs: number): Promise<RunningMachine> {
  const inside = plan.inside!;
  const opening = await newOpening(plan, nowMs);
  await fillNestRoot(nestRoot(inside.root.directory, plan.spec.id), plan);
  const seenAs = `${inside.root.seenAs}/inside/${plan.spec.id}`;
  const words = startWords(opening.name, seenAs, plan, layoutDescriptors(plan.spec.consoles));
  return opened(new NestedMachine(plan, inside, opening, words), inside.name);
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

export class NestedMachine extends InnerMachine {
  readonly insideRoot: InsideRoot;
  readonly guestNames: GuestNames = {
    console: (index) => `/dev/tty${index}`,
    card: (slot) => `vec${slot}`,
  };
  private readonly mconsole: MconsoleClient;
  private readonly road: FrameRoad;
  private readonly root: string;

  constructor(plan: Plan, inside: Inside, opening: Opening, words: string[]) {
    super(plan, inside, opening, words);
    this.root = nestRoot(inside.root.directory, plan.spec.id);
    this.insideRoot = { directory: this.root, seenAs: '' };
    this.road = new FrameRoad((frame) => this.send(frame));
    this.mconsole = new MconsoleClient(this.road);
  }

  async plugNic(slot: number, mac: string): Promise<void> {
    const nic = this.layout.nics[slot];
    if (!nic) throw new Refusal('unsupported', 'All network slots of this machine are taken.');
    await this.mconsole.request(`config ${nicArgument(slot, nic.near, mac)}`);
  }

  async unplugNic(slot: number): Promise<void> {
    await this.mconsole.request(`remove vec${slot}`);
  }

  async plugDisk(disk: PlannedDisk): Promise<void> {
    await addNestDisk(this.root, disk);
    const seen = `${innerPaths.disks}/${disk.index}`;
    await this.mconsole.request(`config ${diskArgument({ ...disk, path: seen })}`);
  }

  async unplugDisk({ index }: Pick<PlannedDisk, 'index'>): Promise<void> {
    await this.mconsole.request(`remove ubd${index}`);
    await removeNestDisk(this.root, index);
  }

  monitor(line: string): Promise<string> {
    return this.mconsole.say(line);
  }

  async askToStop(): Promise<void> {
    await this.mconsole.request('cad');
  }

  protected takeOwn(channel: number, bytes: Uint8Array): void {
    if (channel === word.mconsole) this.road.take(bytes);
  }

  override release(): void {
    super.release();
    this.mconsole.close();
  }

  protected cleanUp(): Promise<void> {
    return removeNestRoot(this.root);
  }
}

/** The management console over frames: one request at a time, answered or given up. */
class FrameRoad implements MconsoleRoad {
  private readonly send: (frame: Uint8Array) => void;
  private tail: Promise<void> = Promise.resolve();
  private onReply: (bytes: Uint8Array) => void = () => {};

  constructor(send: (frame: Uint8Array) => void) {
    this.send = send;
  }

  request(bytes: Uint8Array, options: Parameters<MconsoleRoad['request']>[1]): Promise<void> {
    const turn = this.tail.then(() => this.exchange(bytes, options));
    this.tail = turn.catch(() => undefined);
    return turn;
  }

  take(bytes: Uint8Array): void {
    this.onReply(bytes);
  }

  close(): void {
    this.onReply = () => {};
  }

  private async exchange(
    bytes: Uint8Array,
    options: Parameters<MconsoleRoad['request']>[1],
  ): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(
      () => reject(new Refusal('timeout', 'It did not answer in time.')),
      options.timeoutMs,
    );
    this.onReply = (reply) => {
      try {
        if (options.onReply(reply)) resolve();
      } catch (thrown) {
        reject(thrown as Error);
      }
    };
    this.send(encodeFrame(word.mconsole, bytes));
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      this.onReply = () => {};
    }
  }
}
