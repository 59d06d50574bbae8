/**
 * A bare machine for tests: 4 MiB of RAM, one hart in M-mode, no threads. Programs start at
 * 0x8000_0000 and end in a jump to themselves (`done:` / `jal zero, done`).
 */
import { Bus } from '../../src-main/engines/riscv/devices/bus.ts';
import { Hart } from '../../src-main/engines/riscv/hart.ts';
import { createShared, guestRam, type Machine } from '../../src-main/engines/riscv/machine.ts';
import { at, machine } from '../../src-main/engines/riscv/layout.ts';
import { RegionMaker } from '../../src-main/engines/riscv/jit/workshop.ts';
import type { Life, Made, Want, Workshop } from '../../src-main/engines/riscv/jit/workshop.ts';
import type { Limits } from '../../src-main/engines/riscv/jit/region.ts';
import { assemble } from './assemble.ts';

/** A machine's memory, and how all but its RAM looks before power-on. */
export interface World {
  shared: Machine;
  pristine: Uint8Array;
}

export function makeWorld(ramMib: number): World {
  const shared = createShared({ ramMib, harts: 1 });
  const stateBytes = at.ram - at.harts;
  return { shared, pristine: new Uint8Array(shared.memory.buffer, at.harts, stateBytes).slice() };
}

const small = makeWorld(4);

export interface Engine {
  name: string;
  threshold: number;
  limits?: Limits;
  /** Regions are there only when asked for so often, as from a thread that has other work. */
  late?: number;
}

export const engines: Engine[] = [
  { name: 'interpreter', threshold: 0 },
  { name: 'translator', threshold: 1 },
  { name: 'translator in tiny regions', threshold: 1, limits: { instructions: 3, blocks: 2 } },
];

class LateWorkshop implements Workshop {
  private readonly maker: RegionMaker;
  private readonly late: number;
  private asked = 0;
  private made: Made[] = [];

  constructor(maker: RegionMaker, late: number) {
    this.maker = maker;
    this.late = late;
  }

  want(want: Want): void {
    this.maker.want(want);
    const made = this.maker.take();
    if (made !== undefined) this.made.push(made);
  }

  forget(page: Life): void {
    this.maker.forget(page);
  }

  take(): Made | undefined {
    return ++this.asked % this.late === 0 ? this.made.shift() : undefined;
  }
}

export interface Bare {
  shared: Machine;
  bus: Bus;
  hart: Hart;
  ram: Uint8Array;
  x(name: number): bigint;
}

export function bare(engine: Engine, { shared, pristine }: World = small): Bare {
  new Uint8Array(shared.memory.buffer, at.harts, pristine.length).set(pristine);
  new Int32Array(shared.memory.buffer, at.machine, 64).fill(0, machine.stop >> 2, 8);
  const ram = guestRam(shared);
  ram.fill(0);
  // Which frames have code: what stands in the maps themselves is then nobody's.
  const { mapDirectory, frames } = shared.layout;
  new Uint32Array(shared.memory.buffer, mapDirectory, frames).fill(0);
  let ticks = 0;
  const clock = { ticks: () => ticks++, wallMs: () => 0 };
  const bus = new Bus(shared.memory, shared.layout, clock);
  const maker = new RegionMaker(shared, 0, engine.limits);
  const workshop = engine.late === undefined ? maker : new LateWorkshop(maker, engine.late);
  const hart = new Hart(shared, 0, bus, clock, workshop);
  hart.reset(true);
  hart.state.setWide('pc', 0x8000_0000n);
  hart.state.setWord('threshold', engine.threshold);
  return { shared, bus, hart, ram, x: (n) => hart.state.x(n) };
}

export function put(machineUnderTest: Bare, words: Uint32Array, offset = 0): void {
  machineUnderTest.ram.set(new Uint8Array(words.buffer), offset);
}

/** Assembles, runs `count` instructions, returns the machine. */
export function execute(engine: Engine, source: string, count = 10_000): Bare {
  const m = bare(engine);
  put(m, assemble(`${source}\ndone:\njal zero, done`));
  m.hart.refuel(count);
  for (let turns = 0; turns < 1000 && m.hart.state.word('fuel') > 0; turns++) {
    if (m.hart.core.run(m.hart.state.base) === 2) m.hart.state.poke(1);
  }
  return m;
}
