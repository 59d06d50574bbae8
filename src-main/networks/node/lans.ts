/**
 * All virtual LANs of this host, as the main thread sees them. Use: `createLan`, then `attach`
 * the far end of a machine's network slot; frames move in one thread of their own, started with
 * the first LAN. Counters and leases are read without asking that thread.
 *
 * `attach` works on a duplicate of the descriptor, so the caller may close its own at any time.
 * What is here is the truth: should the thread ever fail it is started again with the same LANs
 * and ports (`onRestart` tells why). Counters and leases go on. After `restartsMax` failures in a
 * minute it rests: `fault` says why, and it is tried again at the next use or after a pause that
 * grows with each failure.
 */
import { randomInt } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import { checked, close, libc } from '../../base/node/posix.ts';
import { Refusal } from '../../base/refusal.ts';
import type { Control, LanConfig, Notice, PortConfig, Reply, ServicesConfig } from '../control.ts';
import {
  countersBytes,
  lanRow,
  lansMax,
  portRow,
  readCounters,
  type TrafficCounters,
} from '../counters.ts';
import { formatMac, parseMac } from '../ethernet.ts';
import { formatAddress, parseAddress } from '../ipv4.ts';
import { portsMax, type LearnedAddress } from '../switch.ts';
import { openEventfd, wake } from './poll.ts';
import type { SwitchThreadData } from './switch-thread.ts';

export interface LanOptions {
  id: string;
  name: string;
  /** A /24, e.g. `10.77.3.0/24`; the LAN's own host takes `.1`. */
  subnet: string;
  services: ServicesConfig;
}

export interface AttachOptions {
  lanId: string;
  portId: string;
  /** The far end of the machine's socket pair. */
  fd: number;
  machineName: string;
  mac: string;
  /** The address it holds already, when it was leased one before this switch began. */
  heldAddress?: string;
  /** False: the cable is there, the link is down. */
  up?: boolean;
}

export interface LanLease {
  mac: string;
  address: string;
  hostName: string | undefined;
  /** The port it was given through; undefined once that is detached. */
  portId: string | undefined;
  endsAtMs: number;
}

export interface LansListeners {
  onRestart?: (reason: Error) => void;
  /** `fault` is another one now, or gone. */
  onFault?: () => void;
  /** The machine's end is gone. The port stays until it is detached. */
  onPortClosed?: (portId: string) => void;
  onLeases?: (lanId: string) => void;
}

interface LanRecord {
  id: string;
  config: LanConfig;
  leases: LanLease[];
}

interface PortRecord {
  id: string;
  lanId: string;
  config: PortConfig;
}

interface Pending {
  resolve: (result: unknown) => void;
  reject: (reason: Error) => void;
}

const restartsMax = 5;
const restartWindowMs = 60_000;
const pauseMsMax = 60_000;
const fDupfdCloexec = 1030;

export class Lans {
  readonly #listeners: LansListeners;
  readonly #lans = new Map<string, LanRecord>();
  readonly #ports = new Map<string, PortRecord>();
  readonly #cells = new SharedArrayBuffer(countersBytes);
  readonly #counters = new Float64Array(this.#cells);
  readonly #pending = new Map<number, Pending>();
  readonly #restartsAtMs: number[] = [];
  readonly #seed = randomInt(2 ** 31);
  readonly #onExit = (): void => this.#askToStop();
  #worker: Worker | undefined;
  #eventfd = -1;
  #stop = new SharedArrayBuffer(4);
  #nextId = 1;
  #closed = false;
  #fault: string | undefined;
  #pauseMs: number;
  #again: NodeJS.Timeout | undefined;
  readonly #threadFile: URL;
  readonly #pauseMsMin: number;

  /** @param options for a test that wants the switch to fail. */
  constructor(
    listeners: LansListeners = {},
    options: { threadFile?: URL; pauseMsMin?: number } = {},
  ) {
    this.#listeners = listeners;
    this.#threadFile = options.threadFile ?? ownThreadFile();
    this.#pauseMsMin = options.pauseMsMin ?? 1000;
    this.#pauseMs = this.#pauseMsMin;
  }

  /** Why nothing moves just now, as a sentence; undefined while the switch works. */
  get fault(): string | undefined {
    return this.#fault;
  }

  has(lanId: string): boolean {
    return this.#lans.has(lanId);
  }

