/**
 * Litmus tests of the memory model: a few instructions on each hart, done again and again on fresh
 * variables, and an outcome that must never be seen. x is at 0(s0), y at 64(s0), both zero before;
 * a1 and a2 are what a hart has seen; t1 = 1 and t0 = 2.
 */
import { freeRam } from './harts.ts';
import type { Phase } from './harts.ts';
import { assemble } from './assemble.ts';

export interface Litmus {
  name: string;
  harts: readonly string[];
  forbidden(seen: Outcome): boolean;
}

/** `a1[n]`, `a2[n]`: of hart n; x and y at the end. */
export interface Outcome {
  a1: number[];
  a2: number[];
  x: number;
  y: number;
}

const all = 'fence';
const ww = '.word 0x0110000f';
const rr = '.word 0x0220000f';
const flagged = (line: string, bit: number) => `.word ${(assemble(line)[0]! | (1 << bit)) >>> 0}`;
const acquire = (line: string) => flagged(line, 26);
const release = (line: string) => flagged(line, 25);
const lines = (...parts: string[]) => parts.join('\n');

const x = '0(s0)', y = '64(s0)'; // prettier-ignore
const [putX, putY] = [`sw t1, ${x}`, `sw t1, ${y}`];
const lookX = (register: string) => `lw ${register}, ${x}`;
const lookY = (register: string) => `lw ${register}, ${y}`;
/** Stores 1, which it has by way of what was loaded into a1. */
const dependent = (to: string) => lines('xor t2, a1, a1', 'addi t2, t2, 1', `sw t2, ${to}`);
/** Loads x at an address that depends on what was loaded into a1. */
const lookThere = lines('xor t2, a1, a1', 'add t2, t2, s0', 'lw a2, 0(t2)');

export const ofTwo: readonly Litmus[] = [
  {
    name: 'SB, fences',
    harts: [lines(putX, all, lookY('a1')), lines(putY, all, lookX('a1'))],
    forbidden: ({ a1 }) => a1[0] === 0 && a1[1] === 0,
  },
  {
    name: 'MP, fences',
    harts: [lines(putX, ww, putY), lines(lookY('a1'), rr, lookX('a2'))],
    forbidden: ({ a1, a2 }) => a1[1] === 1 && a2[1] === 0,
  },
  {
    name: 'MP, release and acquire',
    harts: [
      lines('addi t3, s0, 64', putX, release('amoswap.w t4, t3, t1')),
      lines('addi t3, s0, 64', acquire('lr.w a1, t3'), lookX('a2')),
    ],
    forbidden: ({ a1, a2 }) => a1[1] === 1 && a2[1] === 0,
  },
  {
    name: 'MP, address dependency',
    harts: [lines(putX, ww, putY), lines(lookY('a1'), lookThere)],
    forbidden: ({ a1, a2 }) => a1[1] === 1 && a2[1] === 0,
  },
  {
    name: 'LB, data dependencies',
    harts: [lines(lookX('a1'), dependent(y)), lines(lookY('a1'), dependent(x))],
    forbidden: ({ a1 }) => a1[0] === 1 && a1[1] === 1,
  },
  {
    name: 'CoRR',
    harts: [putX, lines(lookX('a1'), lookX('a2'))],
    forbidden: ({ a1, a2 }) => a1[1] === 1 && a2[1] === 0,
  },
  {
    name: 'S, fence and dependency',
    harts: [lines(`sw t0, ${x}`, ww, putY), lines(lookY('a1'), dependent(x))],
    forbidden: (seen) => seen.a1[1] === 1 && seen.x === 2,
  },
  {
    name: 'R, fences',
    harts: [lines(putX, ww, putY), lines(`sw t0, ${y}`, all, lookX('a1'))],
    forbidden: (seen) => seen.y === 2 && seen.a1[1] === 0,
  },
  {
    name: '2+2W, fences',
    harts: [lines(putX, ww, `sw t0, ${y}`), lines(putY, ww, `sw t0, ${x}`)],
    forbidden: (seen) => seen.x === 1 && seen.y === 1,
  },
];

