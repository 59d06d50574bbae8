/**
 * A native machine that runs inside another one: its kernel is a process of the outer guest, and
 * everything of it (consoles, agent, network, control) comes over one program that runs there
 * (`resources/guest/nest.c`), as frames. It is a machine like any other to all who use it.
 */
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Refusal } from '../../../base/refusal.ts';
import { makeDirectory, readTextIfThere } from '../../../base/node/files.ts';
import { layoutDescriptors, type DescriptorLayout } from '../../../machine/descriptors.ts';
import type {
  BytePipe, ExitReport, GuestNames, InnerProgram, Inside, LaunchPlan, PlannedDisk, ProcessSample,
  RunningMachine,
} from '../../../machine/engine.ts'; // prettier-ignore
import { FrameLine } from '../../../machine/frame-line.ts';
import { encodeFrame, FrameDecoder, word } from '../../../machine/frames.ts';
import { FramePump } from '../../../machine/node/frame-pump.ts';
import { diskArgument, nicArgument } from '../command-line.ts';
import { attachWords, innerPaths, nobodyThere, startWords } from '../nest.ts';
import { MconsoleClient, type MconsoleRoad } from './mconsole-client.ts';
import {
  addNestDisk, fillNestRoot, nestRoot, removeNestDisk, removeNestRoot,
} from './nest-files.ts'; // prettier-ignore

const recordFile = 'nest.json';
const ticksPerSecond = 100;
/** The first frame tells that the daemon answers; a stat is asked for, so one always comes. */
const answerTimeoutMs = 15_000;

type NestRecord = { name: string; consoles: number; startedMs: number };
type Plan = Pick<LaunchPlan, 'runDirectory' | 'spec'>;

export async function launchInside(plan: LaunchPlan, nowMs: number): Promise<RunningMachine> {
  const inside = plan.inside!;
  refuseMemory(plan, inside);
  const root = nestRoot(inside.directory, plan.spec.id);
  await rm(plan.runDirectory, { recursive: true, force: true });
  await makeDirectory(plan.runDirectory);
  await fillNestRoot(root, plan);
  const layout = layoutDescriptors(plan.spec.consoles);
  const name = `${plan.spec.id}-${nowMs.toString(36)}`;
  const record: NestRecord = { name, consoles: plan.spec.consoles, startedMs: nowMs };
  await writeFile(join(plan.runDirectory, recordFile), JSON.stringify(record), { mode: 0o600 });
  const seenAs = `${inside.directorySeenAs}/inside/${plan.spec.id}`;
  const words = startWords(name, seenAs, plan, layout);
  return open(plan, inside, layout, { words, root, startedMs: nowMs, ours: true });
}

export async function adoptInside(
  plan: Plan & Pick<LaunchPlan, 'inside'>,
): Promise<RunningMachine | undefined> {
  const inside = plan.inside!;
  const text = await readTextIfThere(join(plan.runDirectory, recordFile));
  if (text === undefined) return undefined;
  const { name, consoles, startedMs } = JSON.parse(text) as NestRecord;
  const root = nestRoot(inside.directory, plan.spec.id);
  const layout = layoutDescriptors(consoles);
  const words = attachWords(name);
  try {
    return await open(plan, inside, layout, { words, root, startedMs, ours: false });
  } catch (thrown) {
    if (thrown instanceof Refusal && thrown.code === 'not-found') return undefined;
    throw thrown;
  }
}

function refuseMemory(plan: LaunchPlan, inside: Inside): void {
  if (plan.spec.memory < inside.memory) return;
  throw new Refusal(
    'no-space',
    `“${plan.name}” asks for as much memory as “${inside.name}” has; give it less.`,
  );
}

type Opening = { words: string[]; root: string; startedMs: number; ours: boolean };

/** Resolves when the daemon has answered. */
async function open(
  plan: Plan,
  inside: Inside,
  layout: DescriptorLayout,
  opening: Opening,
): Promise<NestedMachine> {
  const machine = new NestedMachine(plan, inside, layout, opening);
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Refusal('timeout', `“${inside.name}” does not answer.`)),
      answerTimeoutMs,
    );
  });
  try {
    await Promise.race([machine.answered, late]);
    return machine;
  } catch (thrown) {
    machine.release();
    throw thrown;
  } finally {
    clearTimeout(timer);
  }
}

export class NestedMachine implements RunningMachine {
  readonly pid: number;
  readonly startedMs: number;
  readonly ours: boolean;
  readonly wasPaused: boolean;
  readonly exited: Promise<ExitReport>;
  readonly answered: Promise<void>;
  readonly consoles: readonly BytePipe[];
  readonly agentPipe: BytePipe;
  readonly insideRoot: { directory: string; seenAs: string };
  readonly guestNames: GuestNames = {
    console: (index) => `/dev/tty${index}`,
    card: (slot) => `vec${slot}`,
  };
  private readonly plan: Plan;
  private readonly layout: DescriptorLayout;
  private readonly program: InnerProgram;
  private readonly pump: FramePump;
  private readonly lines: FrameLine[];
  private readonly mconsole: MconsoleClient;
  private readonly road: FrameRoad;
  private readonly root: string;
  private readonly firstFrame = Promise.withResolvers<void>();
  private readonly end = Promise.withResolvers<ExitReport>();
  private figures: ProcessSample = { cpuSeconds: 0, memoryHostBytes: 0 };
  private released = false;

