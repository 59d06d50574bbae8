/**
 * Split virtqueues as the device sees them. Everything in guest memory is hostile: addresses
 * outside RAM, endless chains and bad indices end a request or the queue, never the machine.
 */
import { at, guestRamBase, machine } from '../../layout.ts';
import type { Layout } from '../../layout.ts';
import { queueWord, word } from './registers.ts';

const descriptorLimit = 1024;
const next = 1;
const writeOnly = 2;
const indirect = 4;

export interface Chain {
  head: number;
  readable: Uint8Array[];
  writable: Uint8Array[];
}

/** Guest RAM for devices: checked views, and note taken of writes to translated code. */
export class GuestMemory {
  private readonly buffer: SharedArrayBuffer;
  private readonly layout: Layout;
  private readonly flags: Uint8Array;
  private readonly words: Int32Array;
  readonly view: DataView;
  readonly halves: Uint16Array;

  constructor(memory: WebAssembly.Memory, layout: Layout) {
    this.buffer = memory.buffer;
    this.layout = layout;
    this.flags = new Uint8Array(memory.buffer, at.frameFlags, layout.frames);
    this.words = new Int32Array(memory.buffer);
    this.view = new DataView(memory.buffer);
    this.halves = new Uint16Array(memory.buffer);
  }

  /** Where a guest physical range stands in the memory; -1 when any of it is not RAM. */
  locate(address: number, length: number): number {
    const offset = address - guestRamBase;
    if (!(offset >= 0) || !(length >= 0) || offset + length > this.layout.ramBytes) return -1;
    return at.ram + offset;
  }

  bytes(address: number, length: number): Uint8Array | null {
    const offset = this.locate(address, length);
    return offset < 0 ? null : new Uint8Array(this.buffer, offset, length);
  }

  /** To be called for what a device has written, before the guest hears of it. */
  noteWritten(bytes: Uint8Array): void {
    const from = (bytes.byteOffset - at.ram) >>> 12;
    const to = (bytes.byteOffset + Math.max(bytes.length, 1) - 1 - at.ram) >>> 12;
    for (let frame = from; frame <= to; frame++) {
      if ((this.flags[frame]! & 3) !== 1) continue;
      this.flags[frame] = 3;
      const n = Atomics.add(this.words, (at.machine + machine.dirtyFrames) >> 2, 1);
      this.words[(at.dirtyLog >> 2) + (n & 1023)] = frame;
    }
  }
}

export class Queue {
  private readonly memory: GuestMemory;
  private readonly words: Int32Array;
  private readonly base: number;

  constructor(memory: GuestMemory, words: Int32Array, index: number) {
    this.memory = memory;
    this.words = words;
    this.base = word.queues + index * queueWord.words;
  }

  private field(name: number): number {
    return this.words[this.base + name]!;
  }
  private address(name: number): number {
    return (this.field(name) >>> 0) + (this.field(name + 1) >>> 0) * 0x1_0000_0000;
  }

  /** Where a ring stands in the memory; -1 when it is not all in RAM, or at an odd address. */
  private ring(name: number, bytes: number): number {
    const address = this.address(name);
    return address % 2 === 0 ? this.memory.locate(address, bytes) : -1;
  }

  /** The queue's size, or 0 when it cannot be used. */
  private ready(): number {
    const size = this.field(queueWord.size);
    const sound = size > 0 && size <= descriptorLimit && (size & (size - 1)) === 0;
    return this.field(queueWord.ready) === 1 && sound ? size : 0;
  }

  /** The next request that the driver has made available. */
  take(): Chain | null {
    const size = this.ready();
    if (size === 0) return null;
    const avail = this.ring(queueWord.avail, 4 + size * 2);
    if (avail < 0) return null;
    const { view, halves } = this.memory;
    const last = this.field(queueWord.lastAvail) & 0xffff;
    const index = Atomics.load(halves, (avail + 2) >>> 1);
    if (index === last || ((index - last) & 0xffff) > size) return null;
    const head = view.getUint16(avail + 4 + (last & (size - 1)) * 2, true);
    this.words[this.base + queueWord.lastAvail] = (last + 1) & 0xffff;
    const chain: Chain = { head, readable: [], writable: [] };
    this.walk(chain, this.address(queueWord.desc), size, head, true);
    return chain;
  }

  /** The request that was taken last is as if it had not been. */
  putBack(): void {
    const at = this.base + queueWord.lastAvail;
    this.words[at] = (this.words[at]! - 1) & 0xffff;
  }

  private walk(chain: Chain, table: number, size: number, head: number, outer: boolean): void {
    const { view } = this.memory;
    for (let at = head, hops = 0; at < size && hops < size; hops++) {
      const entry = this.memory.locate(table + at * 16, 16);
      if (entry < 0) return;
      const low = view.getUint32(entry, true);
      const address = low + view.getUint32(entry + 4, true) * 0x1_0000_0000;
      const length = view.getUint32(entry + 8, true);
      const flags = view.getUint16(entry + 12, true);
      if ((flags & indirect) !== 0) {
        const count = Math.min(length >>> 4, descriptorLimit);
        if (outer) this.walk(chain, address, count, 0, false);
        return;
      }
      const bytes = this.memory.bytes(address, length);
      if (bytes === null) return;
      ((flags & writeOnly) !== 0 ? chain.writable : chain.readable).push(bytes);
      if ((flags & next) === 0) return;
      at = view.getUint16(entry + 14, true);
    }
  }

  /** Gives a request back; says whether the driver wants an interrupt for it. */
  give(chain: Chain, written: number): boolean {
    for (const bytes of chain.writable) this.memory.noteWritten(bytes);
    const size = this.ready();
    const used = this.ring(queueWord.used, 4 + size * 8);
    const avail = this.ring(queueWord.avail, 4);
    if (size === 0 || used < 0 || avail < 0) return false;
    const { view, halves } = this.memory;
    const index = Atomics.load(halves, (used + 2) >>> 1);
    const entry = used + 4 + (index & (size - 1)) * 8;
    view.setUint32(entry, chain.head, true);
    view.setUint32(entry + 4, written, true);
    Atomics.store(halves, (used + 2) >>> 1, index + 1);
    return (view.getUint16(avail, true) & 1) === 0;
  }
}

export function total(parts: readonly Uint8Array[]): number {
  let sum = 0;
  for (const part of parts) sum += part.length;
  return sum;
}

/** Copies the parts into one array of at most `limit` bytes. */
export function gather(parts: readonly Uint8Array[], limit: number): Uint8Array {
  const out = new Uint8Array(Math.min(total(parts), limit));
  gatherInto(out, parts);
  return out;
}

/** Copies what of the parts there is room for. */
export function gatherInto(out: Uint8Array, parts: readonly Uint8Array[]): void {
  let at = 0;
  for (const part of parts) {
    if (at === out.length) return;
    const piece = part.subarray(0, out.length - at);
    out.set(piece, at);
    at += piece.length;
  }
}

/** Spreads bytes over the parts; returns how many fitted. */
export function scatter(bytes: Uint8Array, parts: readonly Uint8Array[]): number {
  let done = 0;
  for (const part of parts) {
    const piece = bytes.subarray(done, done + part.length);
    part.set(piece);
    done += piece.length;
    if (done === bytes.length) break;
  }
  return done;
}

