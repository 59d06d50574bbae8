/**
 * Holding a machine still at a precise point: every hart parked, no request of a device under way,
 * and the I/O thread serving nobody, so that all of the machine is in its memory and its devices.
 * Its time stands still as well.
 *
 *   await still.hold();      // the machine stands
 *   …                        // save it
 *   still.release();         // it goes on, if it is to
 */
import { Refusal } from '../../../base/refusal.ts';
import { at, machine } from '../layout.ts';
import type { Layout } from '../layout.ts';
import { HartState, poke } from '../hart-state.ts';
import type { Clock } from '../ports.ts';
import type { VirtioDevice } from '../devices/virtio/device.ts';

/** Between two looks at harts that have not parked yet. */
const lookMs = 20;

export class Standstill {
  private readonly words: Int32Array;
  private readonly harts: HartState[];
  private readonly stood: Float64Array;
  private readonly devices: readonly VirtioDevice[];
  private readonly clock: Clock;
  private since = 0;

  /** `devices` is looked at when the machine is held. */
  constructor(
    { memory, layout }: { memory: WebAssembly.Memory; layout: Layout },
    devices: readonly VirtioDevice[],
    clock: Clock,
  ) {
    this.words = new Int32Array(memory.buffer, at.machine, 64);
    this.stood = new Float64Array(memory.buffer, at.machine + machine.stood, 1);
    this.harts = Array.from({ length: layout.harts }, (_, n) => new HartState(memory.buffer, n));
    this.devices = devices;
    this.clock = clock;
  }

  get held(): boolean {
    return Atomics.load(this.words, machine.pause >> 2) !== 0;
  }

  /** The guest's time at which it stands. */
  get ticks(): number {
    return this.since;
  }

  /** Before the harts' threads begin: they park as soon as they do. */
  begin(): void {
    this.since = this.clock.ticks();
    Atomics.store(this.words, machine.pause >> 2, 1);
  }

  /** @throws Refusal `wrong-state` when it ends meanwhile; what a device refuses, going on. */
  async hold(): Promise<void> {
    this.begin();
    for (const hart of this.harts) hart.poke(poke.attention);
    try {
      await this.parked();
      this.since = this.clock.ticks();
      await Promise.all(this.devices.map((device) => device.settled()));
    } catch (thrown) {
      this.release();
      throw thrown;
    }
  }

  release(): void {
    if (!this.held) return;
    this.stood[0] = this.stood[0]! + this.clock.ticks() - this.since;
    Atomics.store(this.words, machine.pause >> 2, 0);
    Atomics.notify(this.words, machine.pause >> 2);
    // The I/O thread has missed whatever rang meanwhile, the timekeeper that time stood still.
    for (const bell of [machine.doorbell, machine.timer]) {
      Atomics.add(this.words, bell >> 2, 1);
      Atomics.notify(this.words, bell >> 2);
    }
  }

  private async parked(): Promise<void> {
    for (;;) {
      if (Atomics.load(this.words, machine.stop >> 2) !== 0) {
        throw new Refusal('wrong-state', 'The machine has ended meanwhile.');
      }
      const count = Atomics.load(this.words, machine.parked >> 2);
      if (count === this.harts.length) return;
      const wait = Atomics.waitAsync(this.words, machine.parked >> 2, count, lookMs);
      if (wait.async) await wait.value;
    }
  }
}