/** What hosts with store buffers do show: that the harts do run at once. */
export const storeBuffers: Litmus = {
  name: 'SB',
  harts: [lines(putX, lookY('a1')), lines(putY, lookX('a1'))],
  forbidden: ({ a1 }) => a1[0] === 0 && a1[1] === 0,
};

export const ofFour: readonly Litmus[] = [
  {
    name: 'IRIW, fences',
    harts: [
      putX,
      putY,
      lines(lookX('a1'), all, lookY('a2')),
      lines(lookY('a1'), all, lookX('a2')),
    ],
    forbidden: ({ a1, a2 }) =>
      a1[2] === 1 && a2[2] === 0 && a1[3] === 1 && a2[3] === 0, // prettier-ignore
  },
  {
    name: 'WRC, dependencies',
    harts: [putX, lines(lookX('a1'), dependent(y)), lines(lookY('a1'), lookThere), 'nop'],
    forbidden: ({ a1, a2 }) => a1[1] === 1 && a1[2] === 1 && a2[2] === 0,
  },
];

export const times = 1500;
const variableBytes = 128;
const paces = 1024;
const seenBytes = 8;

/**
 * Waits for the next hart to be as far as this one, so that they do their few instructions at the
 * same time; not for long, since it may not have a processor.
 */
const keepPace = (hart: number, harts: number) =>
  lines(
    `sw s2, ${paces + 64 * hart}(s11)`,
    'li t5, 300',
    '@pace:',
    `lw t6, ${paces + 64 * ((hart + 1) % harts)}(s11)`,
    'beq t6, s2, @go',
    'addi t5, t5, -1',
    'bne t5, zero, @pace',
    '@go:',
    // Who comes last goes on first, so each then lets some time pass, another one every time.
    `srli t5, s2, ${2 * hart}`,
    'andi t5, t5, 127',
    '@delay:',
    'addi t5, t5, -1',
    'bge t5, zero, @delay',
  );

/** One phase a test; `place` counts them, since each has variables of its own. */
export function phaseOf(test: Litmus, place: number): Phase {
  const at = placeOf(place, test.harts.length);
  return test.harts.map((body, hart) =>
    lines(
      `li s0, ${at.variables}`, 'add s0, s0, s10',
      `li s1, ${at.seen(hart)}`, 'add s1, s1, s10', `li s2, ${times}`, 'addi t0, zero, 2',
      '@again:', keepPace(hart, test.harts.length), body, 'sw a1, 0(s1)', 'sw a2, 4(s1)',
      `addi s1, s1, ${seenBytes}`, `addi s0, s0, ${variableBytes}`,
      'addi s2, s2, -1', 'bne s2, zero, @again',
    ),
  ); // prettier-ignore
}

/** How often the outcome was seen that a test is about. */
export function countSeen(test: Litmus, place: number, ram: DataView): number {
  const at = placeOf(place, test.harts.length);
  let count = 0;
  for (let n = 0; n < times; n++) {
    const word = (hart: number, more: number) =>
      ram.getUint32(at.seen(hart) + n * seenBytes + more, true);
    const variable = (more: number) =>
      ram.getUint32(at.variables + n * variableBytes + more, true);
    const seen = {
      a1: test.harts.map((_, hart) => word(hart, 0)),
      a2: test.harts.map((_, hart) => word(hart, 4)),
      x: variable(0),
      y: variable(64),
    };
    if (test.forbidden(seen)) count++;
  }
  return count;
}

function placeOf(place: number, harts: number) {
  const bytes = times * (variableBytes + harts * seenBytes);
  const variables = freeRam + place * bytes;
  const seen = (hart: number) => variables + times * (variableBytes + hart * seenBytes);
  return { variables, seen };
}
