/**
 * Moves frames between the ports of all LANs: one batch in from a port (`readBatch`), each frame
 * routed by its LAN's switch, one batch out per receiving port, straight from the arena.
 *
 * A receiver that is full gets what is left into its bounded ring, and the senders whose frames
 * went there are not read until it has room again: their kernels then hold back by themselves
 * and TCP loses nothing. That courtesy ends after `graceMs`; from then on (a paused or dead
 * machine) frames for it are dropped and nobody waits, until it reads again. Flooded frames
 * never make a sender wait.
 * What must always hold: no call blocks, memory per port is bounded, a broken port only stops
 * itself. Per-frame code allocates nothing.
 */
import { errnoName } from '../../base/node/posix.ts';
import { column, lanRow, portRow } from '../counters.ts';
import type { LanConfig, PortConfig } from '../control.ts';
import { FrameRing } from '../frame-ring.ts';
import { LanServices, type ServicesParts, type Station } from '../services.ts';
import { drop, flood, hostPort, LanSwitch, portsMax } from '../switch.ts';
import { failed, Poll, readable, writable } from './poll.ts';
import {
  addressOf, type Arena, batchMax, makeArena, ReceiveVector, SendVector,
} from './vectors.ts';

export const graceMs = 30;
const ringBytes = 512 * 1024;

export class Lan {
  readonly config: LanConfig;
  readonly row: number;
  readonly switch: LanSwitch;
  readonly ports: Port[] = [];
  readonly host: LanServices;

  constructor(config: LanConfig, seed: number, parts: Pick<ServicesParts, 'send' | 'onLeases'>) {
    this.config = config;
    this.row = lanRow(config.lan);
    this.host = new LanServices({ config, stations: () => this.stations(), ...parts });
    this.switch = new LanSwitch({ seed });
    this.switch.setHost(config.hostMac);
  }

  *stations(): Iterable<Station> {
    for (const port of this.ports) yield port.config;
  }
}

export class Port {
  readonly config: PortConfig;
  readonly lan: Lan;
  readonly number: number;
  readonly fd: number;
  readonly row: number;
  readonly ring = new FrameRing(ringBytes);
  /** Slots of the batch at hand that go out here. */
  readonly out = new Uint16Array(batchMax);
  outCount = 0;
  interest = 0;
  closed = false;
  /** Full: waits for `writable`. Stalled: full for too long, frames are dropped. */
  full = false;
  stalled = false;
  fullSinceMs = 0;
  /** The full port this one waits for, and who waits for this one. */
  waitsFor: Port | null = null;
  readonly waiters: Port[] = [];

  constructor(config: PortConfig, lan: Lan) {
    this.config = config;
    this.lan = lan;
    this.number = config.port;
    this.fd = config.fd;
    this.row = portRow(config.port);
  }
}

export class Forwarder {
  readonly lans = new Map<number, Lan>();
  readonly ports: (Port | null)[] = new Array<Port | null>(portsMax).fill(null);
  onClosed: (port: Port) => void = () => undefined;
  readonly #poll: Poll;
  readonly #cells: Float64Array;
  readonly #arena: Arena = makeArena();
  readonly #receive = new ReceiveVector(this.#arena);
  readonly #send = new SendVector();
  readonly #offsets = new Uint32Array(batchMax);
  readonly #touched: Port[] = [];
  readonly #full = new Set<Port>();

  constructor(poll: Poll, cells: Float64Array) {
    this.#poll = poll;
    this.#cells = cells;
    const stride = this.#arena.bytes.length / batchMax;
    for (let slot = 0; slot < batchMax; slot += 1) this.#offsets[slot] = slot * stride;
  }

  attach(config: PortConfig, lan: Lan): void {
    const port = new Port(config, lan);
    this.#poll.add(port.fd, 0, port.number);
    this.ports[port.number] = port;
    lan.ports.push(port);
    lan.switch.join(port.number);
    this.setUp(port, config.up);
  }

  /** Nothing of the port remains and nobody waits for it; its descriptor is the caller's again. */
  detach(port: Port): void {
    this.#shut(port);
    this.ports[port.number] = null;
    port.lan.ports.splice(port.lan.ports.indexOf(port), 1);
    port.lan.switch.leave(port.number);
  }

  /** A link that is down neither takes nor gives; frames sent meanwhile are thrown away. */
  setUp(port: Port, up: boolean): void {
    port.config.up = up;
    if (up) return this.#setInterest(port);
    this.#unfill(port);
    port.ring.clear();
    port.lan.switch.leave(port.number);
    port.lan.switch.join(port.number);
    this.#setInterest(port);
  }

