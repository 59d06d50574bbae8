/**
 * Handles on one running kernel: its consoles, its network ends, its management console and its
 * end. Nothing here decides; the driver does.
 */
import { closeSync, existsSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ChildProcess } from 'node:child_process';
import { identify, isSameProcess, type ProcessIdentity } from '../../../base/node/process.ts';
import type {
  BytePipe,
  ExitReport,
  GuestNames,
  InGuest,
  LaunchPlan,
  PlannedDisk,
  ProcessSample,
  RunningMachine,
} from '../../../machine/engine.ts';
import { Refusal } from '../../../base/refusal.ts';
import type { DescriptorLayout } from '../../../machine/descriptors.ts';
import { childExit, strangerExit, takeNetworkEnd } from '../../../machine/node/child.ts';
import { mountAt } from '../../../machine/shares.ts';
import type { ShareSpec } from '../../../machine/spec.ts';
import { closePipes, type Pipes } from '../../../machine/node/pipe.ts';
import {
  compartmentOf,
  cpuSeconds,
  membersOfSession,
  tryKill,
} from '../../../machine/node/processes.ts';
import { diskArgument, nicArgument } from '../command-line.ts';
import { MconsoleClient, SocketRoad } from './mconsole-client.ts';
import { findMemoryFd, memoryHostBytes } from './memory-file.ts';

type Parts = {
  plan: Pick<LaunchPlan, 'directory' | 'runDirectory' | 'spec'>;
  layout: DescriptorLayout;
  pid: number;
  startedMs: number;
  ends: Map<number, number>;
  pipes: Pipes;
  child?: ChildProcess;
};

export class UmlMachine implements RunningMachine {
  readonly pid: number;
  readonly startedMs: number;
  readonly ours: boolean;
  readonly wasPaused: boolean;
  readonly exited: Promise<ExitReport>;
  readonly consoles: readonly BytePipe[];
  readonly agentPipe: BytePipe;
  /** Its own folder, which its guest sees by hostfs under the same name. */
  readonly insideRoot: { readonly directory: string; readonly seenAs: string };
  readonly guestNames: GuestNames = {
    console: (index) => `/dev/tty${index}`,
    card: (slot) => `vec${slot}`,
  };
  private readonly parts: Parts;
  private readonly identity: ProcessIdentity;
  /** The first process of its compartment; undefined for a machine that has none. */
  private readonly compartment?: ProcessIdentity;
  private readonly mconsole: MconsoleClient;
  private memoryFd?: number;
  private readonly stopWatching: () => void = () => {};

  constructor(parts: Parts) {
    this.parts = parts;
    this.pid = parts.pid;
    this.startedMs = parts.startedMs;
    this.ours = parts.child !== undefined;
    this.wasPaused = !this.ours && existsSync(join(parts.plan.runDirectory, 'paused'));
    const { directory } = parts.plan;
    this.insideRoot = { directory: realpathSync(directory), seenAs: directory };
    this.consoles = parts.pipes.consoles;
    this.agentPipe = parts.pipes.agent;
    this.identity = identify(parts.pid) ?? { pid: parts.pid, startTicks: -1 };
    const compartment = compartmentOf(parts.pid);
    this.compartment = compartment === undefined ? undefined : identify(compartment);
    this.mconsole = new MconsoleClient(new SocketRoad(parts.plan.runDirectory));
    if (parts.child) this.exited = childExit(parts.child);
    else {
      const { exited, close } = strangerExit(this.identity, parts.pipes);
      this.exited = exited;
      this.stopWatching = close;
    }
    void this.exited.then(() => {
      this.endRest();
      this.release();
    });
    // Ours only to watch: the server may end while the machine goes on.
    parts.child?.unref();
  }

  networkEnd(slot: number): number | undefined {
    return takeNetworkEnd(this.pid, this.parts.layout, this.parts.ends, slot);
  }

  async plugNic(slot: number, mac: string): Promise<void> {
    const nic = this.parts.layout.nics[slot];
    if (!nic) throw new Refusal('unsupported', 'All network slots of this machine are taken.');
    await this.mconsole.request(`config ${nicArgument(slot, nic.near, mac)}`);
  }

  /** A card that is up cannot be taken out, and only the guest can take it down. */
  async unplugNic(slot: number, inGuest: InGuest): Promise<void> {
    const card = this.guestNames.card(slot);
    await inGuest(`ip link set ${card} down || ifconfig ${card} down`).catch(() => undefined);
    await this.mconsole.request(`remove vec${slot}`);
  }

  async plugDisk(disk: PlannedDisk): Promise<void> {
    await this.mconsole.request(`config ${diskArgument(disk)}`);
  }

  async unplugDisk({ index }: Pick<PlannedDisk, 'index'>): Promise<void> {
    await this.mconsole.request(`remove ubd${index}`);
  }

  async pause(): Promise<void> {
    await this.mconsole.request('stop');
    // The guest reaches this folder too: what it has put there is not written through.
    rmSync(this.pausedMark, { force: true });
    writeFileSync(this.pausedMark, '', { flag: 'wx' });
    // With several processors the console stops only the one that answered.
    if (this.parts.plan.spec.cpus > 1) process.kill(this.pid, 'SIGSTOP');
  }

  async resume(): Promise<void> {
    if (this.parts.plan.spec.cpus > 1) process.kill(this.pid, 'SIGCONT');
    await this.mconsole.request('go');
    rmSync(this.pausedMark, { force: true });
  }

  /** A kernel does not tell whether it is frozen, so it is noted where a new server looks. */
  private get pausedMark(): string {
    return join(this.parts.plan.runDirectory, 'paused');
  }

  monitor(line: string): Promise<string> {
    return this.mconsole.say(line);
  }

  async askToStop(): Promise<void> {
    await this.mconsole.request('cad');
  }

  mountScript({ tag, path }: ShareSpec): string {
    return mountAt(tag, `-t hostfs -o ${path} none`);
  }

  kill(): void {
    if (!isSameProcess(this.identity)) return;
    tryKill(this.pid);
    this.endRest();
  }

  /**
   * A kernel that dies takes along the processes of its guest's programs, but for one that it was
   * just making: that one stops for a tracer that is no more, and its compartment waits for it
   * for ever. Without a compartment such processes are found in the session that it began.
   */
  private endRest(): void {
    if (!this.compartment) membersOfSession(this.pid).forEach(tryKill);
    else if (isSameProcess(this.compartment)) tryKill(this.compartment.pid);
  }

  async reclaim(bytes: number): Promise<void> {
    const mib = Math.floor(bytes / 2 ** 20);
    if (mib < 1) return;
    // Unplugged pages leave the memory file, and plugged back they are holes until touched.
    await this.mconsole.request(`config mem=-${mib}M`, 20_000);
    await this.mconsole.request(`config mem=+${mib}M`, 20_000);
  }

  sample(): ProcessSample | undefined {
    if (!isSameProcess(this.identity)) return undefined;
    this.memoryFd ??= findMemoryFd(this.pid);
    return {
      cpuSeconds: cpuSeconds(this.pid),
      memoryHostBytes: this.memoryFd === undefined ? 0 : memoryHostBytes(this.pid, this.memoryFd),
    };
  }

  release(): void {
    this.stopWatching();
    closePipes(this.parts.pipes);
    for (const fd of this.parts.ends.values()) closeSync(fd);
    this.parts.ends.clear();
    this.mconsole.close();
  }
}