  constructor(plan: Plan, inside: Inside, layout: DescriptorLayout, opening: Opening) {
    this.plan = plan;
    this.layout = layout;
    this.root = opening.root;
    this.pid = inside.pid;
    this.startedMs = opening.startedMs;
    this.ours = opening.ours;
    this.wasPaused = !this.ours && existsSync(this.pausedMark);
    this.insideRoot = { directory: opening.root, seenAs: '' };
    this.lines = [...layout.consoles, layout.agent].map(
      (_, channel) => new FrameLine(channel, (frame) => this.send(frame)),
    );
    this.consoles = this.lines.slice(0, -1);
    this.agentPipe = this.lines.at(-1)!;
    this.pump = new FramePump(layout.nics.length, (slot, frame) =>
      this.send(encodeFrame(this.lines.length + slot, frame)),
    );
    this.road = new FrameRoad((frame) => this.send(frame));
    this.mconsole = new MconsoleClient(this.road);
    this.exited = this.end.promise;
    this.answered = this.firstFrame.promise;
    const decoder = new FrameDecoder((channel, bytes) => this.take(channel, bytes));
    this.program = inside.run(opening.words, (bytes) => {
      if (!decoder.take(bytes)) this.kill();
    });
    this.program.exit.then(
      (code) => this.programEnded(code, inside.name),
      (thrown: Error) => this.programEnded(undefined, inside.name, thrown),
    );
    this.send(encodeFrame(word.stats, new Uint8Array(0)));
  }

  networkEnd(slot: number): number | undefined {
    return this.pump.farEnd(slot);
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

  pause(): Promise<void> {
    this.send(encodeFrame(word.freeze, Uint8Array.of(1)));
    writeFileSync(this.pausedMark, '');
    return Promise.resolve();
  }

  resume(): Promise<void> {
    this.send(encodeFrame(word.freeze, Uint8Array.of(0)));
    rmSync(this.pausedMark, { force: true });
    return Promise.resolve();
  }

  private get pausedMark(): string {
    return join(this.plan.runDirectory, 'paused');
  }

  monitor(line: string): Promise<string> {
    return this.mconsole.say(line);
  }

  async askToStop(): Promise<void> {
    await this.mconsole.request('cad');
  }

  kill(): void {
    this.send(encodeFrame(word.kill, new Uint8Array(0)));
  }

  /** Its memory is the outer guest's, which gives back on its own account. */
  reclaim(): Promise<void> {
    return Promise.resolve();
  }

  /** The last figures that came, and a wish for newer ones. */
  sample(): ProcessSample | undefined {
    if (this.released) return undefined;
    this.send(encodeFrame(word.stats, new Uint8Array(0)));
    return this.figures;
  }

  release(): void {
    if (this.released) return;
    this.released = true;
    this.program.end();
    this.pump.close();
    this.mconsole.close();
  }

  private send(frame: Uint8Array): void {
    if (!this.released) this.program.write(frame);
  }

  private take(channel: number, bytes: Uint8Array): void {
    this.firstFrame.resolve();
    const line = this.lines[channel];
    if (line) return line.take(bytes);
    const slot = channel - this.lines.length;
    if (slot < this.layout.nics.length) return this.pump.send(slot, bytes);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (channel === word.mconsole) this.road.take(bytes);
    else if (channel === word.stats && bytes.length === 16) {
      const [ticks, memory] = [0, 8].map((at) => Number(view.getBigUint64(at, true)));
      this.figures = { cpuSeconds: ticks! / ticksPerSecond, memoryHostBytes: memory! };
    } else if (channel === word.end && bytes.length === 4) {
      const code = view.getUint32(0, true);
      this.ended(code > 128 ? { code, signal: signalName(code - 128) } : { code });
    }
  }

  private programEnded(code: number | undefined, outer: string, thrown?: Error): void {
    const refusal =
      code === nobodyThere
        ? new Refusal('not-found', 'Nobody answers inside.')
        : thrown instanceof Refusal
          ? thrown
          : new Refusal('unavailable', `“${outer}” could not start it.`);
    this.firstFrame.reject(refusal);
    this.firstFrame.promise.catch(() => {});
    if (!this.released) this.ended({ reason: `“${outer}”, in which it ran, has ended.` });
  }

  /** Its folder goes before anybody hears of its end, and may start it again. */
  private ended(report: ExitReport): void {
    if (this.released) return;
    this.release();
    void removeNestRoot(this.root).catch(() => {}).then(() => this.end.resolve(report));
  }
}

function signalName(number: number): string {
  return { 6: 'SIGABRT', 9: 'SIGKILL', 11: 'SIGSEGV', 15: 'SIGTERM' }[number] ?? `signal ${number}`;
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
