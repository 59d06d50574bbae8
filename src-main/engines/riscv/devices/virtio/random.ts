/** virtio-rng (virtio 1.2, 5.4): the host's randomness. */
import type { Random } from '../../ports.ts';
import { VirtioDevice } from './device.ts';
import type { Wiring } from './device.ts';
import { scatter, total } from './queue.ts';

const bytesMax = 4096;

export class VirtioRandom extends VirtioDevice {
  private readonly random: Random;

  constructor(wiring: Wiring, random: Random) {
    super(wiring, { deviceId: 4, features: 0, queues: 1, queueMax: 16 });
    this.random = random;
  }

  protected override handle(index: number): void {
    const queue = this.queues[index]!;
    let wanted = false;
    for (let chain = queue.take(); chain !== null; chain = queue.take()) {
      const bytes = new Uint8Array(Math.min(total(chain.writable), bytesMax));
      this.random.fill(bytes);
      wanted = queue.give(chain, scatter(bytes, chain.writable)) || wanted;
    }
    if (wanted) this.interrupt();
  }
}
