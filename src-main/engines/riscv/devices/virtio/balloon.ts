/**
 * virtio-balloon (virtio 1.2, 5.5) with free page reporting: what the guest has free goes back to
 * the host by itself, and more when the guest is asked to give up pages for a while.
 *
 * Statistics and hints are not offered, so every queue after the first two is the reporting one,
 * whether a driver numbers queues with the gaps of the specification or without, as Linux does.
 */
import { frameSize, guestRamBase } from '../../layout.ts';
import type { MemoryPort } from '../../ports.ts';
import { VirtioDevice } from './device.ts';
import type { Wiring } from './device.ts';
import { gather } from './queue.ts';
import type { Chain } from './queue.ts';

const feature = { deflateOnOom: 1 << 2, pageReporting: 1 << 5 };
const queue = { inflate: 0, deflate: 1, count: 5 };
const config = { pages: 0, actual: 4 };
const driverOk = 4;
const frameListBytesMax = 1 << 16;

export class VirtioBalloon extends VirtioDevice {
  private readonly port: MemoryPort;

  constructor(wiring: Wiring, port: MemoryPort) {
    const features = feature.deflateOnOom | feature.pageReporting;
    super(wiring, { deviceId: 5, features, queues: queue.count, queueMax: 128 });
    this.port = port;
  }

  /** How many pages the guest says it has given up; undefined while no driver listens. */
  get held(): number | undefined {
    if (!this.hasStatus(driverOk)) return undefined;
    return this.configView().getUint32(config.actual, true);
  }

  /** Asks the guest to have so many pages given up; it takes back what is above. */
  ask(pages: number): void {
    this.changeConfig((view) => view.setUint32(config.pages, pages, true));
  }

  protected override handle(index: number): void {
    let wanted = false;
    const asked = this.queues[index]!;
    for (let chain = asked.take(); chain !== null; chain = asked.take()) {
      if (index === queue.inflate) this.inflate(chain);
      else if (index !== queue.deflate) this.discardAll(chain.writable);
      wanted = asked.give(chain, 0) || wanted;
    }
    if (wanted) this.interrupt();
  }

  /** The driver sends page numbers, 32 bits each; neighbours are given back in one piece. */
  private inflate(chain: Chain): void {
    const bytes = gather(chain.readable, frameListBytesMax);
    const frames = new Uint32Array(bytes.buffer, 0, bytes.length >>> 2).sort();
    const first = guestRamBase / frameSize;
    for (let n = 0; n < frames.length; ) {
      const from = frames[n]!;
      let end = from + 1;
      for (n++; n < frames.length && frames[n]! <= end; n++) end = frames[n]! + 1;
      if (from < first) continue;
      const range = this.memory.bytes(from * frameSize, (end - from) * frameSize);
      if (range === null) continue;
      this.discardAll([range]);
      this.memory.noteWritten(range);
    }
  }

  private discardAll(ranges: readonly Uint8Array[]): void {
    for (const { byteOffset, length } of ranges) this.port.discard(byteOffset, length);
  }
}
