/** virtio-blk (virtio 1.2, 5.2): read, write, flush, discard, id; a queue for each processor. */
import type { BlockPort } from '../../ports.ts';
import {
  answer, BlockRequests, discardSectorsMax, discardSegmentsMax, done, failed,
} from './block-requests.ts'; // prettier-ignore
import { VirtioDevice } from './device.ts';
import type { Wiring } from './device.ts';
import { maxQueues } from './registers.ts';
import type { Chain, Queue } from './queue.ts';

const feature = {
  segMax: 1 << 2, readOnly: 1 << 5, blockSize: 1 << 6, flush: 1 << 9, queues: 1 << 12,
  discard: 1 << 13,
}; // prettier-ignore

export const blockDeviceId = 2;

export class VirtioBlock extends VirtioDevice {
  private readonly port: BlockPort;
  private readonly requests: BlockRequests;
  private readonly underWay = new Set<Promise<void>>();

  constructor(wiring: Wiring, port: BlockPort, name: string) {
    const features =
      feature.segMax | feature.blockSize | feature.flush | feature.queues |
      (port.readOnly ? feature.readOnly : feature.discard); // prettier-ignore
    const queues = Math.min(wiring.layout.harts, maxQueues);
    super(wiring, { deviceId: blockDeviceId, features, queues, queueMax: 256 });
    this.port = port;
    this.requests = new BlockRequests(this.queues, port, name);
    const config = this.configView();
    config.setBigUint64(0, BigInt(port.sectorCount), true);
    config.setUint32(12, 126, true);
    config.setUint32(20, 512, true);
    config.setUint16(34, queues, true);
    config.setUint32(36, discardSectorsMax, true);
    config.setUint32(40, discardSegmentsMax, true);
    config.setUint32(44, 1, true);
  }

  protected override handle(index: number): void {
    const flush = (queue: Queue, chain: Chain) => this.flush(queue, chain);
    if (this.requests.serve(1 << index, flush).interrupt) this.interrupt();
  }

  override async settled(): Promise<void> {
    await Promise.all(this.underWay);
    // What is saved of the guest's memory must not be newer than its disk.
    await this.port.flush();
  }

  private flush(queue: Queue, chain: Chain): void {
    const outcome = flushed(this.port).then((well) => (well ? done : failed));
    const answered = outcome.then((found) => {
      if (this.port.alone(() => answer(queue, chain, found))) this.interrupt();
    }).catch(() => undefined); // it has been unplugged meanwhile
    this.underWay.add(answered);
    void answered.finally(() => this.underWay.delete(answered));
  }
}

async function flushed(port: BlockPort): Promise<boolean> {
  try {
    await port.flush();
    return true;
  } catch {
    return false;
  }
}
