/** virtio-blk (virtio 1.2, 5.2): read, write, flush, discard, id; a queue for each processor. */
import type { BlockPort } from '../../ports.ts';
import { VirtioDevice } from './device.ts';
import type { Wiring } from './device.ts';
import { gather, scatter, total } from './queue.ts';
import { maxQueues } from './registers.ts';
import type { Chain, Queue } from './queue.ts';

const feature = {
  segMax: 1 << 2, readOnly: 1 << 5, blockSize: 1 << 6, flush: 1 << 9, queues: 1 << 12,
  discard: 1 << 13,
}; // prettier-ignore
const request = { in: 0, out: 1, flush: 4, id: 8, discard: 11 } as const;
const status = { ok: 0, failed: 1, unsupported: 2 } as const;
const requestBytesMax = 4 << 20;
const discardSectorsMax = 1 << 20;
const discardSegmentsMax = 16;

export class VirtioBlock extends VirtioDevice {
  private readonly port: BlockPort;
  private readonly name: string;
  private readonly underWay = new Set<Promise<void>>();

  constructor(wiring: Wiring, port: BlockPort, name: string) {
    const features =
      feature.segMax | feature.blockSize | feature.flush | feature.queues |
      (port.readOnly ? feature.readOnly : feature.discard); // prettier-ignore
    const queues = Math.min(wiring.layout.harts, maxQueues);
    super(wiring, { deviceId: 2, features, queues, queueMax: 256 });
    this.port = port;
    this.name = name;
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
    const queue = this.queues[index]!;
    for (let chain = queue.take(); chain !== null; chain = queue.take()) {
      const served = this.serve(queue, chain);
      this.underWay.add(served);
      void served.finally(() => this.underWay.delete(served));
    }
  }

  override async settled(): Promise<void> {
    await Promise.all(this.underWay);
    // What is saved of the guest's memory must not be newer than its disk.
    await this.port.flush();
  }

  private async serve(queue: Queue, chain: Chain): Promise<void> {
    let code: number = status.failed;
    let written = 0;
    try {
      [code, written] = await this.perform(chain);
    } catch {
      code = status.failed;
    }
    const last = chain.writable.at(-1);
    if (last !== undefined && last.length > 0) last[last.length - 1] = code;
    if (queue.give(chain, written + 1)) this.interrupt();
  }

  private async perform(chain: Chain): Promise<[number, number]> {
    const header = gather(chain.readable, 16);
    if (header.length < 16) return [status.failed, 0];
    const view = new DataView(header.buffer);
    const type = view.getUint32(0, true);
    const sector = Number(view.getBigUint64(8, true));
    switch (type) {
      case request.in:
        return this.read(sector, chain);
      case request.out:
        return this.write(sector, chain);
      case request.flush:
        await this.port.flush();
        return [status.ok, 0];
      case request.id: {
        const id = new Uint8Array(20);
        id.set(new TextEncoder().encode(this.name).subarray(0, 20));
        return [status.ok, scatter(id, withoutStatus(chain.writable))];
      }
      case request.discard:
        return this.discard(chain);
      default:
        return [status.unsupported, 0];
    }
  }

  private inside(sector: number, bytes: number): boolean {
    if (bytes % 512 !== 0 || bytes > requestBytesMax) return false;
    return sector >= 0 && sector + bytes / 512 <= this.port.sectorCount;
  }

  private async read(sector: number, chain: Chain): Promise<[number, number]> {
    const parts = withoutStatus(chain.writable);
    const length = total(parts);
    if (!this.inside(sector, length)) return [status.failed, 0];
    const buffer = new Uint8Array(length);
    await this.port.read(sector, buffer);
    return [status.ok, scatter(buffer, parts)];
  }

  private async write(sector: number, chain: Chain): Promise<[number, number]> {
    const length = total(chain.readable) - 16;
    if (this.port.readOnly || !this.inside(sector, length)) return [status.failed, 0];
    await this.port.write(sector, gather(chain.readable, requestBytesMax + 16).subarray(16));
    return [status.ok, 0];
  }

  private async discard(chain: Chain): Promise<[number, number]> {
    const bytes = gather(chain.readable, 16 + discardSegmentsMax * 16);
    if (this.port.readOnly) return [status.failed, 0];
    const view = new DataView(bytes.buffer);
    for (let at = 16; at + 16 <= bytes.length; at += 16) {
      const sector = Number(view.getBigUint64(at, true));
      const count = view.getUint32(at + 8, true);
      if (count > discardSectorsMax || !(sector + count <= this.port.sectorCount)) {
        return [status.failed, 0];
      }
      await this.port.discard(sector, count);
    }
    return [status.ok, 0];
  }
}

/** The device-writable parts but for the status byte at their very end. */
function withoutStatus(parts: readonly Uint8Array[]): Uint8Array[] {
  const last = parts.at(-1);
  if (last === undefined) return [];
  return [...parts.slice(0, -1), last.subarray(0, Math.max(0, last.length - 1))];
}
