/**
 * Random programs on several engines: what each leaves in RAM must be the same. What differs is
 * told as a program made as small as it gets, with the seed that repeats it.
 */
import { bare, makeWorld } from './bare.ts';
import type { Engine, World } from './bare.ts';
import { codeOf, differences, firstDifference, imageOf, ramMib } from './image.ts';
import type { Program } from './image.ts';
import { itemMaker } from './items.ts';
import type { Mode, Without } from './items.ts';
import { minimise } from './minimise.ts';
import { generator, pick } from './random.ts';
import type { Random } from './random.ts';

/** Runs an image of RAM and gives back what RAM holds at the end, at least as much of it. */
export type RunImage = (image: Uint8Array) => Uint8Array;

export interface Runner {
  name: string;
  run: RunImage;
}

export function randomPrograms(seed: number, count: number, without: Without): Program[] {
  const make = itemMaker(without);
  return Array.from({ length: count }, (_, n) => randomProgram(seed + n, make));
}

function randomProgram(seed: number, make: ReturnType<typeof itemMaker>): Program {
  const random = generator(seed);
  const mode = pick(random, [0, 1, 1, 3] as Mode[]);
  const loops = Array.from({ length: 3 }, () => ({
    times: 4 + random(14) * random(6),
    items: Array.from({ length: 20 + random(30) }, () => make(random, mode)),
  }));
  return { seed, mode, loops };
}

let world: World | undefined;
const instructionsMax = 200_000_000n;

/** Instructions that the last image took. */
export let retired = 0n;

/** One of our engines. With `drops` it gets so many instructions at a time, at most. */
export function ours(engine: Engine, drops?: { random: Random; max: number }): Runner {
  const run: RunImage = (image) => {
    const { hart, ram } = bare(engine, (world ??= makeWorld(ramMib)));
    ram.set(image);
    for (;;) {
      hart.refuel(drops === undefined ? 1_000_000 : 1 + drops.random(drops.max));
      hart.core.run(hart.state.base);
      if (hart.bus.stopped()) break;
      if (hart.retired() > instructionsMax) throw new Error(`${engine.name} does not end`);
    }
    retired = hart.retired();
    return ram.slice(0, image.length);
  };
  return { name: engine.name, run };
}

/** Undefined when all runners agree; else what the first disagreement comes down to. */
export function disagreement(programs: Program[], reference: Runner, others: Runner[]) {
  const image = imageOf(programs);
  const want = reference.run(image);
  for (const runner of others) {
    const n = firstDifference(runner.run(image), want, programs.length);
    if (n >= 0) return told(programs[n]!, runner, reference);
  }
  return undefined;
}

function told(program: Program, runner: Runner, reference: Runner): string {
  const run = (smaller: Program) => {
    const image = imageOf([smaller]);
    return [runner.run(image), reference.run(image)] as const;
  };
  const fails = (smaller: Program) => {
    try {
      return firstDifference(...run(smaller), 1) >= 0;
    } catch {
      return false;
    }
  };
  const head = `NYMPH_SEED=${program.seed}: ${runner.name} and ${reference.name} differ`;
  if (!fails(program)) return `${head}, but not when it runs alone`;
  const least = minimise(program, fails);
  const lines = [`${head}, mode ${least.mode}`, ...listed(least), ...differences(...run(least))];
  return lines.join('\n');
}

function listed(program: Program): string[] {
  return codeOf(program).listing.map(({ offset, text, bytes }) => {
    const halves: string[] = [];
    for (let n = 0; n < bytes.length; n += 2) {
      halves.push((bytes[n]! | (bytes[n + 1]! << 8)).toString(16).padStart(4, '0'));
    }
    return `  ${offset.toString(16).padStart(4)}  ${text.padEnd(28)} ${halves.join(' ')}`;
  });
}
