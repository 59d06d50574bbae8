/**
 * A machine that runs inside another one: everything of it (consoles, agent, network, control)
 * comes over one program that runs in the outer guest (`resources/guest/nest.c`), as frames. It is
 * a machine like any other to all who use it. What an engine adds is in a class of its own.
 *
 *   const opening = await newOpening(plan, nowMs)    or foundOpening(plan), undefined if it is gone
 *   return opened(new Own(plan, inside, opening, words), inside.name)
 */
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Refusal } from '../../base/refusal.ts';
import { makeDirectory, readTextIfThere } from '../../base/node/files.ts';
import { layoutDescriptors, type DescriptorLayout } from '../descriptors.ts';
import type {
  BytePipe, ExitReport, GuestNames, InGuest, InnerProgram, Inside, LaunchPlan, PlannedDisk,
  ProcessSample, RunningMachine,
} from '../engine.ts'; // prettier-ignore
import { FrameLine } from '../frame-line.ts';
import { encodeFrame, FrameDecoder, word } from '../frames.ts';
import { FramePump } from './frame-pump.ts';

const recordFile = 'nest.json';
const ticksPerSecond = 100;
/** The first frame tells that the daemon answers; a stat is asked for, so one always comes. */
const answerTimeoutMs = 15_000;
/** `nest attach` says so when nobody answers to the name. */
const nobodyThere = 111;

type Plan = Pick<LaunchPlan, 'runDirectory' | 'spec'>;

/** By which name the daemon in the outer guest is found, and since when it is there. */
export interface Opening {
  readonly name: string;
  readonly consoles: number;
  readonly startedMs: number;
  readonly ours: boolean;
}

export function attachWords(name: string): string[] {
  return ['@nest', 'attach', name];
}

/** For a machine that is about to start: its run directory is made anew. */
export async function newOpening(plan: LaunchPlan, nowMs: number): Promise<Opening> {
  const inside = plan.inside!;
  if (plan.spec.memory >= inside.memory) {
    throw new Refusal(
      'no-space',
      `“${plan.name}” asks for as much memory as “${inside.name}” has; give it less.`,
    );
  }
  await rm(plan.runDirectory, { recursive: true, force: true });
  await makeDirectory(plan.runDirectory);
  const name = `${plan.spec.id}-${nowMs.toString(36)}`;
  const record = { name, consoles: plan.spec.consoles, startedMs: nowMs };
  await writeFile(join(plan.runDirectory, recordFile), JSON.stringify(record), { mode: 0o600 });
  return { ...record, ours: true };
}

/** Of a machine that an earlier server started; undefined when there was none. */
export async function foundOpening(plan: Plan): Promise<Opening | undefined> {
  const text = await readTextIfThere(join(plan.runDirectory, recordFile));
  if (text === undefined) return undefined;
  return { ...(JSON.parse(text) as Omit<Opening, 'ours'>), ours: false };
}

/** Resolves when the daemon has answered. */
export async function opened<T extends InnerMachine>(machine: T, around: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Refusal('timeout', `“${around}” does not answer.`)),
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

/** As `opened`, for one that may be gone. */
export async function openedIfThere<T extends InnerMachine>(
  machine: T,
  around: string,
): Promise<T | undefined> {
  try {
    return await opened(machine, around);
  } catch (thrown) {
    if (thrown instanceof Refusal && thrown.code === 'not-found') return undefined;
    throw thrown;
  }
}

export abstract class InnerMachine implements RunningMachine {
  readonly pid: number;
  readonly startedMs: number;
  readonly ours: boolean;
  readonly wasPaused: boolean;
  readonly exited: Promise<ExitReport>;
  readonly answered: Promise<void>;
  readonly consoles: readonly BytePipe[];
  readonly agentPipe: BytePipe;
  abstract readonly guestNames: GuestNames;
  protected readonly plan: Plan;
  protected readonly layout: DescriptorLayout;
  private readonly program: InnerProgram;
  private readonly pump: FramePump;
  private readonly lines: FrameLine[];
  private readonly firstFrame = Promise.withResolvers<void>();
  private readonly end = Promise.withResolvers<ExitReport>();
  private figures: ProcessSample = { cpuSeconds: 0, memoryHostBytes: 0 };
  private released = false;

