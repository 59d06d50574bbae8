/**
 * `npm run bench -- portable [row…]`: the portable engine beside QEMU's TCG, v86 and the host, row
 * by row, with one hart and with two. All in one run, in turn: each start of a machine runs a few
 * rows, and every peer has its turn before the next few. A figure is the least of all runs, as
 * other work on the host can only add to it.
 *
 * Ratios are of speed: 2 is twice as fast. They are given of time and of processor time, because
 * only the second holds on a host that has other work as well. With two harts two copies of a row
 * run at once. Every peer must answer each row alike.
 */
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { close, socketpairDatagram } from '../../../src-main/base/node/posix.ts';
import type { Run, Runs } from '../listener.ts';
import type { Table, TableOptions, TableResult } from '../measure.ts';
import { native } from './native.ts';
import { nymph } from './nymph.ts';
import { follow, type Job, type Peer } from './peer.ts';
import { disk } from './programs.ts';
import { report, rowsOf, type Kept } from './report.ts';
import { tcg } from './tcg.ts';
import { v86 } from './v86.ts';

interface Row {
  name: string;
  /** Rows of a group share a start of the machine; `lan` takes two machines. */
  group: 'compute' | 'bytes' | 'system' | 'disk' | 'gcc' | 'lan';
  repeats: number;
}

const rows: readonly Row[] = [
  { name: 'integer', group: 'compute', repeats: 3 },
  { name: 'records', group: 'compute', repeats: 3 },
  { name: 'memory', group: 'compute', repeats: 3 },
  { name: 'float', group: 'compute', repeats: 3 },
  { name: 'sha256', group: 'bytes', repeats: 3 },
  { name: 'gzip', group: 'bytes', repeats: 3 },
  { name: 'sort', group: 'bytes', repeats: 3 },
  { name: 'gcc', group: 'gcc', repeats: 1 },
  { name: 'syscall', group: 'system', repeats: 3 },
  { name: 'fault', group: 'system', repeats: 3 },
  { name: 'fork', group: 'system', repeats: 3 },
  { name: 'pipe', group: 'system', repeats: 3 },
  { name: 'tree', group: 'system', repeats: 3 },
  { name: 'disk-random', group: 'disk', repeats: 3 },
  { name: 'disk-sequential', group: 'disk', repeats: 3 },
  { name: 'lan', group: 'lan', repeats: 3 },
];
const needDisk = new Set<Row['group']>(['disk', 'gcc']);
const groups = [...new Set(rows.map(({ group }) => group))];
const peers: readonly Peer[] = [nymph, tcg, v86, native];
const hartCounts = [1, 2] as const;
const defaultRounds = 1;
const addresses = ['10.9.0.1', '10.9.0.2'] as const;

export const portable: Table = {
  name: 'portable',
  rows: ['boot', ...rows.map(({ name }) => name)],
  async run(options) {
    const present = peers.filter((peer) => peer.obstacle() === undefined);
    for (const peer of peers) {
      const why = peer.obstacle();
      if (why !== undefined) options.say(`without ${peer.name}: ${why}`);
    }
    for (const peer of present) await peer.prepare(options.say);
    const home = await mkdtemp(join(tmpdir(), 'nymph-bench-'));
    try {
      return await new Measurement(home, present, options).run();
    } finally {
      await rm(home, { recursive: true, force: true });
    }
  },
};

class Measurement {
  private readonly home: string;
  private readonly peers: readonly Peer[];
  private readonly options: TableOptions;
  private readonly kept: Kept = new Map();
  private readonly failures: string[] = [];
  private readonly hartCounts: readonly (1 | 2)[];

  constructor(home: string, present: readonly Peer[], options: TableOptions) {
    this.home = home;
    this.peers = present;
    this.options = options;
    const { harts } = options;
    this.hartCounts = hartCounts.filter((each) => harts === undefined || harts === each);
  }

