/**
 * Wakes harts at their deadlines: one thread that sleeps until the earliest deadline. Harts count
 * `machine.timer` up when they set a new one. A hart's own bit is checked again by the hart before
 * it takes the interrupt, so a late or early poke here costs time, never correctness.
 */
import { machine, at } from './layout.ts';
import type { Layout } from './layout.ts';
import { HartState } from './hart-state.ts';
import type { Clock } from './ports.ts';

const never = 0x7fff_ffff_ffff_ffffn;

export function keepTime(memory: WebAssembly.Memory, layout: Layout, clock: Clock): void {
  const words = new Int32Array(memory.buffer, at.machine, 64);
  const harts = Array.from({ length: layout.harts }, (_, n) => new HartState(memory.buffer, n));
  while (Atomics.load(words, machine.stop >> 2) === 0) {
    // While it looks, every new deadline is to ring.
    Atomics.store(harts[0]!.i64, (at.machine + machine.timerUntil) >> 3, never);
    const seen = Atomics.load(words, machine.timer >> 2);
    const now = clock.ticks();
    let next = never;
    for (const hart of harts) {
      hart.ring(now);
      const deadline = hart.nextDeadline(now);
      if (deadline < next) next = deadline;
    }
    Atomics.store(harts[0]!.i64, (at.machine + machine.timerUntil) >> 3, next);
    const sleepMs = Math.min(1000, Math.max(0, Number(next) - now) / 10_000);
    Atomics.wait(words, machine.timer >> 2, seen, sleepMs);
  }
}
