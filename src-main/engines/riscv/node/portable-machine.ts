/** Handles on one running portable machine: its consoles, its network ends, its end. */
import type { ChildProcess } from 'node:child_process';
import { closeSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Refusal } from '../../../base/refusal.ts';
import { translatorView, type TranslatorView } from '../../../contract/machine.ts';
import { identify, isSameProcess, type ProcessIdentity } from '../../../base/node/process.ts';
import type { DescriptorLayout } from '../../../machine/descriptors.ts';
import type {
  BytePipe,
  ExitReport,
  GuestNames,
  InGuest,
  InsideRoot,
  LaunchPlan,
  PlannedDisk,
  ProcessSample,
  RunningMachine,
} from '../../../machine/engine.ts';
import { childExit, strangerExit, takeNetworkEnd } from '../../../machine/node/child.ts';
import { mountAt } from '../../../machine/shares.ts';
import type { ShareSpec } from '../../../machine/spec.ts';
import { closePipes, type Pipes } from '../../../machine/node/pipe.ts';
import { cpuSeconds, tryKill } from '../../../machine/node/processes.ts';
import { CardNumbers } from '../card-numbers.ts';
import { bindSlot, unbindCard, unbindDisk } from '../guest-scripts.ts';
import { consoleDevice, reasonFile, slots, vsockFile } from '../machine-file.ts';
import { depthMax } from '../nest.ts';
import { askControl, controlPath, whileAsked, type Request } from './control-door.ts';

type Parts = {
  plan: Pick<LaunchPlan, 'directory' | 'runDirectory' | 'spec'>;
  layout: DescriptorLayout;
  pid: number;
  startedMs: number;
  ends: Map<number, number>;
  pipes: Pipes;
  child?: ChildProcess;
};

const pageBytes = 4096;
const controlTimeoutMs = 5000;
/** More than the machine takes to give up on a guest that does not follow. */
const reclaimTimeoutMs = 30_000;
/** Gigabytes of memory, and requests of its disks that have to end first. */
const saveTimeoutMs = 10 * 60_000;

export class PortableMachine implements RunningMachine {
  readonly pid: number;
  readonly startedMs: number;
  readonly ours: boolean;
  readonly wasPaused: boolean;
  readonly exited: Promise<ExitReport>;
  readonly consoles: readonly BytePipe[];
  readonly agentPipe: BytePipe;
  /** Two of them fit into what `VirtioSerial` keeps. */
  readonly agentWindowBytes = 24 << 10;
  readonly vsock: string;
  readonly returnsFreeMemory = true;
  readonly insideRoot: InsideRoot;
  readonly guestNames: GuestNames = {
    console: consoleDevice,
    card: (slot) => this.cards.name(slot),
  };
  private readonly cards: CardNumbers;
  private readonly parts: Parts;
  private readonly identity: ProcessIdentity;
  private readonly stopWatching: () => void = () => {};

  constructor(parts: Parts) {
    this.parts = parts;
    this.pid = parts.pid;
    // Files of it reach the guest as disks only, so that it does not see the folder.
    const { directory, spec } = parts.plan;
    const deeper = spec.firmware === undefined ? depthMax - 2 : 0;
    this.insideRoot = { directory, seenAs: '', deeper };
    this.startedMs = parts.startedMs;
    this.ours = parts.child !== undefined;
    this.wasPaused = !this.ours && existsSync(this.pausedMark);
    this.consoles = parts.pipes.consoles;
    this.agentPipe = parts.pipes.agent;
    this.vsock = join(parts.plan.runDirectory, vsockFile);
    this.cards = new CardNumbers(spec.nics.map(({ slot }) => slot));
    this.identity = identify(parts.pid) ?? { pid: parts.pid, startTicks: -1 };
    let exited: Promise<ExitReport>;
    if (parts.child) exited = childExit(parts.child);
    else ({ exited, close: this.stopWatching } = strangerExit(this.identity, parts.pipes));
    this.exited = exited.then((report) => ({ ...report, ...this.refusal() }));
    void this.exited.then(() => this.release());
    // Ours only to watch: the server may end while the machine goes on.
    parts.child?.unref();
  }

  networkEnd(slot: number): number | undefined {
    return takeNetworkEnd(this.pid, this.parts.layout, this.parts.ends, slot);
  }

  async plugNic(slot: number, mac: string, inGuest: InGuest): Promise<void> {
    await this.ask({ do: 'plug-nic', slot, mac });
    await this.bind(slots.nics + slot, inGuest, { do: 'unplug-nic', slot });
    this.cards.plugged(slot);
  }