  /** What `Poll` reported for a port. */
  serve(number: number, events: number, nowMs: number): void {
    const port = this.ports[number];
    if (port === undefined || port === null || port.closed) return;
    if ((events & writable) !== 0) this.#drain(port);
    const over = (events & failed) !== 0;
    if ((events & readable) !== 0 && port.waitsFor === null) {
      this.#readBatch(port, nowMs, over);
    } else if (over) {
      this.#end(port);
    }
  }

  /** Ends the courtesy for ports that stayed full. When to call again, in ms; -1 for never. */
  expire(nowMs: number): number {
    let nextMs = -1;
    for (const port of this.#full) {
      const leftMs = port.fullSinceMs + graceMs - nowMs;
      if (leftMs > 0) {
        nextMs = nextMs < 0 ? leftMs : Math.min(nextMs, leftMs);
        continue;
      }
      port.stalled = true;
      this.#full.delete(port);
      this.#release(port);
    }
    return nextMs < 0 ? -1 : Math.ceil(nextMs);
  }

  /** One frame of the LAN's own host to one port; lost when the port is full, as on a wire. */
  sendTo(number: number, bytes: Uint8Array, length: number): void {
    const port = this.ports[number];
    if (!port || port.closed || !port.config.up) return;
    if (port.full) {
      if (!port.stalled && port.ring.push(bytes, 0, length)) return;
      this.#lose(port, 1);
      return;
    }
    const address = addressOf(bytes);
    this.#send.put(0, Number(address & 0xffffffffn), Number(address >> 32n), length);
    if (this.#send.send(port.fd, 0, 1) === 1) this.#count(port, column.txFrames, 1, length);
    else this.#lose(port, 1);
  }

  #readBatch(port: Port, nowMs: number, over: boolean): void {
    let count = this.#receive.receive(port.fd);
    if (count <= 0) {
      const code = count < 0 ? errnoName() : 'end';
      if (code !== 'EAGAIN' && code !== 'EINTR') this.#end(port);
      return;
    }
    // Once the other end is closed, what was sent before comes first and then nothing, for ever.
    if (over && this.#receive.lengthOf(count - 1) === 0) {
      while (count > 0 && this.#receive.lengthOf(count - 1) === 0) count -= 1;
      this.#end(port);
    }
    if (!port.config.up) return;
    const lan = port.lan;
    lan.switch.tick(nowMs);
    let bytes = 0;
    let broken = 0;
    for (let slot = 0; slot < count; slot += 1) {
      const length = this.#receive.lengthOf(slot);
      const to = lan.switch.route(this.#arena.bytes, this.#offsets[slot]!, length, port.number);
      if (to === drop) {
        broken += 1;
        continue;
      }
      bytes += length;
      if (to > hostPort) this.#queue(this.ports[to]!, slot);
      else if (to === hostPort || to === flood) this.#flood(port, slot, to, length, nowMs);
    }
    this.#count(port, column.rxFrames, count - broken, bytes);
    if (broken > 0) this.#add(port, column.rxDropped, broken);
    for (const target of this.#touched) this.#flush(target, port, nowMs);
    this.#touched.length = 0;
  }

  #flood(from: Port, slot: number, to: number, length: number, nowMs: number): void {
    const lan = from.lan;
    if (to === flood) {
      // By index: a port that ends while it is sent to stays in the list until detached.
      for (let index = 0; index < lan.ports.length; index += 1) {
        const port = lan.ports[index]!;
        if (port !== from) this.#queue(port, slot | floodedBit);
      }
    }
    lan.host.handle(this.#arena.bytes, this.#offsets[slot]!, length, from.number, nowMs);
  }

  #queue(port: Port, slot: number): void {
    if (port.closed || !port.config.up) return;
    if (port.outCount === 0) this.#touched.push(port);
    port.out[port.outCount] = slot;
    port.outCount += 1;
  }

  /** Sends what was queued for a port; what does not go now waits or is lost. */
  #flush(port: Port, from: Port, nowMs: number): void {
    const count = port.outCount;
    port.outCount = 0;
    if (port.full) return this.#keep(port, from, 0, count);
    let bytes = 0;
    for (let index = 0; index < count; index += 1) {
      const slot = port.out[index]! & slotMask;
      const length = this.#receive.lengthOf(slot);
      bytes += length;
      this.#send.put(index, this.#arena.addressLow[slot]!, this.#arena.addressHigh[slot]!, length);
    }
    let sent = 0;
    while (sent < count) {
      const result = this.#send.send(port.fd, sent, count - sent);
      if (result > 0) {
        sent += result;
        continue;
      }
      if (!this.#skipFailed(port, from, sent, count, nowMs)) {
        for (let index = sent; index < count; index += 1) {
          bytes -= this.#receive.lengthOf(port.out[index]! & slotMask);
        }
        this.#count(port, column.txFrames, sent, bytes);
        return;
      }
      // A frame this socket can never take (larger than its buffer): lost, the rest goes on.
      bytes -= this.#receive.lengthOf(port.out[sent]! & slotMask);
      this.#count(port, column.txFrames, -1, 0);
      this.#lose(port, 1);
      sent += 1;
    }
    this.#count(port, column.txFrames, sent, bytes);
  }

  /** After a failed send: true to skip one frame and go on, false when the batch is done with. */
  #skipFailed(port: Port, from: Port, sent: number, count: number, nowMs: number): boolean {
    const code = errnoName();
    if (code === 'EMSGSIZE') return true;
    if (code !== 'EAGAIN' && code !== 'ENOBUFS' && code !== 'EINTR') {
      this.#lose(port, count - sent);
      return false;
    }
    port.full = true;
    port.stalled = false;
    port.fullSinceMs = nowMs;
    this.#full.add(port);
    this.#setInterest(port);
    this.#keep(port, from, sent, count);
    return false;
  }