  /** Refusals: 'exists', 'usage' a subnet that is none, 'no-space', 'unavailable' no FFI here. */
  async createLan(options: LanOptions): Promise<void> {
    if (this.#lans.has(options.id)) throw new Refusal('exists', 'That network is there already.');
    const network = parseSubnet(options.subnet);
    const lan = freeNumber(
      lansMax,
      0,
      [...this.#lans.values()].map((other) => other.config.lan),
    );
    if (lan === undefined) throw new Refusal('no-space', `There are ${lansMax} networks already.`);
    if (this.#worker === undefined) void this.#begin();
    const config: LanConfig = {
      lan,
      name: options.name,
      network,
      services: { ...options.services },
      // Locally administered, and different for each subnet.
      hostMac: 0x024e * 2 ** 32 + network + 1,
    };
    this.#counters.fill(0, lanRow(lan), lanRow(lan + 1));
    this.#lans.set(options.id, { id: options.id, config, leases: [] });
    try {
      await this.#ask({ kind: 'add-lan', config });
    } catch (thrown) {
      this.#lans.delete(options.id);
      throw thrown;
    }
  }

  async removeLan(lanId: string): Promise<void> {
    const lan = this.#lan(lanId);
    const ports = [...this.#ports.values()].filter((port) => port.lanId === lanId);
    this.#lans.delete(lanId);
    for (const port of ports) this.#ports.delete(port.id);
    try {
      await this.#ask({ kind: 'remove-lan', lan: lan.config.lan });
    } finally {
      for (const port of ports) close(port.config.fd);
    }
  }

  async setServices(lanId: string, services: ServicesConfig): Promise<void> {
    const lan = this.#lan(lanId).config;
    lan.services = { ...services };
    await this.#ask({ kind: 'set-services', lan: lan.lan, services: lan.services });
  }

  /** Refusals: 'not-found' no such LAN, 'exists' a port of that id, 'no-space', 'usage'. */
  async attach(options: AttachOptions): Promise<void> {
    const lan = this.#lan(options.lanId);
    if (this.#ports.has(options.portId)) {
      throw new Refusal('exists', 'That network card is connected already.');
    }
    const mac = parseMac(options.mac);
    const taken = [...this.#ports.values()].map((other) => other.config.port);
    const port = freeNumber(portsMax, 1, taken);
    if (port === undefined) throw new Refusal('no-space', 'All ports of the switch are taken.');
    const config: PortConfig = {
      port,
      lan: lan.config.lan,
      fd: duplicate(options.fd),
      machineName: options.machineName,
      mac,
      heldAddress:
        options.heldAddress === undefined ? undefined : parseAddress(options.heldAddress),
      up: options.up ?? true,
    };
    this.#counters.fill(0, portRow(port), portRow(port + 1));
    this.#ports.set(options.portId, { id: options.portId, lanId: options.lanId, config });
    try {
      await this.#ask({ kind: 'attach', config });
    } catch (thrown) {
      this.#ports.delete(options.portId);
      close(config.fd);
      throw thrown;
    }
  }

  /** Quiet about a port that is not there: a machine that ends may be detached twice. */
  async detach(portId: string): Promise<void> {
    const port = this.#ports.get(portId);
    if (port === undefined) return;
    this.#ports.delete(portId);
    try {
      await this.#ask({ kind: 'detach', port: port.config.port });
    } finally {
      close(port.config.fd);
    }
  }

  async setUp(portId: string, up: boolean): Promise<void> {
    const port = this.#port(portId).config;
    port.up = up;
    await this.#ask({ kind: 'set-up', port: port.port, up });
  }

  /** Under its new name the machine is found at once. */
  async rename(portId: string, machineName: string): Promise<void> {
    const port = this.#port(portId).config;
    port.machineName = machineName;
    await this.#ask({ kind: 'set-name', port: port.port, machineName });
  }

  portCounters(portId: string): TrafficCounters | undefined {
    const port = this.#ports.get(portId);
    return port && readCounters(this.#counters, portRow(port.config.port));
  }

  lanCounters(lanId: string): TrafficCounters | undefined {
    const lan = this.#lans.get(lanId);
    return lan && readCounters(this.#counters, lanRow(lan.config.lan));
  }

  counters(): { lans: Map<string, TrafficCounters>; ports: Map<string, TrafficCounters> } {
    const lans = new Map([...this.#lans.keys()].map((id) => [id, this.lanCounters(id)!]));
    const ports = new Map([...this.#ports.keys()].map((id) => [id, this.portCounters(id)!]));
    return { lans, ports };
  }

  leases(lanId: string): readonly LanLease[] {
    const nowMs = Date.now();
    return (this.#lans.get(lanId)?.leases ?? []).filter((lease) => lease.endsAtMs > nowMs);
  }

  /** What the switch has learned: which hardware address is behind which port. */
  async addresses(lanId: string): Promise<{ mac: string; portId: string; ageMs: number }[]> {
    const lan = this.#lan(lanId).config.lan;
    const learned = ((await this.#ask({ kind: 'addresses', lan })) ?? []) as LearnedAddress[];
    return learned.flatMap(({ mac, port, ageMs }) => {
      const portId = this.#portIdOf(port);
      return portId === undefined ? [] : [{ mac: formatMac(mac), portId, ageMs }];
    });
  }

  /** Ends the thread and starts it anew with everything as it is. */
  async restart(): Promise<void> {
    const worker = this.#worker;
    if (worker === undefined) return;
    worker.ref();
    this.#askToStop();
    await new Promise<void>((resolve) => worker.once('exit', () => resolve()));
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#again);
    process.off('exit', this.#onExit);
    const worker = this.#worker;
    if (worker !== undefined) {
      worker.ref();
      const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
      this.#askToStop();
      await ended;
    }
    for (const port of this.#ports.values()) close(port.config.fd);
    this.#ports.clear();
    this.#lans.clear();
    if (this.#eventfd >= 0) close(this.#eventfd);
    this.#eventfd = -1;
  }

  #start(): void {
    if (this.#closed) throw new Refusal('unavailable', 'The networks are shut down.');
    if (this.#worker !== undefined) return;
    if (this.#eventfd < 0) {
      this.#eventfd = openEventfd();
      // The thread sleeps where nothing interrupts it; without this, exit would wait for it.
      process.on('exit', this.#onExit);
    }
    this.#stop = new SharedArrayBuffer(4);
    const data: SwitchThreadData = {
      eventfd: this.#eventfd,
      cells: this.#cells,
      stop: this.#stop,
      seed: this.#seed,
    };
    const worker = new Worker(this.#threadFile, { workerData: data });
    this.#worker = worker;
    let reason = new Error('the switch thread ended');
    worker.on('message', (message: Reply | Notice) => this.#take(message));
    worker.on('error', (thrown) => {
      reason = thrown instanceof Error ? thrown : new Error(String(thrown));
    });
    worker.on('exit', () => this.#ended(reason));
    // Only a request under way keeps the process alive, not the thread as such.
    worker.unref();
  }

  #ended(reason: Error): void {
    this.#worker = undefined;
    const waiting = [...this.#pending.values()];
    this.#pending.clear();
    if (this.#closed) {
      const given = new Refusal('unavailable', 'The networks are shut down.');
      for (const { reject } of waiting) reject(given);
      return;
    }
    const nowMs = performance.now();
    while (this.#restartsAtMs.length > 0 && this.#restartsAtMs[0]! < nowMs - restartWindowMs) {
      this.#restartsAtMs.shift();
    }
    if (this.#restartsAtMs.length >= restartsMax) {
      this.#rest(reason);
      for (const { reject } of waiting) reject(new Refusal('unavailable', this.#fault!));
      return;
    }
    this.#restartsAtMs.push(nowMs);
    // Whatever was asked for is part of what is replayed here, and succeeds or fails with it.
    void this.#begin().then(() => {
      for (const { resolve, reject } of waiting) {
        if (this.#fault === undefined) resolve(undefined);
        else reject(new Refusal('unavailable', this.#fault));
      }
    });
    this.#listeners.onRestart?.(reason);
  }

  /** Starts the thread with everything as it is here; settles when it has it, or has failed. */
  #begin(): Promise<unknown> {
    clearTimeout(this.#again);
    this.#again = undefined;
    this.#start();
    const all: Control[] = [
      ...[...this.#lans.values()].map(({ config }) => ({ kind: 'add-lan' as const, config })),
      ...[...this.#ports.values()].map(({ config }) => ({ kind: 'attach' as const, config })),
    ];
    return Promise.allSettled(all.map((control) => this.#ask(control)));
  }

  /** It fails as soon as it is started: machines go on without their networks for a while. */
  #rest(reason: Error): void {
    this.#setFault(`The network switch has failed and is tried again: ${reason.message}.`);
    this.#again = setTimeout(() => this.#begin(), this.#pauseMs);
    this.#again.unref();
    this.#pauseMs = Math.min(this.#pauseMs * 2, pauseMsMax);
  }

  #setFault(fault: string | undefined): void {
    if (this.#fault === fault) return;
    this.#fault = fault;
    this.#listeners.onFault?.();
  }

  async #ask(control: Control): Promise<unknown> {
    if (this.#closed) throw new Refusal('unavailable', 'The networks are shut down.');
    if (this.#worker === undefined) {
      // It rests after its failures. A use is worth a try, and what is asked is in the replay.
      await this.#begin();
      if (this.#fault !== undefined) throw new Refusal('unavailable', this.#fault);
      return undefined;
    }
    const worker = this.#worker;
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      worker.ref();
      worker.postMessage({ ...control, id });
      wake(this.#eventfd);
    });
  }

  #take(message: Reply | Notice): void {
    switch (message.kind) {
      case 'done':
      case 'failed': {
        const pending = this.#pending.get(message.id);
        this.#pending.delete(message.id);
        if (this.#pending.size === 0) this.#worker?.unref();
        this.#setFault(undefined);
        this.#pauseMs = this.#pauseMsMin;
        if (message.kind === 'done') pending?.resolve(message.result);
        else pending?.reject(new Refusal('internal', `The switch said: ${message.message}.`));
        return;
      }
      case 'closed': {
        const portId = this.#portIdOf(message.port);
        if (portId !== undefined) this.#listeners.onPortClosed?.(portId);
        return;
      }
      case 'leases':
        return this.#takeLeases(message);
    }
  }

  #takeLeases(notice: Extract<Notice, { kind: 'leases' }>): void {
    const lan = [...this.#lans.values()].find((other) => other.config.lan === notice.lan);
    if (lan === undefined) return;
    const offsetMs = Date.now() - notice.nowMs;
    lan.leases = notice.leases.map((lease) => ({
      mac: formatMac(lease.mac),
      address: formatAddress(lease.address),
      hostName: lease.hostName,
      portId: this.#portIdOf(lease.port),
      endsAtMs: lease.endsMs + offsetMs,
    }));
    // A thread that is started anew is told with each port what its machine holds.
    for (const port of this.#ports.values()) {
      const lease = notice.leases.find((other) => other.mac === port.config.mac);
      if (lease && port.lanId === lan.id) port.config.heldAddress = lease.address;
    }
    this.#listeners.onLeases?.(lan.id);
  }

  #askToStop(): void {
    Atomics.store(new Int32Array(this.#stop), 0, 1);
    if (this.#eventfd >= 0) wake(this.#eventfd);
  }

  #lan(lanId: string): LanRecord {
    const lan = this.#lans.get(lanId);
    if (lan === undefined) throw new Refusal('not-found', 'There is no such network.');
    return lan;
  }

  #port(portId: string): PortRecord {
    const port = this.#ports.get(portId);
    if (port === undefined) throw new Refusal('not-found', 'That network card is not connected.');
    return port;
  }

  #portIdOf(number: number): string | undefined {
    for (const port of this.#ports.values()) if (port.config.port === number) return port.id;
    return undefined;
  }
}

function ownThreadFile(): URL {
  const file = import.meta.url.endsWith('.ts') ? './switch-thread.ts' : './switch-thread.js';
  return new URL(file, import.meta.url);
}

function parseSubnet(text: string): number {
  const match = /^(.+)\/24$/.exec(text);
  const network = match === null ? 255 : parseAddress(match[1]!);
  const first = network >>> 24;
  if ((network & 255) !== 0 || first === 0 || first === 127 || first >= 224) {
    throw new Refusal('usage', `"${text}" is not a subnet like 10.77.3.0/24.`);
  }
  return network;
}

function freeNumber(limit: number, first: number, taken: readonly number[]): number | undefined {
  const used = new Set(taken);
  for (let number = first; number < limit; number += 1) if (!used.has(number)) return number;
  return undefined;
}

function duplicate(fd: number): number {
  const call = libc('int fcntl(int fd, int command, long argument)');
  return checked('fcntl', call(fd, fDupfdCloexec, 0));
}