  /** `words` are what the agent of the outer guest is asked to run. */
  constructor(plan: Plan, inside: Inside, opening: Opening, words: readonly string[]) {
    this.plan = plan;
    this.layout = layoutDescriptors(opening.consoles);
    this.pid = inside.pid;
    this.startedMs = opening.startedMs;
    this.ours = opening.ours;
    this.wasPaused = !this.ours && existsSync(this.pausedMark);
    this.lines = [...this.layout.consoles, this.layout.agent].map(
      (_, channel) => new FrameLine(channel, (frame) => this.send(frame)),
    );
    this.consoles = this.lines.slice(0, -1);
    this.agentPipe = this.lines.at(-1)!;
    this.pump = new FramePump(this.layout.nics.length, (slot, frame) =>
      this.send(encodeFrame(this.lines.length + slot, frame)),
    );
    this.exited = this.end.promise;
    this.answered = this.firstFrame.promise;
    const decoder = new FrameDecoder((channel, bytes) => this.take(channel, bytes));
    this.program = inside.run(words, (bytes) => {
      if (!decoder.take(bytes)) this.kill();
    });
    this.program.exit.then(
      (code) => this.programEnded(code, inside.name),
      (thrown: Error) => this.programEnded(undefined, inside.name, thrown),
    );
    this.send(encodeFrame(word.stats, new Uint8Array(0)));
  }

  /** A frame with a word that only this engine has. */
  protected abstract takeOwn(channel: number, bytes: Uint8Array): void;
  /** It has ended, and is said to have when this is done; the outer one may have ended too. */
  protected abstract cleanUp(outerLives: boolean): Promise<void>;
  abstract plugNic(slot: number, mac: string, inGuest: InGuest): Promise<void>;
  abstract unplugNic(slot: number, inGuest: InGuest): Promise<void>;
  abstract plugDisk(disk: PlannedDisk, inGuest: InGuest): Promise<void>;
  abstract unplugDisk(
    disk: Pick<PlannedDisk, 'id' | 'index'>,
    inGuest: InGuest,
  ): Promise<void>;
  abstract askToStop(): Promise<void>;

  /** Never asked for: the planner refuses a machine inside another its shared folders. */
  mountScript(): string {
    return 'false';
  }

  networkEnd(slot: number): number | undefined {
    return this.pump.farEnd(slot);
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
  }

  protected send(frame: Uint8Array): void {
    if (!this.released) this.program.write(frame);
  }

  private take(channel: number, bytes: Uint8Array): void {
    this.firstFrame.resolve();
    const line = this.lines[channel];
    if (line) return line.take(bytes);
    const slot = channel - this.lines.length;
    if (slot < this.layout.nics.length) return this.pump.send(slot, bytes);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (channel === word.stats && bytes.length === 16) {
      const [ticks, memory] = [0, 8].map((at) => Number(view.getBigUint64(at, true)));
      this.figures = { cpuSeconds: ticks! / ticksPerSecond, memoryHostBytes: memory! };
    } else if (channel === word.end && bytes.length === 4) {
      const code = view.getUint32(0, true);
      this.ended(code > 128 ? { code, signal: signalName(code - 128) } : { code });
    } else this.takeOwn(channel, bytes);
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
    this.ended({ reason: `“${outer}”, in which it ran, has ended.` }, false);
  }

  private ended(report: ExitReport, outerLives = true): void {
    if (this.released) return;
    this.release();
    const end = () => this.end.resolve(report);
    this.cleanUp(outerLives).then(end, end);
  }
}

function signalName(number: number): string {
  return { 6: 'SIGABRT', 9: 'SIGKILL', 11: 'SIGSEGV', 15: 'SIGTERM' }[number] ?? `signal ${number}`;
}
