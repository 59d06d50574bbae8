/**
 * Wakes harts at their stimecmp: one thread that sleeps until the earliest deadline. Harts count
 * `machine.timer` up when they set a new one. A hart's own bit is checked again by the hart before
 * it takes the interrupt, so a late or early poke here costs time, never correctness.
 */
import { fieldOffset, machine, at } from './layout.ts';
import type { Layout } from './layout.ts';
import { HartState } from './hart.ts';
import type { Clock } from './ports.ts';

const never = 0x7fff_ffff_ffff_ffffn;

export function keepTime(memory: WebAssembly.Memory, layout: Layout, clock: Clock): void {
  const words = new Int32Array(memory.buffer, at.machine, 64);
  const harts = Array.from({ length: layout.harts }, (_, n) => new HartState(memory.buffer, n));
  const compare = harts.map((hart) => (hart.base + fieldOffset('stimecmp')) >> 3);
  while (Atomics.load(words, machine.stop >> 2) === 0) {
    // While it looks, every new deadline is to ring.
    Atomics.store(harts[0]!.i64, (at.machine + machine.timerUntil) >> 3, never);
    const seen = Atomics.load(words, machine.timer >> 2);
    const now = clock.ticks();
    let next = Infinity;
    harts.forEach((hart, n) => {
      const deadline = Atomics.load(hart.i64, compare[n]!);
      if (deadline < 0n || deadline === never) return;
      const ticks = Number(deadline);
      if (ticks > now) next = Math.min(next, ticks);
      else if ((hart.word('irq') & 0x20) === 0) hart.raiseIrq(0x20);
    });
    const until = next === Infinity ? never : BigInt(next);
    Atomics.store(harts[0]!.i64, (at.machine + machine.timerUntil) >> 3, until);
    const sleepMs = next === Infinity ? 1000 : Math.min(1000, (next - now) / 10_000);
    Atomics.wait(words, machine.timer >> 2, seen, sleepMs);
  }
}
