/** Handles on one running portable machine: its consoles, its network ends, its end. */
import type { ChildProcess } from 'node:child_process';
import { closeSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Refusal } from '../../../base/refusal.ts';
import { identify, isSameProcess, type ProcessIdentity } from '../../../base/node/process.ts';
import type { DescriptorLayout } from '../../../machine/descriptors.ts';
import type {
  BytePipe,
  ExitReport,
  GuestNames,
  LaunchPlan,
  ProcessSample,
  RunningMachine,
} from '../../../machine/engine.ts';
import { childExit, strangerExit, takeNetworkEnd } from '../../../machine/node/child.ts';
import { closePipes, type Pipes } from '../../../machine/node/pipe.ts';
import { cpuSeconds, tryKill } from '../../../machine/node/processes.ts';
import { consoleDevice } from '../machine-file.ts';

type Parts = {
  plan: Pick<LaunchPlan, 'runDirectory' | 'spec'>;
  layout: DescriptorLayout;
  pid: number;
  startedMs: number;
  ends: Map<number, number>;
  pipes: Pipes;
  child?: ChildProcess;
};

const pageBytes = 4096;

export class PortableMachine implements RunningMachine {
  readonly pid: number;
  readonly startedMs: number;
  readonly ours: boolean;
  readonly wasPaused: boolean;
  readonly exited: Promise<ExitReport>;
  readonly consoles: readonly BytePipe[];
  readonly agentPipe: BytePipe;
  readonly guestNames: GuestNames = { console: consoleDevice, card: (slot) => `eth${slot}` };
  private readonly parts: Parts;
  private readonly identity: ProcessIdentity;
  private readonly stopWatching: () => void = () => {};

  constructor(parts: Parts) {
    this.parts = parts;
    this.pid = parts.pid;
    this.startedMs = parts.startedMs;
    this.ours = parts.child !== undefined;
    this.wasPaused = !this.ours && existsSync(this.pausedMark);
    this.consoles = parts.pipes.consoles;
    this.agentPipe = parts.pipes.agent;
    this.identity = identify(parts.pid) ?? { pid: parts.pid, startTicks: -1 };
    if (parts.child) this.exited = childExit(parts.child);
    else {
      const { exited, close } = strangerExit(this.identity, parts.pipes);
      this.exited = exited;
      this.stopWatching = close;
    }
    void this.exited.then(() => this.release());
    // Ours only to watch: the server may end while the machine goes on.
    parts.child?.unref();
  }

  networkEnd(slot: number): number | undefined {
    return takeNetworkEnd(this.pid, this.parts.layout, this.parts.ends, slot);
  }

  plugNic(): Promise<void> {
    return refuse('Cards of a portable machine can be plugged while it is off only.');
  }

  unplugNic(): Promise<void> {
    return Promise.resolve();
  }

  plugDisk(): Promise<void> {
    return refuse('Disks of a portable machine can be plugged while it is off only.');
  }

  unplugDisk(): Promise<void> {
    return refuse('Disks of a portable machine can be unplugged while it is off only.');
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

  askToStop(): Promise<void> {
    return refuse('Its guest has no agent to pass the wish on; force it off instead.');
  }

  kill(): void {
    if (isSameProcess(this.identity)) tryKill(this.pid);
  }

  reclaim(): Promise<void> {
    return Promise.resolve();
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

function refuse(sentence: string): Promise<never> {
  return Promise.reject(new Refusal('unsupported', sentence));
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
