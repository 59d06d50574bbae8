/**
 * The requests of a virtio-blk device's queues (virtio 1.2, 5.2.6), answered at once by whichever
 * thread asks. Only a flush takes its time, and is not for here.
 */
import type { BlockPort } from '../../ports.ts';
import { gather, scatter, total } from './queue.ts';
import type { Chain, Queue } from './queue.ts';

const request = { in: 0, out: 1, flush: 4, id: 8, discard: 11 } as const;
const status = { ok: 0, failed: 1, unsupported: 2 } as const;
/** Status, and how many bytes the guest is given. */
export type Outcome = readonly [code: number, written: number];
export const done: Outcome = [status.ok, 0];
export const failed: Outcome = [status.failed, 0];
const headerBytes = 16;
const requestBytesMax = 4 << 20;
export const discardSectorsMax = 1 << 20;
export const discardSegmentsMax = 16;

export interface Served {
  /** The driver wants an interrupt. */
  interrupt: boolean;
  /** Bits of the queues at which a flush stands first. */
  left: number;
}

export class BlockRequests {
  private readonly queues: readonly Queue[];
  private readonly port: BlockPort;
  private readonly name: string;

  /** `name` is what the guest reads as its serial. */
  constructor(queues: readonly Queue[], port: BlockPort, name: string) {
    this.queues = queues;
    this.port = port;
    this.name = name;
  }

  /**
   * Answers what the queues hold whose bits are set. A flush is handed to `later`; where there is
   * none it stays, and all behind it. @throws when the disk is closed.
   */
  serve(rung: number, later?: (queue: Queue, chain: Chain) => void): Served {
    return this.port.alone(() => {
      const served = { interrupt: false, left: 0 };
      for (let n = 0; n < this.queues.length; n++) {
        if (((rung >> n) & 1) === 0) continue;
        const queue = this.queues[n]!;
        for (let chain = queue.take(); chain !== null; chain = queue.take()) {
          const view = headerOf(chain);
          if (view?.getUint32(0, true) !== request.flush) {
            const outcome = view === null ? failed : this.perform(view, chain);
            served.interrupt = answer(queue, chain, outcome) || served.interrupt;
          } else if (later !== undefined) later(queue, chain);
          else {
            queue.putBack();
            served.left |= 1 << n;
            break;
          }
        }
      }
      return served;
    });
  }

  private perform(header: DataView, chain: Chain): Outcome {
    const sector = Number(header.getBigUint64(8, true));
    try {
      switch (header.getUint32(0, true)) {
        case request.in:
          return this.read(sector, chain);
        case request.out:
          return this.write(sector, chain);
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
    const places = withoutStatus(chain.writable);
    const length = total(places);
    if (!this.inside(sector, length)) return failed;
    this.port.read(sector, places);
    return [status.ok, length];
  }

  private write(sector: number, chain: Chain): Outcome {
    const places = withoutHeader(chain.readable);
    if (this.port.readOnly || !this.inside(sector, total(places))) return failed;
    this.port.write(sector, places);
    return done;
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
    return done;
  }
}

/** Gives a request back; whether the driver wants an interrupt. The disk is ours alone. */
export function answer(queue: Queue, chain: Chain, [code, written]: Outcome): boolean {
  const last = chain.writable.at(-1);
  if (last !== undefined && last.length > 0) last[last.length - 1] = code;
  return queue.give(chain, written + 1);
}

function headerOf(chain: Chain): DataView | null {
  const header = gather(chain.readable, headerBytes);
  return header.length < headerBytes ? null : new DataView(header.buffer);
}

/** What follows the header, wherever the driver has cut it. */
function withoutHeader(parts: readonly Uint8Array[]): Uint8Array[] {
  let skip = headerBytes;
  return parts.flatMap((part) => {
    const rest = part.subarray(skip);
    skip = Math.max(0, skip - part.length);
    return rest.length === 0 ? [] : [rest];
  });
}

/** The device-writable parts but for the status byte at their very end. */
function withoutStatus(parts: readonly Uint8Array[]): Uint8Array[] {
  const last = parts.at(-1);
  if (last === undefined) return [];
  const before = last.subarray(0, Math.max(0, last.length - 1));
  return before.length === 0 ? parts.slice(0, -1) : [...parts.slice(0, -1), before];
}
