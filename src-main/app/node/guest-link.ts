/**
 * What the driver knows of the inside of a machine: whether its userland is up, what its agent
 * says of it, and a way to run something there. Everything from inside is what a guest claims.
 */
import { randomBytes } from 'node:crypto';
import { Refusal } from '../../base/refusal.ts';
import { AgentClient } from '../../guest/agent-client.ts';
import type { OutputListener } from '../../guest/exec-session.ts';
import type { GuestStats } from '../../guest/stats.ts';
import type { GuestNames, InnerProgram, RunningMachine } from '../../machine/engine.ts';
import { clock } from './clock.ts';

/** Long enough for a loaded host; a guest without the agent is up when its kernel answers. */
const helloTimeoutMs = 10 * 60_000;
const statsPeriodMs = 1000;
const scriptTimeoutMs = 5000;
const lingerMs = 5000;
const sigkill = 9;

export interface GuestListeners {
  onUserland(): void;
  onChange(): void;
  /** The root could not be mounted, there is no init: one sentence. */
  onTrouble(sentence: string): void;
}

export type GuestFacts = {
  hostname: string;
  osName: string;
  kernelRelease: string;
  architecture: string;
};

type Reached = Pick<RunningMachine, 'agentPipe' | 'agentWindowBytes' | 'guestNames'>;
type Addresses = { network: string; addresses: string[] }[];

export class GuestLink {
  hello?: GuestFacts;
  /** The latest figures, while somebody watches. */
  stats?: { memoryUsedBytes: number; diskReadBytes: number; diskWriteBytes: number };
  private readonly client: AgentClient;
  private readonly on: GuestListeners;
  private readonly names: GuestNames;
  private addresses: Addresses = [];
  private stopStats?: () => void;
  private linger?: NodeJS.Timeout;

  constructor(
    { agentPipe: pipe, guestNames: names, agentWindowBytes: windowBytes }: Reached,
    on: GuestListeners,
  ) {
    this.on = on;
    this.names = names;
    this.client = new AgentClient(
      {
        write: (bytes) => pipe.write(bytes),
        onBytes: (listener) => {
          pipe.onBytes = listener;
          return () => {
            pipe.onBytes = () => {};
          };
        },
      },
      {
        nonce: randomBytes(4).readUInt32LE(),
        timers: {
          set: (callback, delayMs) => setTimeout(callback, delayMs).unref(),
          clear: (handle) => clearTimeout(handle as NodeJS.Timeout),
        },
        seed: () => new Uint8Array(randomBytes(256)),
        windowBytes,
      },
    );
    this.client.onStarted((hello) => this.started(hello));
    this.client.onTrouble((sentence) => on.onTrouble(sentence));
    this.client.ready(helloTimeoutMs).catch(() => {});
  }

  /** Asks init to shut down; false when no agent is there to pass it on. */
  powerOff(): boolean {
    if (!this.hello) return false;
    this.client.powerOff().catch(() => {});
    return true;
  }

  /** As the guest counts it now; free is neither in use nor in its caches. */
  async memory(): Promise<{ totalBytes: number; freeBytes: number } | undefined> {
    if (!this.hello) return undefined;
    return (await this.nextStats())?.memory;
  }

  /** Figures come while this is said now and again, and stop a while after it no longer is. */
  watchStats(): void {
    if (!this.hello) return;
    this.stopStats ??= this.client.onStats(statsPeriodMs, (stats) => this.take(stats));
    clearTimeout(this.linger);
    this.linger = setTimeout(() => {
      this.stopStats?.();
      this.stopStats = undefined;
    }, lingerMs).unref();
  }

  setWindow(console: number, rows: number, columns: number): void {
    this.client.setWindow(this.names.console(console), { rows, columns });
  }

  /** Its host name from now on; what it writes on its disk stays. */
  rename(name: string): void {
    this.client.setHostname(name);
    if (this.hello) this.hello = { ...this.hello, hostname: name };
  }