  async unplugNic(slot: number, inGuest: InGuest): Promise<void> {
    await unbindCard(slots.nics + slot, inGuest);
    await this.ask({ do: 'unplug-nic', slot });
    this.cards.unplugged(slot);
  }

  async plugDisk(disk: PlannedDisk, inGuest: InGuest): Promise<void> {
    const { slot } = await this.ask({ do: 'plug-disk', ...disk });
    await this.bind(Number(slot), inGuest, { do: 'unplug-disk', id: disk.id });
  }

  async unplugDisk({ id }: Pick<PlannedDisk, 'id'>, inGuest: InGuest): Promise<void> {
    const { slot } = await this.ask({ do: 'find-disk', id });
    await unbindDisk(Number(slot), id, inGuest);
    await this.ask({ do: 'unplug-disk', id });
  }

  /** The guest is told to look into a slot; where that fails the slot is empty again. */
  private async bind(slot: number, inGuest: InGuest, undo: Request): Promise<void> {
    try {
      await bindSlot(slot, inGuest);
    } catch (thrown) {
      await this.ask(undo).catch(() => undefined);
      throw thrown;
    }
  }

  private refusePaused(): void {
    if (!existsSync(this.pausedMark)) return;
    throw new Refusal('wrong-state', 'The machine is paused, so it takes no requests.');
  }

  private async ask(request: Request, timeoutMs = controlTimeoutMs) {
    this.refusePaused();
    return askControl(controlPath(this.parts.plan.runDirectory), request, timeoutMs);
  }

  pause(): Promise<void> {
    process.kill(this.pid, 'SIGSTOP');
    writeFileSync(this.pausedMark, '');
    return Promise.resolve();
  }

  resume(): Promise<void> {
    process.kill(this.pid, 'SIGCONT');
    rmSync(this.pausedMark, { force: true });
    return Promise.resolve();
  }

  /** A process does not tell whether it is frozen, so it is noted where a new server looks. */
  private get pausedMark(): string {
    return join(this.parts.plan.runDirectory, 'paused');
  }

  async suspend(path: string): Promise<void> {
    await this.ask({ do: 'suspend', path }, saveTimeoutMs);
  }

  async snapshot(path: string, work: () => Promise<void>): Promise<void> {
    this.refusePaused();
    const door = controlPath(this.parts.plan.runDirectory);
    await whileAsked(door, { do: 'hold' }, saveTimeoutMs, async () => {
      await this.ask({ do: 'save', path }, saveTimeoutMs);
      await work();
    });
  }

  /** Why its process did not run, where it has said so. */
  private refusal(): { reason?: string } {
    const path = join(this.parts.plan.runDirectory, reasonFile);
    return existsSync(path) ? { reason: readFileSync(path, 'utf8').slice(0, 500) } : {};
  }

  async askToStop(): Promise<void> {
    await this.ask({ do: 'ctrl-alt-del' });
  }

  mountScript({ tag, readOnly }: ShareSpec): string {
    const how = `trans=virtio,version=9p2000.L,${readOnly ? 'ro' : 'rw'}`;
    return mountAt(tag, `-t 9p -o ${how} ${tag}`);
  }

  kill(): void {
    if (isSameProcess(this.identity)) tryKill(this.pid);
  }

  async reclaim(bytes: number): Promise<void> {
    const pages = Math.floor(bytes / pageBytes);
    if (pages > 0) await this.ask({ do: 'reclaim', pages }, reclaimTimeoutMs);
  }

  async translator(): Promise<TranslatorView> {
    return translatorView.parse(await this.ask({ do: 'jit' }));
  }

  sample(): ProcessSample | undefined {
    if (!isSameProcess(this.identity)) return undefined;
    return { cpuSeconds: cpuSeconds(this.pid), memoryHostBytes: residentBytes(this.pid) };
  }

  release(): void {
    this.stopWatching();
    closePipes(this.parts.pipes);
    for (const fd of this.parts.ends.values()) closeSync(fd);
    this.parts.ends.clear();
  }
}

/** All that the process holds: the guest's memory, the translator and its code. */
function residentBytes(pid: number): number {
  try {
    const pages = readFileSync(`/proc/${pid}/statm`, 'latin1').split(' ')[1];
    return Number(pages) * pageBytes;
  } catch {
    return 0;
  }
}
