/**
 * The register file of one virtio-mmio device (version 2), in shared words. The device behind it
 * lives on the I/O thread and reads queue addresses from the same words. Hold the device lock.
 */
import { inputConfig, inputDeviceId } from './input-config.ts';

export const word = {
  status: 0, deviceFeatureSelect: 1, driverFeatureSelect: 2, driverFeatures: 3, queueSelect: 5,
  interrupt: 6, generation: 7, queues: 8, notified: 90, deviceId: 91, features: 92, queueMax: 94,
  queueCount: 95, config: 96,
} as const; // prettier-ignore
export const queueWord = {
  size: 0, ready: 1, desc: 2, avail: 4, used: 6, lastAvail: 8, words: 10,
} as const; // prettier-ignore
export const maxQueues = 8;

/** Whether the driver has said DRIVER_OK (2.1). */
export const driverIsReady = (words: Int32Array): boolean => (words[word.status]! & 4) !== 0;

const configBytes = 128;

export class VirtioRegisters {
  readonly words: Int32Array;
  private readonly bytes: Uint8Array;
  private readonly setLine: (level: boolean) => void;
  private readonly notify: () => void;
  private readonly rung: () => void;

  /** `notify`: the driver has changed something; `rung`: it has rung a queue's bell. */
  constructor(
    words: Int32Array,
    setLine: (level: boolean) => void,
    notify: () => void,
    rung: () => void,
  ) {
    this.words = words;
    this.bytes = new Uint8Array(words.buffer, words.byteOffset + word.config * 4, configBytes);
    this.setLine = setLine;
    this.notify = notify;
    this.rung = rung;
  }

  /** Configuration space: the device's own fields, little-endian. */
  get config(): Uint8Array {
    return this.bytes;
  }

  /** Adds bits to InterruptStatus: 1 used buffers, 2 configuration changed. */
  interrupt(bits: number): void {
    this.words[word.interrupt] = this.words[word.interrupt]! | bits;
    this.setLine(true);
  }

  private selectedQueue(): number {
    const selected = this.words[word.queueSelect]! >>> 0;
    const count = this.words[word.queueCount]!;
    return selected < count && selected < maxQueues ? word.queues + selected * queueWord.words : -1;
  }

  load(offset: number, size: number): number {
    const w = this.words;
    if (offset >= 0x100) return this.loadConfig(offset - 0x100, size);
    const queue = this.selectedQueue();
    switch (offset) {
      case 0x00:
        return 0x74726976;
      case 0x04:
        return 2;
      case 0x08:
        return w[word.deviceId]!;
      case 0x0c:
        return 0x4d59_4e59;
      case 0x10: {
        const select = w[word.deviceFeatureSelect]! >>> 0;
        return select < 2 ? w[word.features + select]! : 0;
      }
      case 0x34:
        return queue < 0 ? 0 : w[word.queueMax]!;
      case 0x44:
        return queue < 0 ? 0 : w[queue + queueWord.ready]!;
      case 0x60:
        return w[word.interrupt]!;
      case 0x70:
        return w[word.status]!;
      case 0xfc:
        return w[word.generation]!;
      default:
        return 0;
    }
  }

  /** An input device has a small language there: what is selected is shown at once. */
  private showSelected(): void {
    const shown = inputConfig(this.bytes[0]!, this.bytes[1]!);
    this.bytes[2] = shown.length;
    this.bytes.fill(0, 8);
    this.bytes.set(shown, 8);
  }

  private loadConfig(offset: number, size: number): number {
    if (offset + size > configBytes) return 0;
    let value = 0;
    for (let n = 0; n < size; n++) value |= this.bytes[offset + n]! << (8 * n);
    return value;
  }

  store(offset: number, size: number, value: number): void {
    const w = this.words;
    if (offset >= 0x100) {
      if (offset - 0x100 + size > configBytes) return;
      for (let n = 0; n < size; n++) this.bytes[offset - 0x100 + n] = value >>> (8 * n);
      if (w[word.deviceId] === inputDeviceId) this.showSelected();
      return;
    }
    switch (offset) {
      case 0x14:
        w[word.deviceFeatureSelect] = value;
        return;
      case 0x20:
        if (w[word.driverFeatureSelect]! >>> 0 < 2) {
          w[word.driverFeatures + w[word.driverFeatureSelect]!] = value;
        }
        return;
      case 0x24:
        w[word.driverFeatureSelect] = value;
        return;
      case 0x30:
        w[word.queueSelect] = value;
        return;
      case 0x50:
        if (value >>> 0 >= maxQueues) return;
        Atomics.or(w, word.notified, 1 << value);
        return this.rung();
      case 0x64:
        w[word.interrupt] = w[word.interrupt]! & ~value;
        return this.setLine(w[word.interrupt] !== 0);
      case 0x70:
        if (value === 0) return this.reset();
        w[word.status] = value;
        return this.notify();
    }
    this.storeQueue(offset, value);
  }

  private storeQueue(offset: number, value: number): void {
    const queue = this.selectedQueue();
    if (queue < 0) return;
    const w = this.words;
    const set = (field: number) => {
      w[queue + field] = value;
    };
    switch (offset) {
      case 0x38:
        return set(queueWord.size);
      case 0x44:
        w[queue + queueWord.lastAvail] = 0;
        return set(queueWord.ready);
      case 0x80:
        return set(queueWord.desc);
      case 0x84:
        return set(queueWord.desc + 1);
      case 0x90:
        return set(queueWord.avail);
      case 0x94:
        return set(queueWord.avail + 1);
      case 0xa0:
        return set(queueWord.used);
      case 0xa4:
        return set(queueWord.used + 1);
    }
  }

  private reset(): void {
    const w = this.words;
    for (let n = 0; n < word.notified; n++) if (n !== word.generation) w[n] = 0;
    Atomics.store(w, word.notified, 0);
    this.setLine(false);
    this.notify();
  }
}
