/**
 * `npm run bench -- nesting [row…]`: machines inside machines on the native engine, three deep,
 * against the host itself; `-- nesting-portable [row…]` on the portable engine, against the
 * outermost machine, as the host is of another architecture, and beside QEMU's TCG. Each round
 * makes the chain of each peer anew, in turn; every row runs at depth 0 (the host), 1, 2 and 3 in
 * turn, in many short runs, by the guest's clock, which in these kernels is the host's. A figure is
 * the least of all runs. Where code is translated first, a whole run before them does not count:
 * short ones would tell how cold it is. `boot` ends when the agent answers.
 *
 * `memory` is by how much the processes of the outermost machine have grown when the machine of a
 * depth runs: proportional shares, so that what they share counts once.
 */
import { readFileSync } from 'node:fs';
import { runProgram } from '../../../src-main/kernels/node/run.ts';
import { descendants } from '../../../src-main/machine/node/processes.ts';
import { compilerObstacle, guestProgram, programDisk } from '../guest-program.ts';
import type { Runs } from '../listener.ts';
import type { Table, TableOptions } from '../measure.ts';
import { nymphStack } from './nymph.ts';
import { programRows, report, rows, type PeerName, type Samples } from './report.ts';
import { runsOf, type Stack } from './stack.ts';
import { tcgStack } from './tcg.ts';

interface Kind {
  readonly name: string;
  readonly architecture: 'amd64' | 'riscv64';
  /** The part of the work that a run does at each depth: a short one is seldom interrupted. */
  readonly parts: readonly (number | undefined)[];
  /** Whether its machines translate code, which is cold at first. */
  readonly translates: boolean;
  readonly peers: readonly { name: PeerName; make: MakeStack }[];
}
/** `programs` is an image with the program. */
type MakeStack = (programs: string, say: (line: string) => void) => Promise<Stack>;

const native: Kind = {
  name: 'nesting',
  architecture: 'amd64',
  parts: [10, 15, 30, 60],
  translates: false,
  peers: [{ name: 'nymph', make: (programs) => nymphStack('native', programs, '/dev/ubdb') }],
};
const portable: Kind = {
  name: 'nesting-portable',
  architecture: 'riscv64',
  parts: [undefined, 30, 30, 30],
  translates: true,
  peers: [
    { name: 'nymph', make: (programs) => nymphStack('portable', programs, '/dev/vdb') },
    { name: 'tcg', make: tcgStack },
  ],
};
/** A host is faster at one time than at another, so each depth has several. */
const turns = 6;
const repeats = 4;
const defaultRounds = 2;
const settleMs = 1500;

export const nesting = tableOf(native);
export const nestingPortable = tableOf(portable);

function tableOf(kind: Kind): Table {
  return {
    name: kind.name,
    rows,
    async run(options) {
      const why = compilerObstacle(kind.architecture);
      if (why !== undefined) throw new Error(why);
      const { rounds = defaultRounds, say } = options;
      const samples: Samples = new Map();
      for (let round = 0; round < rounds; round += 1) {
        // Who goes first alternates.
        const order = round % 2 === 0 ? kind.peers : kind.peers.toReversed();
        for (const { name, make } of order) {
          const stack = await make(await programDisk(kind.architecture, say), say);
          await new Turn(kind, name, stack, options, samples).run();
        }
        say(`round ${round + 1} of ${rounds} done`);
      }
      return report(samples);
    },
  };
}

/** A peer's part of a round. */
class Turn {
  private readonly kind: Kind;
  private readonly peer: PeerName;
  private readonly stack: Stack;
  private readonly options: TableOptions;
  private readonly samples: Samples;

  constructor(
    kind: Kind, peer: PeerName, stack: Stack, options: TableOptions, samples: Samples,
  ) {
    this.kind = kind;
    this.peer = peer;
    this.stack = stack;
    this.options = options;
    this.samples = samples;
  }

  async run(): Promise<void> {
    try {
      await this.start();
      for (const row of programRows.filter((each) => this.isWanted(each))) await this.measure(row);
    } finally {
      await this.stack.close();
    }
  }

  private async start(): Promise<void> {
    let usedBytes = 0;
    for (let depth = 1; depth <= this.stack.depthMax; depth += 1) {
      this.keep('boot', depth, [await this.stack.start(depth)]);
      await new Promise((resolve) => setTimeout(resolve, settleMs));
      const nowBytes = sharesOf(this.stack.pid);
      this.keep('memory', depth, [(nowBytes - usedBytes) / 1e6]);
      usedBytes = nowBytes;
    }
  }

  private async measure(row: string): Promise<void> {
    const own = [...this.kind.parts.entries()].flatMap(([depth, part]) =>
      part === undefined || depth > this.stack.depthMax ? [] : [{ depth, part }]);
    if (this.kind.translates) for (const { depth } of own) await this.runAt(depth, `rows=${row}`);
    for (let turn = 0; turn < turns; turn += 1) {
      for (const { depth, part } of own) {
        const runs = await this.runAt(depth, `rows=${row} repeats=${repeats} part=${part}`);
        this.keep(row, depth, (runs.get(row) ?? []).map(({ ms }) => ms * part));
      }
    }
  }

  private async runAt(depth: number, line: string): Promise<Runs> {
    if (depth > 0) return this.stack.run(depth, line);
    const program = await guestProgram(this.kind.architecture, this.options.say);
    return runsOf('the host', line, async (hear) =>
      hear(Buffer.from(await runProgram([program, ...line.split(' ')], {}))));
  }

  private keep(row: string, depth: number, values: readonly number[]): void {
    if (!this.isWanted(row)) return;
    const key = `${row} ${depth} ${this.peer}` as const;
    this.samples.set(key, [...(this.samples.get(key) ?? []), ...values]);
    const told = values.map((value) => value.toFixed(1)).join(' ');
    this.options.say(`${this.peer}, ${row} at depth ${depth}: ${told}`);
  }

  private isWanted(row: string): boolean {
    return this.options.rows.length === 0 || this.options.rows.includes(row);
  }
}

function sharesOf(pid: number): number {
  return [pid, ...descendants(pid)].reduce((sum, each) => {
    const text = readFileSync(`/proc/${each}/smaps_rollup`, 'latin1');
    return sum + Number(/^Pss:\s+(\d+) kB/m.exec(text)?.[1] ?? 0) * 1024;
  }, 0);
}
