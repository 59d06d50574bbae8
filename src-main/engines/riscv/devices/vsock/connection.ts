/**
 * One connection between a program of the guest and one of the host, with credit both ways
 * (virtio 1.3, 5.10.6.3): neither side sends what the other has no room for.
 *
 *   asked ──host accepts──► open ──both have ended, or one resets──► over
 *   asking ──guest answers──► open
 *
 * Must hold: it keeps at most `roomBytes` and one piece of the host's, whatever the guest does;
 * a guest that sends more than it has credit for is cut off.
 */
import type { GuestStream, HostStream } from '../../ports.ts';
import { headerBytes, op, shutdown, writePacket, type Packet } from './packet.ts';

/** What may be on its way to the host's program, and what waits for the guest's before a pause. */
export const roomBytes = 1 << 18;
const waitingBytesMax = 1 << 16;

export class Connection implements GuestStream {
  readonly guestPort: number;
  readonly hostPort: number;
  private readonly host: HostStream;
  private state: 'asked' | 'asking' | 'open' | 'over';
  private readonly changed: (connection: Connection) => void;
  private wish: 'request' | 'response' | 'none';
  private wishCredit = false;
  private waiting: Uint8Array[] = [];
  private waitingBytes = 0;
  private paused = false;
  /** The host's program sends no more; it is gone; the guest knows of its last byte. */
  private ended = false;
  private gone = false;
  private saidEnd = false;
  private guestShut = 0;
  /** All modulo 2^32. */
  private sent = 0;
  private received = 0;
  private passedOn = 0;
  private toldPassedOn = 0;
  private guestRoom = 0;
  private guestPassedOn = 0;

  /** `changed` is called when it may have become `ready` or `over`. */
  constructor(
    ports: { guestPort: number; hostPort: number },
    begun: 'asked' | 'asking',
    host: HostStream,
    changed: (connection: Connection) => void,
  ) {
    this.guestPort = ports.guestPort;
    this.hostPort = ports.hostPort;
    this.host = host;
    this.state = begun;
    this.wish = begun === 'asking' ? 'request' : 'none';
    this.changed = changed;
  }

  get over(): boolean {
    return this.state === 'over';
  }

  /** Takes a packet of the guest's; false when it is to be answered with a reset, and is over. */
  take(packet: Packet): boolean {
    this.hear(packet);
    if (this.state === 'asking' && packet.op === op.response) {
      this.state = 'open';
      this.host.accepted(this.hostPort);
    } else if (packet.op === op.reset) this.cut();
    else if (this.state !== 'open' || !this.takeOpen(packet)) {
      this.cut();
      return false;
    }
    this.changed(this);
    return true;
  }

  /** Every packet says what room the guest has. */
  hear({ room, passedOn }: Packet): void {
    this.guestRoom = room;
    this.guestPassedOn = passedOn;
  }

  private takeOpen(packet: Packet): boolean {
    switch (packet.op) {
      case op.data:
        return this.takeData(packet.data);
      case op.creditUpdate:
        return true;
      case op.creditRequest:
        this.wishCredit = true;
        return true;
      case op.shutdown:
        return this.takeShutdown(packet.flags & shutdown.both);
      default:
        return false;
    }
  }

  private takeData(data: Uint8Array): boolean {
    const underWay = (this.received - this.passedOn) >>> 0;
    if ((this.guestShut & shutdown.send) !== 0 || data.length > roomBytes - underWay) return false;
    this.received = (this.received + data.length) >>> 0;
    if (data.length > 0) this.host.write(data, () => this.pass(data.length));
    return true;
  }

  private pass(bytes: number): void {
    this.passedOn = (this.passedOn + bytes) >>> 0;
    // Each update is a packet: rather few large ones.
    if ((this.passedOn - this.toldPassedOn) >>> 0 >= roomBytes / 4) this.wishCredit = true;
    this.changed(this);
  }

