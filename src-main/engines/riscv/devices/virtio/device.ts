/**
 * What every virtio device has: registers, queues, interrupts. Lives on the I/O thread.
 *
 * Must hold, so that a machine can be held and saved: a device reaches into the guest only while
 * it is serviced, or for a request that `settled` waits for. Registers and queues are saved with
 * the shared memory; whatever else the guest would miss is what `save` answers with.
 */
import type { Layout } from '../../layout.ts';
import type { Bus } from '../bus.ts';
import { GuestMemory, Queue } from './queue.ts';
import { driverIsReady, word } from './registers.ts';
import type { VirtioRegisters } from './registers.ts';

export interface Wiring {
  bus: Bus;
  memory: WebAssembly.Memory;
  layout: Layout;
  slot: number;
}

export interface Identity {
  deviceId: number;
  /** Feature bits 0–31; version 1 and indirect descriptors are added. */
  features: number;
  queues: number;
  queueMax: number;
}

/** Plain values, as JSON has them. */
export type Saved =
  | null
  | boolean
  | number
  | string
  | readonly Saved[]
  | { readonly [name: string]: Saved };

const indirectDescriptors = 1 << 28;

export abstract class VirtioDevice {
  protected readonly registers: VirtioRegisters;
  protected readonly queues: Queue[] = [];
  protected readonly memory: GuestMemory;
  readonly slot: number;
  private readonly bus: Bus;

  constructor(wiring: Wiring, identity: Identity) {
    this.slot = wiring.slot;
    this.bus = wiring.bus;
    this.registers = wiring.bus.virtio[wiring.slot]!;
    const { words } = this.registers;
    words[word.deviceId] = identity.deviceId;
    words[word.features] = identity.features | indirectDescriptors;
    words[word.features + 1] = 1;
    words[word.queueMax] = identity.queueMax;
    words[word.queueCount] = identity.queues;
    this.memory = new GuestMemory(wiring.memory, wiring.layout);
    for (let n = 0; n < identity.queues; n++) this.queues.push(new Queue(this.memory, words, n));
  }

  protected configView(): DataView {
    const { config } = this.registers;
    return new DataView(config.buffer, config.byteOffset, config.byteLength);
  }

  /** Whether the driver has set all these bits of its status (2.1). */
  protected hasStatus(bits: number): boolean {
    return (this.registers.words[word.status]! & bits) === bits;
  }

  /** Changes fields of the configuration space and tells the driver. */
  protected changeConfig(change: (view: DataView) => void): void {
    const { words } = this.registers;
    this.bus.lock();
    change(this.configView());
    words[word.generation] = (words[word.generation]! + 1) | 0;
    this.registers.interrupt(2);
    this.bus.unlock();
  }

  /** Does what has been asked since last time; called whenever the doorbell rang. */
  service(): void {
    const { words } = this.registers;
    const rung = Atomics.exchange(words, word.notified, 0);
    if (!driverIsReady(words)) return;
    for (let n = 0; n < this.queues.length; n++) if (((rung >> n) & 1) !== 0) this.handle(n);
    this.look();
  }

  /** Nothing of the guest's requests is under way any more; none begins while it is held. */
  settled(): Promise<void> {
    return Promise.resolve();
  }

  /** What it holds beside its registers and queues. Called while the machine is held. */
  save(): Saved {
    return null;
  }

  /**
   * Takes over what `save` of an equal device gave, before the machine goes on.
   * @throws Refusal `bad-input` for what no device of this kind has saved.
   */
  restore(_saved: Saved): void {}

  /** Leaves the slot empty. What is under way no longer reaches the guest: no queue is ready. */
  unplug(): void {
    const { words } = this.registers;
    this.bus.lock();
    this.registers.store(0x70, 4, 0);
    words.fill(0, word.notified);
    this.bus.unlock();
  }

  /** Queue `index` was rung. */
  protected abstract handle(index: number): void;

  /** At each service: brings to the guest what has come from outside. */
  protected look(): void {}

  /** Has itself serviced soon. */
  protected wish(): void {
    this.bus.ring();
  }

  protected interrupt(): void {
    this.bus.lock();
    this.registers.interrupt(1);
    this.bus.unlock();
  }
}
