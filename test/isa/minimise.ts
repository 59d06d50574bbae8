/**
 * Makes a program that fails smaller: loops, then halves, quarters … single items and rounds are
 * left out for as long as it still fails.
 */
import type { Program } from './image.ts';

/** `fails` says of a smaller program whether it shows the same; it is asked often. */
export function minimise(program: Program, fails: (smaller: Program) => boolean): Program {
  let best = program;
  const attempt = (loops: Program['loops']): boolean => {
    const smaller = { ...best, loops };
    if (!fails(smaller)) return false;
    best = smaller;
    return true;
  };
  for (let n = best.loops.length - 1; n >= 0 && best.loops.length > 1; n--) {
    attempt(best.loops.filter((_, other) => other !== n));
  }
  for (let before = -1; before !== sizeOf(best); ) {
    before = sizeOf(best);
    for (let n = 0; n < best.loops.length; n++) leaveOut(() => best, n, attempt);
  }
  for (let n = 0; n < best.loops.length; n++) {
    for (const times of [1, 2, 3]) {
      if (times >= best.loops[n]!.times) break;
      if (attempt(best.loops.map((loop, m) => (m === n ? { ...loop, times } : loop)))) break;
    }
  }
  return best;
}

const sizeOf = ({ loops }: Program) => loops.reduce((sum, { items }) => sum + items.length, 0);

/** Goes through one loop's items in ever smaller pieces. */
function leaveOut(
  best: () => Program, n: number, attempt: (loops: Program['loops']) => boolean,
): void { // prettier-ignore
  for (let piece = best().loops[n]!.items.length; piece >= 1; piece >>= 1) {
    for (let from = 0; from < best().loops[n]!.items.length; ) {
      const loops = best().loops.map((loop, m) => {
        const items = loop.items.filter((_, index) => index < from || index >= from + piece);
        return m === n ? { ...loop, items } : loop;
      });
      if (!attempt(loops)) from += piece;
    }
  }
}