  /** For a full port: what fits into its ring waits there, and so does the sender. */
  #keep(port: Port, from: Port, first: number, count: number): void {
    if (port.stalled) return this.#lose(port, count - first);
    let lost = 0;
    let direct = false;
    for (let index = first; index < count; index += 1) {
      const slot = port.out[index]! & slotMask;
      if ((port.out[index]! & floodedBit) === 0) direct = true;
      const length = this.#receive.lengthOf(slot);
      if (!port.ring.push(this.#arena.bytes, this.#offsets[slot]!, length)) lost += 1;
    }
    if (lost > 0) this.#lose(port, lost);
    if (direct && from.waitsFor === null) {
      from.waitsFor = port;
      port.waiters.push(from);
      this.#setInterest(from);
    }
  }

  /** A full port has room again: first what waited, then those who waited. */
  #drain(port: Port): void {
    if (!port.full) return;
    const ring = port.ring;
    while (ring.count > 0) {
      const base = addressOf(ring.bytes) + BigInt(ring.peekOffset());
      const length = ring.peekLength();
      this.#send.put(0, Number(base & 0xffffffffn), Number(base >> 32n), length);
      const result = this.#send.send(port.fd, 0, 1);
      if (result !== 1 && isFull()) return;
      if (result === 1) this.#count(port, column.txFrames, 1, length);
      else this.#lose(port, 1);
      ring.shift();
    }
    this.#unfill(port);
    this.#setInterest(port);
  }

  #unfill(port: Port): void {
    port.full = false;
    port.stalled = false;
    this.#full.delete(port);
    this.#release(port);
  }

  #release(port: Port): void {
    for (const waiter of port.waiters) {
      waiter.waitsFor = null;
      this.#setInterest(waiter);
    }
    port.waiters.length = 0;
  }

  #end(port: Port): void {
    this.#shut(port);
    this.onClosed(port);
  }

  #shut(port: Port): void {
    if (port.closed) return;
    this.#poll.remove(port.fd);
    port.closed = true;
    this.#unfill(port);
    if (port.waitsFor !== null) {
      const waiters = port.waitsFor.waiters;
      waiters.splice(waiters.indexOf(port), 1);
      port.waitsFor = null;
    }
    port.ring.clear();
  }

  #setInterest(port: Port): void {
    if (port.closed) return;
    const interest = (port.waitsFor === null ? readable : 0) | (port.full ? writable : 0);
    if (interest === port.interest) return;
    port.interest = interest;
    this.#poll.change(port.fd, interest, port.number);
  }

  #lose(port: Port, count: number): void {
    this.#add(port, column.txDropped, count);
  }

  #add(port: Port, cell: number, count: number): void {
    this.#cells[port.row + cell]! += count;
    this.#cells[port.lan.row + cell]! += count;
  }

  /** Frames, and the bytes in the column after. */
  #count(port: Port, framesCell: number, frames: number, bytes: number): void {
    this.#add(port, framesCell, frames);
    this.#add(port, framesCell + 1, bytes);
  }
}

const floodedBit = 0x8000;
const slotMask = 0x7fff;

function isFull(): boolean {
  const code = errnoName();
  return code === 'EAGAIN' || code === 'ENOBUFS' || code === 'EINTR';
}