  /** What the guest says its cards have; it does not tell us their hardware addresses. */
  cardAddresses(slot: number): string[] {
    const card = this.addresses.find(({ network }) => network === this.names.card(slot));
    return card?.addresses ?? [];
  }

  /** Runs a script as root, without input and with its output thrown away: its exit code. */
  async script(text: string): Promise<number> {
    if (!this.hello) throw new Refusal('unavailable', 'The machine has no agent to be told.');
    const session = this.client.exec({ argv: ['/bin/sh', '-c', text] });
    session.end();
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      session.kill(sigkill);
      late.reject(new Refusal('timeout', 'The guest did not answer in time.'));
    }, scriptTimeoutMs);
    const ending = await Promise.race([session.exit, late.promise]).finally(() =>
      clearTimeout(timer),
    );
    return ending.kind === 'exited' ? ending.code : 128 + ending.signal;
  }

  exec(
    wanted: { argv: string[]; tty?: { rows: number; columns: number } },
    to: { stdout: OutputListener; stderr: OutputListener },
  ) {
    const session = this.client.exec({ ...wanted, ...to });
    return {
      write: (bytes: Uint8Array) => session.write(bytes).then(() => undefined),
      end: () => session.end(),
      kill: () => session.kill(sigkill),
      exit: session.exit.then((ending) =>
        ending.kind === 'exited' ? { code: ending.code } : { code: 1, signal: ending.signal },
      ),
    };
  }

  /** A program in there whose output is one stream; see `Inside.run`. */
  run(argv: readonly string[], onOutput: (bytes: Uint8Array) => void): InnerProgram {
    const session = this.client.exec({ argv, stdout: onOutput, stderr: () => {} });
    return {
      write: (bytes) => void session.write(bytes).catch(() => {}),
      end: () => session.end(),
      exit: session.exit.then((ending) => (ending.kind === 'exited' ? ending.code : 128)),
    };
  }

  /** Settles when the agent has said hello. */
  greeted(timeoutMs: number): Promise<void> {
    return this.client.ready(timeoutMs).then(() => undefined);
  }

  close(): void {
    clearTimeout(this.linger);
    this.client.close();
    this.hello = undefined;
    this.stats = undefined;
  }

  private started(hello: { hostname: string; release: string; machine: string; init: string }) {
    this.hello = {
      hostname: hello.hostname,
      osName: this.hello?.osName ?? '',
      kernelRelease: hello.release,
      architecture: hello.machine,
    };
    this.on.onUserland();
    void this.look();
  }

  /** One look soon after the start and another when addresses have been leased. */
  private async look(): Promise<void> {
    await this.nextStats();
    await clock.delay(3000);
    if (this.hello) await this.nextStats();
  }

  private nextStats(): Promise<GuestStats | undefined> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => settle(undefined), 3000).unref();
      const stop = this.client.onStats(statsPeriodMs, (stats) => settle(stats));
      const settle = (stats: GuestStats | undefined) => {
        clearTimeout(timer);
        stop();
        if (stats) this.take(stats);
        resolve(stats);
      };
    });
  }

  private take(stats: GuestStats): void {
    this.stats = {
      memoryUsedBytes: stats.memory.totalBytes - stats.memory.availableBytes,
      diskReadBytes: stats.disks.reduce((sum, disk) => sum + disk.readBytes, 0),
      diskWriteBytes: stats.disks.reduce((sum, disk) => sum + disk.writtenBytes, 0),
    };
    const addresses = stats.networks.map(({ name, addresses: list }) => ({
      network: name,
      addresses: list.map((address) => address.replace(/\/\d+$/, '')),
    }));
    const changed =
      this.hello !== undefined &&
      (this.hello.osName !== stats.system ||
        this.hello.hostname !== stats.hostname ||
        JSON.stringify(addresses) !== JSON.stringify(this.addresses));
    this.addresses = addresses;
    if (!this.hello || !changed) return;
    this.hello = { ...this.hello, osName: stats.system, hostname: stats.hostname };
    this.on.onChange();
  }
}
