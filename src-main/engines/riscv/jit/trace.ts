/**
 * Where each hart is, looked at now and then, and what its translator did last: two rings in the
 * hart's block of the shared memory, readable from any thread. `report.ts` makes a report of them.
 *
 * Must hold: only the hart's own thread writes. A reader may find one record half written over by
 * the next, so what it reads is for people, never an index.
 */
import { at, hartAt, hartSize } from '../layout.ts';

/** Why the translator did something; as in `counterNames` of `report.ts`. */
export const eventKinds = ['translated', 'refused', 'rewritten', 'overrun', 'full'] as const;
export type EventKind = (typeof eventKinds)[number];

/** One look at a hart, at the end of a slice of instructions, so each stands for as many. */
export interface Sample {
  pc: bigint;
  /** Privilege mode: 0 U, 1 S, 3 M. */
  mode: number;
  translated: boolean;
}

export interface TraceEvent {
  kind: EventKind;
  /** Physical: where a region begins, or the frame that was dropped. */
  address: number;
  /** Instructions translated, or regions dropped. */
  count: number;
  wasmBytes: number;
}

const sampleCount = 1024;
const sampleBytes = 16;
const eventCount = 256;
const eventBytes = 24;

/** Records of a fixed size, the newest over the oldest; before them the count ever written. */
class Ring {
  readonly view: DataView;
  private readonly capacity: number;
  private readonly bytes: number;

  constructor(buffer: ArrayBufferLike, base: number, capacity: number, bytes: number) {
    this.view = new DataView(buffer, base, 8 + capacity * bytes);
    this.capacity = capacity;
    this.bytes = bytes;
  }

  /** Where the next record goes; call `added` when it stands there. */
  next(): number {
    return 8 + (this.view.getUint32(0, true) % this.capacity) * this.bytes;
  }

  added(): void {
    this.view.setUint32(0, this.view.getUint32(0, true) + 1, true);
  }

  /** Offsets of the records, newest first. */
  records(): number[] {
    const count = this.view.getUint32(0, true);
    const kept = Math.min(count, this.capacity);
    const place = (n: number) => 8 + ((count - 1 - n) % this.capacity) * this.bytes;
    return Array.from({ length: kept }, (_, n) => place(n));
  }
}

export class Samples {
  private readonly ring: Ring;

  constructor(buffer: ArrayBufferLike, hart: number) {
    const base = at.harts + hart * hartSize + hartAt.samples;
    this.ring = new Ring(buffer, base, sampleCount, sampleBytes);
  }

  add({ pc, mode, translated }: Sample): void {
    const place = this.ring.next();
    this.ring.view.setBigUint64(place, pc, true);
    this.ring.view.setUint32(place + 8, mode | (translated ? 4 : 0), true);
    this.ring.added();
  }

  /** Newest first. */
  read(): Sample[] {
    const { view } = this.ring;
    return this.ring.records().map((place) => {
      const bits = view.getUint32(place + 8, true);
      return {
        pc: view.getBigUint64(place, true),
        mode: bits & 3,
        translated: (bits & 4) !== 0,
      };
    });
  }
}

export class Trace {
  private readonly ring: Ring;

  constructor(buffer: ArrayBufferLike, hart: number) {
    const base = at.harts + hart * hartSize + hartAt.trace;
    this.ring = new Ring(buffer, base, eventCount, eventBytes);
  }

  add({ kind, address, count, wasmBytes }: TraceEvent): void {
    const { view } = this.ring;
    const place = this.ring.next();
    view.setFloat64(place, address, true);
    view.setUint32(place + 8, eventKinds.indexOf(kind), true);
    view.setUint32(place + 12, count, true);
    view.setUint32(place + 16, wasmBytes, true);
    this.ring.added();
  }

  /** Newest first. */
  read(): TraceEvent[] {
    const { view } = this.ring;
    return this.ring.records().map((place) => ({
      kind: eventKinds[view.getUint32(place + 8, true)] ?? 'refused',
      address: view.getFloat64(place, true),
      count: view.getUint32(place + 12, true),
      wasmBytes: view.getUint32(place + 16, true),
    }));
  }
}
