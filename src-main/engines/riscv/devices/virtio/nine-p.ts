/** The virtio transport of 9P (virtio device 9): a mount tag, one queue of requests. */
import type { NinePServer } from '../nine-p/server.ts';
import { VirtioDevice } from './device.ts';
import type { Saved, Wiring } from './device.ts';
import { gather, scatter, total } from './queue.ts';

const mountTag = 1;
const tagBytesMax = 100;
const requestBytesMax = 1 << 20;

export class VirtioNineP extends VirtioDevice {
  private readonly server: NinePServer;

  constructor(wiring: Wiring, server: NinePServer, tag: string) {
    super(wiring, { deviceId: 9, features: mountTag, queues: 1, queueMax: 128 });
    this.server = server;
    const bytes = new TextEncoder().encode(tag).subarray(0, tagBytesMax);
    this.configView().setUint16(0, bytes.length, true);
    this.registers.config.set(bytes, 2);
  }

  protected override handle(index: number): void {
    const queue = this.queues[index]!;
    let wanted = false;
    for (let chain = queue.take(); chain !== null; chain = queue.take()) {
      const request = gather(chain.readable, requestBytesMax);
      const reply = this.server.answer(request, total(chain.writable));
      wanted = queue.give(chain, scatter(reply, chain.writable)) || wanted;
    }
    if (wanted) this.interrupt();
  }

  override save(): Saved {
    return this.server.save();
  }

  override restore(saved: Saved): void {
    this.server.restore(saved);
  }

  override unplug(): void {
    super.unplug();
    this.server.close();
  }
}
