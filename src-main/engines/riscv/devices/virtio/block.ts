/** virtio-blk (virtio 1.2, 5.2): read, write, flush, discard, id; a queue for each processor. */
import type { BlockPort } from '../../ports.ts';
import { VirtioDevice } from './device.ts';
import type { Wiring } from './device.ts';
import { gather, gatherInto, scatter, total } from './queue.ts';
import { maxQueues } from './registers.ts';
import type { Chain, Queue } from './queue.ts';

const feature = {
  segMax: 1 << 2, readOnly: 1 << 5, blockSize: 1 << 6, flush: 1 << 9, queues: 1 << 12,
  discard: 1 << 13,
}; // prettier-ignore
const request = { in: 0, out: 1, flush: 4, id: 8, discard: 11 } as const;
const status = { ok: 0, failed: 1, unsupported: 2 } as const;
/** Status, and how many bytes the guest is given. */
type Outcome = readonly [code: number, written: number];
const failed: Outcome = [status.failed, 0];
const headerBytes = 16;
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
    let wanted = false;
    for (let chain = queue.take(); chain !== null; chain = queue.take()) {
      const outcome = this.perform(chain);
      if (outcome instanceof Promise) this.answerLater(queue, chain, outcome);
      else wanted = answer(queue, chain, outcome) || wanted;
    }
    if (wanted) this.interrupt();
  }

  override async settled(): Promise<void> {
    await Promise.all(this.underWay);
    // What is saved of the guest's memory must not be newer than its disk.
    await this.port.flush();
  }

  private answerLater(queue: Queue, chain: Chain, outcome: Promise<Outcome>): void {
    const answered = outcome.then((found) => {
      if (answer(queue, chain, found)) this.interrupt();
    });
    this.underWay.add(answered);
    void answered.finally(() => this.underWay.delete(answered));
  }

  private perform(chain: Chain): Outcome | Promise<Outcome> {
    const header = gather(chain.readable, headerBytes);
    if (header.length < headerBytes) return failed;
    const view = new DataView(header.buffer);
    const sector = Number(view.getBigUint64(8, true));
    try {
      switch (view.getUint32(0, true)) {
        case request.in:
          return this.read(sector, chain);
        case request.out:
          return this.write(sector, chain);
        case request.flush:
          return this.flush();
        case request.id:
          return this.identify(chain);
        case request.discard:
          return this.discard(chain);
        default:
          return [status.unsupported, 0];
      }
    } catch {
      return failed;
    }
  }

  private async flush(): Promise<Outcome> {
    try {
      await this.port.flush();
      return [status.ok, 0];
    } catch {
      return failed;
    }
  }

  private identify(chain: Chain): Outcome {
    const id = new Uint8Array(20);
    id.set(new TextEncoder().encode(this.name).subarray(0, 20));
    return [status.ok, scatter(id, withoutStatus(chain.writable))];
  }

  private inside(sector: number, bytes: number): boolean {
    if (bytes % 512 !== 0 || bytes > requestBytesMax) return false;
    return sector >= 0 && sector + bytes / 512 <= this.port.sectorCount;
  }

  private read(sector: number, chain: Chain): Outcome {
    const parts = withoutStatus(chain.writable);
    const length = total(parts);
    if (!this.inside(sector, length)) return failed;
    const buffer = roomFor(length);
    this.port.read(sector, buffer);
    return [status.ok, scatter(buffer, parts)];
  }

  private write(sector: number, chain: Chain): Outcome {
    const length = total(chain.readable) - headerBytes;
    if (this.port.readOnly || !this.inside(sector, length)) return failed;
    const buffer = roomFor(headerBytes + length);
    gatherInto(buffer, chain.readable);
    this.port.write(sector, buffer.subarray(headerBytes));
    return [status.ok, 0];
  }

  private discard(chain: Chain): Outcome {
    const bytes = gather(chain.readable, headerBytes + discardSegmentsMax * 16);
    if (this.port.readOnly) return failed;
    const view = new DataView(bytes.buffer);
    for (let at = headerBytes; at + 16 <= bytes.length; at += 16) {
      const sector = Number(view.getBigUint64(at, true));
      const count = view.getUint32(at + 8, true);
      if (count > discardSectorsMax || !(sector + count <= this.port.sectorCount)) return failed;
      this.port.discard(sector, count);
    }
    return [status.ok, 0];
  }
}

function answer(queue: Queue, chain: Chain, [code, written]: Outcome): boolean {
  const last = chain.writable.at(-1);
  if (last !== undefined && last.length > 0) last[last.length - 1] = code;
  return queue.give(chain, written + 1);
}

/**
 * Where the bytes of a request are between guest and file. Requests are done one by one, so one
 * place serves all: fresh memory for each costs the host as much as reading it does.
 */
let room = new Uint8Array(0x1_0000);

function roomFor(length: number): Uint8Array {
  if (room.length < length) room = new Uint8Array(headerBytes + requestBytesMax);
  return room.subarray(0, length);
}

/** The device-writable parts but for the status byte at their very end. */
function withoutStatus(parts: readonly Uint8Array[]): Uint8Array[] {
  const last = parts.at(-1);
  if (last === undefined) return [];
  return [...parts.slice(0, -1), last.subarray(0, Math.max(0, last.length - 1))];
}