  async run(): Promise<TableResult> {
    const { rounds = defaultRounds, say } = this.options;
    for (let round = 0; round < rounds; round += 1) {
      for (const group of groups) {
        for (const harts of this.hartCounts) {
          const able = this.peers.filter(({ hartsMax }) => harts <= hartsMax);
          // Who goes first alternates.
          const order = round % 2 === 0 ? able : able.toReversed();
          for (const peer of order) await this.turn(peer, group, harts);
        }
      }
      say(`round ${round + 1} of ${rounds} done`);
    }
    const wanted = portable.rows.filter((name) => this.isWanted(name));
    return report(rowsOf(wanted, this.hartCounts, this.kept, this.peers), this.peers,
      this.failures);
  }

  private isWanted(name: string): boolean {
    return this.options.rows.length === 0 || this.options.rows.includes(name);
  }

  /** What fails is told and leaves its rows empty; the others go on. */
  private async turn(peer: Peer, group: Row['group'], harts: 1 | 2): Promise<void> {
    const own = rows.filter((row) =>
      row.group === group && this.isWanted(row.name) && peer.cannot[row.name] === undefined);
    const bootsOnly = group === 'compute' && this.isWanted('boot') && !('boot' in peer.cannot);
    if (own.length === 0 && !bootsOnly) return;
    const names = own.map(({ name }) => name);
    const repeats = Math.max(1, ...own.map((row) => row.repeats));
    const job: Job = { rows: names, harts, repeats, folder: this.home };
    try {
      const runs = group === 'lan'
        ? await this.lan(peer, job)
        : await this.alone(peer, job, needDisk.has(group));
      this.keep(peer, harts, runs);
    } catch (thrown) {
      const why = thrown instanceof Error ? thrown.message : String(thrown);
      this.failures.push(`${peer.name}, ${harts} harts, ${names.join(' ')}: ${why.split('\n')[0]}`);
      this.options.say(why);
    }
  }

  private async alone(peer: Peer, job: Job, withDisk: boolean): Promise<Runs> {
    if (!withDisk) return follow(peer.command(job)).runs;
    const image = join(this.home, `${peer.name}.img`);
    await copyFile(await disk(peer.architecture, this.options.say), image);
    try {
      return await follow(peer.command({ ...job, disk: image })).runs;
    } finally {
      await rm(image);
    }
  }

  /** Two machines of a kind on one cable; the second takes what the first sends. */
  private async lan(peer: Peer, job: Job): Promise<Runs> {
    const ends = socketpairDatagram();
    const [near, far] = addresses;
    const sink = follow(peer.command({
      ...job, rows: ['sink'], cable: { fd: ends[1], own: far, peer: near },
    }));
    let kill = () => {};
    try {
      // It waits for the first to end; where it ends by itself, there is nobody to send to.
      const ended = sink.runs.then(() => Promise.reject(new Error('the second machine has ended')));
      ended.catch(() => {});
      const cable = { fd: ends[0], own: near, peer: far };
      const first = follow(peer.command({ ...job, cable }), [sink.pid]);
      kill = () => first.kill();
      return await Promise.race([first.runs, ended]);
    } catch (thrown) {
      throw new Error(`${String(thrown)}\nThe second machine:\n${sink.lastWords()}`);
    } finally {
      kill();
      sink.kill();
      for (const fd of ends) close(fd);
    }
  }

  private keep(peer: Peer, harts: number, runs: Runs): void {
    const told: string[] = [];
    for (const [row, more] of runs) {
      if (row in peer.cannot) continue;
      const key = `${row} ${harts} ${peer.name}`;
      const all: Run[] = [...(this.kept.get(key) ?? []), ...more];
      this.kept.set(key, all);
      if (row !== 'boot') told.push(`${row} ${more.map(({ ms }) => Math.round(ms)).join('/')}`);
    }
    this.options.say(`${peer.name}, ${harts} harts, ms: ${told.join(', ')}`);
  }
}