  /** False when both directions are done with, which a reset confirms. */
  private takeShutdown(flags: number): boolean {
    const before = this.guestShut;
    this.guestShut |= flags;
    if (this.guestShut === shutdown.both) return false;
    if ((this.guestShut & ~before & shutdown.send) !== 0) this.host.end();
    if ((this.guestShut & shutdown.receive) !== 0) this.forget();
    return true;
  }

  /** Whether it has something for the guest that the guest has room for. */
  get ready(): boolean {
    if (this.wish !== 'none') return true;
    if (this.state !== 'open') return false;
    if (this.waitingBytes > 0) return this.wishCredit || this.credit > 0;
    return this.wishCredit || (this.ended && !this.saidEnd) || this.gone;
  }

  private get credit(): number {
    return Math.max(0, this.guestRoom - ((this.sent - this.guestPassedOn) >>> 0));
  }

  /** The next packet, to be asked for when it is ready; it has up to `bytes` behind its header. */
  next(bytes: number): Uint8Array {
    if (this.wish !== 'none') {
      const asked = this.wish;
      this.wish = 'none';
      return this.packet(op[asked]);
    }
    if (this.waitingBytes > 0 && this.credit > 0 && bytes > 0) {
      return this.nextData(Math.min(this.credit, bytes));
    }
    if (this.wishCredit || this.waitingBytes > 0) return this.packet(op.creditUpdate);
    if (!this.saidEnd && this.ended) {
      this.saidEnd = true;
      return this.packet(op.shutdown, shutdown.send);
    }
    this.cut();
    return this.packet(op.reset);
  }

  private packet(what: number, flags = 0, dataBytes = 0): Uint8Array {
    this.wishCredit = false;
    this.toldPassedOn = this.passedOn;
    const { guestPort, hostPort, passedOn } = this;
    const header = { guestPort, hostPort, op: what, flags, room: roomBytes, passedOn };
    return writePacket(header, dataBytes);
  }

  private nextData(bytesMax: number): Uint8Array {
    const count = Math.min(bytesMax, this.waitingBytes);
    const packet = this.packet(op.data, 0, count);
    for (let at = headerBytes; at < packet.length; ) {
      const piece = this.waiting[0]!;
      const part = piece.subarray(0, packet.length - at);
      packet.set(part, at);
      at += part.length;
      if (part.length === piece.length) this.waiting.shift();
      else this.waiting[0] = piece.subarray(part.length);
    }
    this.waitingBytes -= count;
    this.sent = (this.sent + count) >>> 0;
    if (this.paused && this.waitingBytes < waitingBytesMax) {
      this.paused = false;
      this.host.resume();
    }
    return packet;
  }

  accept(): void {
    if (this.state !== 'asked') return;
    this.state = 'open';
    this.wish = 'response';
    this.changed(this);
  }

  write(bytes: Uint8Array): boolean {
    if (this.over || (this.guestShut & shutdown.receive) !== 0) return true;
    this.waiting.push(bytes);
    this.waitingBytes += bytes.length;
    this.paused = this.waitingBytes >= waitingBytesMax;
    this.changed(this);
    return !this.paused;
  }

  end(): void {
    this.ended = true;
    this.changed(this);
  }

  close(): void {
    if (this.over) return;
    this.gone = true;
    // Before it is open, and without an orderly end, what is left of it is of no use.
    if (this.state !== 'open' || !this.ended) this.forget();
    if (this.state === 'asking') this.wish = 'none';
    if (this.state !== 'open') this.state = 'open';
    this.changed(this);
  }

  /** It is over at once; what the host's program was sent before still reaches it. */
  cut(): void {
    if (this.over) return;
    this.state = 'over';
    this.wish = 'none';
    this.forget();
    if (!this.gone) this.host.close();
    this.changed(this);
  }

  private forget(): void {
    this.waiting = [];
    this.waitingBytes = 0;
    if (this.paused) this.host.resume();
    this.paused = false;
  }
}
