/**
 * Programs on several harts at once, each a thread of its own, in S-mode under the engine's SBI.
 * They meet at barriers and end when hart 0 is past the last; RAM then holds what they found.
 *
 * Each hart begins with s10 at the start of RAM, s11 at `shared`, which is zero, and t1 = 1.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Bus } from '../../src-main/engines/riscv/devices/bus.ts';
import { HartState } from '../../src-main/engines/riscv/hart-state.ts';
import { createShared, guestRam } from '../../src-main/engines/riscv/machine.ts';
import { nodeClock } from '../../src-main/engines/riscv/node/clock.ts';
import { Threads } from '../../src-main/engines/riscv/node/threads.ts';
import { assemble } from './assemble.ts';

export const ramBase = 0x8000_0000;
const codeBytes = 0x1_0000;
/** Where s11 points; words below 0x100 are the barrier's. */
export const shared = 0x8_0000;
const moved = 0x9_0000;
/** From here on RAM is the programs' own, and zero. */
export const freeRam = 0x10_0000;

const ramMib = 32;

/** What all harts do between two barriers; undefined where a hart has nothing to do. */
export type Phase = readonly (string | undefined)[];

interface Running {
  ram: Uint8Array;
  all: Promise<unknown>;
  /** Ends what is still running, at its next look at the mailbox. */
  stop(): void;
}

function startThreads(threshold: number, sources: readonly string[]): Running {
  const machine = createShared({ ramMib, harts: sources.length });
  const ram = guestRam(machine);
  sources.forEach((source, index) => {
    const state = new HartState(machine.memory.buffer, index);
    ram.set(new Uint8Array(assemble(source).buffer), index * codeBytes);
    state.setWide('pc', BigInt(ramBase + index * codeBytes));
    state.setX(25, BigInt(ramBase + moved + index * 64));
    state.setX(26, BigInt(ramBase));
    state.setX(27, BigInt(ramBase + shared));
    state.setX(6, 1n);
  });
  const powerOnNs = process.hrtime.bigint();
  const bus = new Bus(machine.memory, machine.layout, nodeClock(powerOnNs, machine.memory));
  const threads = new Threads(sources.length);
  const failed = Promise.withResolvers<never>();
  threads.start({ machine, powerOnNs, firmware: false, resume: false, threshold }, () => {
    bus.stop(3);
    failed.reject(new Error('a thread of the machine has failed'));
  });
  return { ram, all: Promise.race([threads.ended, failed.promise]), stop: () => bus.stop(3) };
}

/** `threshold` 0: the interpreter alone. Gives RAM back when the machine has ended by itself. */
export async function runHarts(threshold: number, phases: readonly Phase[]): Promise<DataView> {
  const sources = phases[0]!.map((_, index) => sourceOf(phases, index));
  const { ram, all, stop } = startThreads(threshold, sources);
  try {
    await all;
  } finally {
    stop();
  }
  return new DataView(ram.buffer, ram.byteOffset, ram.byteLength);
}

/** One program on all harts that does not end by itself. s9 is where a hart says it has moved. */
export class Hostile {
  private readonly threads: Running;
  private readonly harts: number;

  constructor(threshold: number, source: string, harts: number) {
    this.harts = harts;
    this.threads = startThreads(threshold, Array.from({ length: harts }, () => source));
  }

  /** Each hart has stored something at s9, and done so again after that was taken away. */
  async untilAllMoved(rounds = 3): Promise<void> {
    const { ram } = this.threads;
    const words = new Int32Array(ram.buffer, ram.byteOffset + moved, this.harts * 16);
    for (let round = 0; round < rounds; round++) {
      for (let hart = 0; hart < this.harts; hart++) {
        while (Atomics.exchange(words, hart * 16, 0) === 0) await sleep(5);
      }
    }
  }

  async stop(): Promise<void> {
    this.threads.stop();
    await this.threads.all;
  }
}

function sourceOf(phases: readonly Phase[], hart: number): string {
  const source: string[] = [];
  phases.forEach((phase, n) => {
    source.push(barrier(n, phase.length), (phase[hart] ?? '').replaceAll('@', `p${n}_`));
  });
  source.push(barrier(phases.length, phases[0]!.length));
  const off = 'li t5, 0x5555\nli t6, 0x100000\nsw t5, 0(t6)';
  return [...source, hart === 0 ? off : '', 'last:', 'jal zero, last'].join('\n');
}

/** All come, then all go on. */
const barrier = (n: number, harts: number) => `
  fence
  amoadd.w zero, s11, t1
  li t5, ${(n + 1) * harts}
wait${n}:
  lw t6, 0(s11)
  blt t6, t5, wait${n}
  fence`;
