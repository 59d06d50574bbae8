/**
 * The seam between the household and whatever runs a machine. An engine is given a plan, in which
 * every path is checked and every default filled in, and answers with a `RunningMachine`: handles
 * on one operating-system process that goes on living when we do not.
 */
import type { TranslatorView } from '../contract/machine.ts';
import type { MachineSpec, ShareSpec } from './spec.ts';

/** A disk as the engine is to open it: a raw file, or an overlay over a raw file. */
export interface PlannedDisk {
  readonly id: string;
  /** Its place among the machine's disks, which is its device: 0 is the first. */
  readonly index: number;
  readonly path: string;
  /** The read-only file below an overlay. */
  readonly backing?: string;
}

/** A file that a kernel needs beside itself: its loader or a library. */
export interface SharedLibrary {
  /** Absolute, on the host. */
  readonly file: string;
  /** Absolute, where the kernel looks for it. Another path than `file` wants a compartment. */
  readonly seenAs: string;
}

export interface LaunchPlan {
  readonly name: string;
  readonly spec: MachineSpec;
  readonly kernel: {
    readonly path: string;
    readonly sharedLibraries: readonly SharedLibrary[];
    readonly seccomp: boolean;
    /** An archive of its modules that is to stand before the boot file system. */
    readonly modules?: string;
  };
  readonly initramfs: string;
  readonly disks: readonly PlannedDisk[];
  /** The machine's own folder: the only place it may write. */
  readonly directory: string;
  /** Short folder for sockets and pipes, gone with the next boot of the host. */
  readonly runDirectory: string;
  readonly confined: boolean;
  /** The machine that it is to run inside of. */
  readonly inside?: Inside;
  /** The file of a saved state to go on from instead of booting. It is gone when that is done. */
  readonly resume?: string;
}

/** How it ended. `code` and `signal` are unknown for a machine that was not our child. */
export interface ExitReport {
  readonly code?: number;
  readonly signal?: string;
  /** Known without looking for it: one sentence. */
  readonly reason?: string;
}

/** A program that runs in a machine: what it writes goes to the listener given with its words. */
export interface InnerProgram {
  write(bytes: Uint8Array): void;
  /** No more input, which ends a program that lives for it. */
  end(): void;
  /** Its exit code; rejects when the machine or its agent is gone. */
  readonly exit: Promise<number>;
}

export interface InsideRoot {
  /** A folder of the host that the machine's guest can reach, and by which path it does. */
  readonly directory: string;
  readonly seenAs: string;
  /** How many levels of machines one inside it can hold in turn, where that has an end. */
  readonly deeper?: number;
}

/** The way into a running machine, for one that runs inside it. */
export interface Inside {
  readonly name: string;
  /** The host's process that the machine is, or that the outermost of its parents is. */
  readonly pid: number;
  /** The id of the kernel that it runs. */
  readonly kernel: string;
  /** Its memory, in bytes: an inner machine's comes out of it. */
  readonly memory: number;
  readonly root: InsideRoot;
  run(argv: readonly string[], onOutput: (bytes: Uint8Array) => void): InnerProgram;
  /** As `RunningMachine` does for that machine; the file must lie in `directory`. */
  plugDisk(disk: PlannedDisk): Promise<void>;
  unplugDisk(disk: Pick<PlannedDisk, 'id' | 'index'>): Promise<void>;
}

/** Counters since the machine started; rates are the reader's to make. */
export interface ProcessSample {
  readonly cpuSeconds: number;
  readonly memoryHostBytes: number;
}

/** A two-way byte pipe into the guest: a console or the agent's line. */
export interface BytePipe {
  write(bytes: Uint8Array): void;
  /** Only one listener. It may answer with a promise to be given no more until that settles. */
  onBytes: (bytes: Uint8Array) => void | Promise<void>;
  close(): void;
}

export interface GuestNames {
  console(index: number): string;
  card(slot: number): string;
}

