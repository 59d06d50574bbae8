/**
 * Graphs: one look a second at the machines that somebody is watching, and at no others. The last
 * two minutes are kept, so that a graph just opened is not empty.
 */
import type { StatsSample } from '../../contract/machine.ts';
import type { Connection } from '../../rpc/server.ts';
import { clock } from './clock.ts';
import type { Driver } from './driver.ts';
import type { Family } from './family.ts';
import type { LanHouse } from './lan-house.ts';

const periodMs = 1000;
const keptCount = 120;
/** A client this far behind gets no samples until it has caught up. */
const pendingBytesMax = 1 << 20;

type Counters = {
  atMs: number;
  cpuSeconds: number;
  rx: number;
  tx: number;
  read: number;
  write: number;
  insideSeconds: number;
};

export class StatsWatch {
  private readonly watchers = new Map<Connection, Set<string>>();
  private readonly counters = new Map<string, Counters>();
  private readonly history = new Map<string, StatsSample[]>();
  private timer?: NodeJS.Timeout;
  private readonly machine: (id: string) => Driver | undefined;
  private readonly lans: LanHouse;
  private readonly family: Family;

  constructor(machine: (id: string) => Driver | undefined, lans: LanHouse, family: Family) {
    this.machine = machine;
    this.lans = lans;
    this.family = family;
  }

  /** Replaces what this client watches; answers with what is kept of it. */
  watch(connection: Connection, ids: string[]): Record<string, StatsSample[]> {
    if (ids.length === 0) this.watchers.delete(connection);
    else this.watchers.set(connection, new Set(ids));
    this.arrange();
    return Object.fromEntries(ids.map((id) => [id, this.history.get(id) ?? []]));
  }

  forget(connection: Connection): void {
    this.watchers.delete(connection);
    this.arrange();
  }

  close(): void {
    this.watchers.clear();
    this.arrange();
  }

  private arrange(): void {
    if (this.watchers.size > 0) {
      if (this.timer) return;
      this.timer = setInterval(() => this.look(), periodMs);
      this.look();
    } else {
      clearInterval(this.timer);
      this.timer = undefined;
      this.counters.clear();
    }
    const watched = new Set([...this.watchers.values()].flatMap((ids) => [...ids]));
    for (const id of this.history.keys()) {
      if (!this.machine(id)) this.history.delete(id);
    }
    for (const id of watched) this.machine(id)?.guest?.watchStats();
  }

  private look(): void {
    const watched = new Set([...this.watchers.values()].flatMap((ids) => [...ids]));
    const samples = new Map<string, StatsSample>();
    for (const id of watched) {
      const driver = this.machine(id);
      const sample = driver && this.sample(driver, id);
      if (sample) samples.set(id, sample);
    }
    for (const [connection, ids] of this.watchers) {
      const own = [...samples].filter(([id]) => ids.has(id));
      if (own.length === 0 || connection.pendingBytes > pendingBytesMax) continue;
      connection.emit('stats', Object.fromEntries(own));
    }
  }

  private sample(driver: Driver, id: string): StatsSample | undefined {
    const process = driver.running?.sample();
    if (!process || !driver.spec) {
      this.counters.delete(id);
      return undefined;
    }
    driver.guest?.watchStats();
    const guest = driver.guest?.stats;
    const inside = this.family.childrenOf(driver).flatMap((child) => child.running?.sample() ?? []);
    const { rxBytes: rx, txBytes: tx } = this.lans.traffic(driver);
    const now: Counters = {
      atMs: clock.elapsedMs(),
      cpuSeconds: process.cpuSeconds,
      rx,
      tx,
      read: guest?.diskReadBytes ?? 0,
      write: guest?.diskWriteBytes ?? 0,
      insideSeconds: inside.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0),
    };
    const before = this.counters.get(id) ?? now;
    this.counters.set(id, now);
    const seconds = Math.max(0.001, (now.atMs - before.atMs) / 1000);
    const rate = (key: Exclude<keyof Counters, 'atMs'>) =>
      before === now ? 0 : Math.max(0, (now[key] - before[key]) / seconds);
    const sample: StatsSample = {
      atMs: clock.nowMs(),
      cpu: rate('cpuSeconds'),
      memoryGivenBytes: driver.spec.memory,
      memoryHostBytes: process.memoryHostBytes,
      ...(guest ? { memoryGuestBytes: guest.memoryUsedBytes } : {}),
      ...(inside.length > 0
        ? {
            insideCpu: rate('insideSeconds'),
            insideMemoryBytes: inside.reduce((sum, each) => sum + each.memoryHostBytes, 0),
          }
        : {}),
      diskReadBytesPerSecond: rate('read'),
      diskWriteBytesPerSecond: rate('write'),
      networkRxBytesPerSecond: rate('rx'),
      networkTxBytesPerSecond: rate('tx'),
    };
    const kept = this.history.get(id) ?? [];
    kept.push(sample);
    if (kept.length > keptCount) kept.shift();
    this.history.set(id, kept);
    return sample;
  }
}
