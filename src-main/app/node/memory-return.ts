/**
 * Memory that a guest has freed goes back to the host by itself: a look now and then at what the
 * host holds for each machine, and where that is well above what its guest uses, the difference is
 * taken out of the kernel's memory file and handed back to the guest as untouched pages. Guests of
 * the portable engine report what they free, and are left alone.
 *
 * A machine whose host memory has not grown since its last look is not asked anything, so idle
 * machines stay idle.
 */
import { asRefusal } from '../../base/refusal.ts';
import type { RunningMachine } from '../../machine/engine.ts';
import type { Driver } from './driver.ts';

const periodMs = 20_000;
/** Less is not worth the guest's time. */
const worthBytes = 32 << 20;

export class MemoryReturn {
  private readonly machines: () => readonly Driver[];
  private readonly seenBytes = new WeakMap<object, number>();
  private timer?: NodeJS.Timeout;

  constructor(machines: () => readonly Driver[]) {
    this.machines = machines;
  }

  open(): void {
    this.timer = setInterval(() => void this.look(), periodMs).unref();
  }

  close(): void {
    clearInterval(this.timer);
  }

  /** One look at every machine; a test need not wait for the clock. */
  async look(): Promise<void> {
    for (const driver of this.machines()) {
      const machine = driver.running;
      if (driver.state !== 'running' || !machine || machine.returnsFreeMemory) continue;
      const held = machine.sample()?.memoryHostBytes ?? 0;
      if (held < (this.seenBytes.get(machine) ?? 0) + worthBytes) continue;
      try {
        await driver.returnMemory(worthBytes);
      } catch (thrown) {
        driver.note(`Memory stays: ${asRefusal(thrown).message}`);
      }
      this.seenBytes.set(machine, machine.sample()?.memoryHostBytes ?? held);
    }
  }
}

/** Answers with how much the host got: nothing, unless it holds `worth` bytes for free pages. */
export async function takeFree(
  machine: Pick<RunningMachine, 'sample' | 'reclaim'>,
  { totalBytes, freeBytes }: { totalBytes: number; freeBytes: number },
  worth: number,
): Promise<number> {
  const before = machine.sample()?.memoryHostBytes ?? 0;
  if (before - (totalBytes - freeBytes) < worth) return 0;
  // An eighth stays with the guest, so that it is never pressed while we hold its pages.
  await machine.reclaim(Math.floor((freeBytes * 7) / 8));
  return Math.max(0, before - (machine.sample()?.memoryHostBytes ?? 0));
}