/**
 * Runs a shell script as root in the guest, by its agent, and answers with its exit code. Engines
 * whose guests do not notice by themselves what is plugged have to tell them so.
 * @throws Refusal `unavailable` without an agent or a shell, `timeout`.
 */
export type InGuest = (script: string) => Promise<number>;

export interface RunningMachine {
  readonly pid: number;
  readonly startedMs: number;
  /** False for a machine found alive by a new server. */
  readonly ours: boolean;
  /** Found frozen by a new server. */
  readonly wasPaused: boolean;
  readonly exited: Promise<ExitReport>;
  readonly consoles: readonly BytePipe[];
  readonly agentPipe: BytePipe;
  /** What may be on the way to the agent at once, if its line takes more than any does. */
  readonly agentWindowBytes?: number;
  /** The path of a unix socket on which `CONNECT PORT` leads to a stream socket of the guest. */
  readonly vsock?: string;
  /** What the guest calls a console's terminal (`/dev/tty0`) and a network card (`vec0`). */
  readonly guestNames: GuestNames;
  /** Far end of a network slot, as a file descriptor of ours; undefined if it cannot be had. */
  networkEnd(slot: number): number | undefined;
  plugNic(slot: number, mac: string, inGuest: InGuest): Promise<void>;
  unplugNic(slot: number, inGuest: InGuest): Promise<void>;
  plugDisk(disk: PlannedDisk, inGuest: InGuest): Promise<void>;
  unplugDisk(disk: Pick<PlannedDisk, 'id' | 'index'>, inGuest: InGuest): Promise<void>;
  pause(): Promise<void>;
  resume(): Promise<void>;
  /**
   * Writes all of the machine but its disks into a new file and ends it, its guest having done
   * nothing in between. An engine that has neither this nor `snapshot` cannot save its machines.
   * @throws Refusal when it could not be written; the machine then goes on.
   */
  suspend?(path: string): Promise<void>;
  /** The same without an end: it stands still until `work`, which copies its disks, is done. */
  snapshot?(path: string, work: () => Promise<void>): Promise<void>;
  /**
   * Says one line to the guest's kernel by its management console, where its engine has one.
   * @throws Refusal `timeout`, or `wrong-state` with the kernel's own words.
   */
  monitor?(line: string): Promise<string>;
  /** Asks the guest's init to shut down, by Ctrl-Alt-Del or the like. */
  askToStop(): Promise<void>;
  /** A shell script that mounts a shared folder in the guest. */
  mountScript(share: ShareSpec): string;
  kill(): void;
  /** Takes free memory from the guest, which frees it on the host, and hands it back empty. */
  reclaim(bytes: number): Promise<void>;
  /** What its guest frees goes back by itself, so nobody need look for it. */
  readonly returnsFreeMemory?: true;
  sample(): ProcessSample | undefined;
  /** Of an engine that translates: what is hot, what was translated, what thrown away and why. */
  translator?(): Promise<TranslatorView>;
  /** Where machines inside this one lie; one without has none. */
  readonly insideRoot?: InsideRoot;
  /** Lets go of our handles; the machine lives on. */
  release(): void;
}

export type SavingMachine = RunningMachine & Required<Pick<RunningMachine, 'suspend' | 'snapshot'>>;

export function canSave(machine: RunningMachine): machine is SavingMachine {
  return machine.suspend !== undefined && machine.snapshot !== undefined;
}

export interface Engine {
  readonly name: 'native' | 'portable';
  /** Network cards that can be plugged while it runs are limited to this many. */
  readonly nicSlots: number;
  /** How many levels of machines there can be, one inside the other. */
  readonly depthMax: number;
  launch(plan: LaunchPlan): Promise<RunningMachine>;
  /** Finds the process of an earlier server again, by its run directory. */
  adopt(
    plan: Pick<LaunchPlan, 'directory' | 'runDirectory' | 'spec' | 'inside'>,
  ): Promise<RunningMachine | undefined>;
}
