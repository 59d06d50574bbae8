/** What every virtio device has: registers, queues, interrupts. Lives on the I/O thread. */
import type { Layout } from '../../layout.ts';
import type { Bus } from '../bus.ts';
import { GuestMemory, Queue } from './queue.ts';
import { word } from './registers.ts';
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
    if (!this.hasStatus(4)) return;
    for (let n = 0; n < this.queues.length; n++) if (((rung >> n) & 1) !== 0) this.handle(n);
  }

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

  protected interrupt(): void {
    this.bus.lock();
    this.registers.interrupt(1);
    this.bus.unlock();
  }
}
