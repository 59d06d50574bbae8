/**
 * virtio-input (virtio 1.2, 5.8) as a keyboard with the three keys of Ctrl-Alt-Del: how a guest
 * without an agent is asked to stop. Linux's console driver knows it, and init is told.
 */
import { VirtioDevice } from './device.ts';
import type { Wiring } from './device.ts';
import { event, inputDeviceId, keys } from './input-config.ts';
import { scatter } from './queue.ts';

const driverOk = 4;
const eventBytes = 8;

export class VirtioKeyboard extends VirtioDevice {
  private wanted = false;

  constructor(wiring: Wiring) {
    super(wiring, { deviceId: inputDeviceId, features: 0, queues: 2, queueMax: 64 });
  }

  /** Whether a driver listens. */
  get heard(): boolean {
    return this.hasStatus(driverOk);
  }

  pressCtrlAltDel(): void {
    this.wanted = true;
    this.wish();
  }

  protected override look(): void {
    if (!this.wanted) return;
    this.wanted = false;
    for (const value of [1, 0]) {
      for (const key of keys) this.send(event.key, key, value);
      this.send(event.synchronize, 0, 0);
    }
    this.interrupt();
  }

  /** The queue of status, of lights that it does not have, is only given back. */
  protected override handle(index: number): void {
    if (index === 0) return;
    const queue = this.queues[index]!;
    let wanted = false;
    for (let chain = queue.take(); chain !== null; chain = queue.take()) {
      wanted = queue.give(chain, 0) || wanted;
    }
    if (wanted) this.interrupt();
  }

  private send(type: number, code: number, value: number): void {
    const chain = this.queues[0]!.take();
    if (chain === null) return;
    const bytes = new Uint8Array(eventBytes);
    const view = new DataView(bytes.buffer);
    view.setUint16(0, type, true);
    view.setUint16(2, code, true);
    view.setUint32(4, value, true);
    this.queues[0]!.give(chain, scatter(bytes, chain.writable));
  }
}
