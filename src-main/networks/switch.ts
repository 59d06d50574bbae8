/**
 * A learning layer-2 switch (IEEE 802.1D, 7.7–7.9): given one frame and the port it came in at,
 * says where it goes. Use: `tick(now)` once per batch, then `route()` per frame; the answer is a
 * port number, or one of `flood`, `filter` (goes nowhere, and that is right) and `drop` (broken).
 *
 * The frames are hostile. What must always hold: the table never grows beyond its limits, a
 * lookup looks at `probeMax` places at most whatever addresses a guest makes up, a group address
 * is never learned, and nothing outside `offset .. offset + length` is read.
 *
 * `route` is the hot path: it allocates nothing and keeps an address as two numbers.
 */
import { assert } from '../base/assert.ts';

export const flood = -1;
export const filter = -2;
export const drop = -3;

/** The smallest frame is a header, the largest an IPv4 datagram of any size behind one. */
export const frameBytesMin = 14;
export const frameBytesMax = 65550;

/** The port number of the LAN's own host (its gateway address), present in every switch. */
export const hostPort = 0;
export const portsMax = 1024;

export interface SwitchOptions {
  /** Addresses remembered for the whole LAN, and behind any one port. */
  addressesMax?: number;
  addressesPerPortMax?: number;
  ageingMs?: number;
  /** Any number that guests cannot guess, so that they cannot make addresses collide. */
  seed?: number;
}

export interface LearnedAddress {
  mac: number;
  port: number;
  ageMs: number;
}

const probeMax = 32;
const free = -1;

export class LanSwitch {
  readonly #addressesMax: number;
  readonly #perPortMax: number;
  readonly #ageingS: number;
  readonly #seed: number;
  readonly #mask: number;
  readonly #high: Uint16Array;
  readonly #low: Uint32Array;
  readonly #port: Int16Array;
  readonly #seenS: Uint32Array;
  readonly #perPort = new Uint16Array(portsMax);
  readonly #joined = new Uint8Array(portsMax);
  #count = 0;
  #nowS = 0;
  #sweptS = 0;
  #hostHigh = 0;
  #hostLow = 0;

  constructor(options: SwitchOptions = {}) {
    this.#addressesMax = options.addressesMax ?? 4096;
    this.#perPortMax = Math.min(options.addressesPerPortMax ?? 1024, this.#addressesMax);
    this.#ageingS = Math.ceil((options.ageingMs ?? 300_000) / 1000);
    this.#seed = (options.seed ?? 0) | 0;
    // At most half full, so that a stretch of `probeMax` taken places is rare.
    const places = 2 ** Math.ceil(Math.log2(this.#addressesMax * 2));
    this.#mask = places - 1;
    this.#high = new Uint16Array(places);
    this.#low = new Uint32Array(places);
    this.#port = new Int16Array(places).fill(free);
    this.#seenS = new Uint32Array(places);
  }

  /** The address of the LAN's own host: always known, and nobody else's to use. 0 for none. */
  setHost(mac: number): void {
    this.#hostHigh = Math.floor(mac / 2 ** 32);
    this.#hostLow = mac >>> 0;
  }

  join(port: number): void {
    assert(port > hostPort && port < portsMax, 'a switch port number is in range');
    this.#joined[port] = 1;
  }

  /** Forgets the port and all that was learned there. */
  leave(port: number): void {
    assert(port > hostPort && port < portsMax, 'a switch port number is in range');
    this.#joined[port] = 0;
    this.#rebuild();
  }

  /** Time as everything below sees it; monotonic milliseconds. */
  tick(nowMs: number): void {
    this.#nowS = Math.floor(nowMs / 1000);
  }

  /** Learns the sender, looks up the receiver. */
  route(bytes: Uint8Array, offset: number, length: number, from: number): number {
    if (length < frameBytesMin || length > frameBytesMax) return drop;
    const high = (bytes[offset]! << 8) | bytes[offset + 1]!;
    const low = read32(bytes, offset + 2);
    const sourceHigh = (bytes[offset + 6]! << 8) | bytes[offset + 7]!;
    const sourceLow = read32(bytes, offset + 8);
    // No station sends from a group address, from none, or from the LAN's own.
    if ((sourceHigh & 0x0100) !== 0 || (sourceHigh | sourceLow) === 0) return drop;
    if (sourceLow === this.#hostLow && sourceHigh === this.#hostHigh) return drop;
    this.#learn(sourceHigh, sourceLow, from);
    if ((high & 0x0100) !== 0) return isReserved(high, low) ? filter : flood;
    if (low === this.#hostLow && high === this.#hostHigh) return hostPort;
    const place = this.#find(high, low);
    if (place < 0 || this.#isOld(place)) return flood;
    const to = this.#port[place]!;
    return to === from ? filter : to;
  }

  /** What is known now, for people to look at. */
  addresses(): LearnedAddress[] {
    const known: LearnedAddress[] = [];
    for (let place = 0; place <= this.#mask; place += 1) {
      if (this.#port[place] === free || this.#isOld(place)) continue;
      known.push({
        mac: this.#high[place]! * 2 ** 32 + this.#low[place]!,
        port: this.#port[place]!,
        ageMs: (this.#nowS - this.#seenS[place]!) * 1000,
      });
    }
    return known;
  }

  #learn(high: number, low: number, from: number): void {
    const place = this.#find(high, low);
    if (place >= 0) {
      const before = this.#port[place]!;
      if (before !== from) {
        if (this.#perPort[from]! >= this.#perPortMax) return;
        this.#perPort[before]! -= 1;
        this.#perPort[from]! += 1;
        this.#port[place] = from;
      }
      this.#seenS[place] = this.#nowS;
      return;
    }
    if (this.#count >= this.#addressesMax || this.#perPort[from]! >= this.#perPortMax) {
      // At a limit, what has aged makes room; once a second, so a flood cannot make us sweep.
      if (this.#sweptS === this.#nowS) return;
      this.#rebuild();
      if (this.#count >= this.#addressesMax || this.#perPort[from]! >= this.#perPortMax) return;
    }
    this.#insert(high, low, from, this.#nowS);
  }

  #insert(high: number, low: number, port: number, seenS: number): void {
    let place = this.#hash(high, low);
    for (let probe = 0; probe < probeMax; probe += 1) {
      const holder = this.#port[place]!;
      if (holder === free || this.#isOld(place)) {
        if (holder === free) this.#count += 1;
        else this.#perPort[holder]! -= 1;
        this.#high[place] = high;
        this.#low[place] = low;
        this.#port[place] = port;
        this.#seenS[place] = seenS;
        this.#perPort[port]! += 1;
        return;
      }
      place = (place + 1) & this.#mask;
    }
    // Too crowded here: it stays unknown and is flooded, which is slower and still right.
  }

  #find(high: number, low: number): number {
    let place = this.#hash(high, low);
    for (let probe = 0; probe < probeMax; probe += 1) {
      if (this.#port[place] === free) return -1;
      if (this.#low[place] === low && this.#high[place] === high) return place;
      place = (place + 1) & this.#mask;
    }
    return -1;
  }

  #hash(high: number, low: number): number {
    let mixed = Math.imul(low ^ this.#seed, 0x9e3779b1) ^ Math.imul(high, 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x2c1b3c6d);
    return (mixed ^ (mixed >>> 13)) & this.#mask;
  }

  #isOld(place: number): boolean {
    return this.#nowS - this.#seenS[place]! >= this.#ageingS;
  }

  /** Keeps what is young and behind a joined port, and so closes the gaps in the probe chains. */
  #rebuild(): void {
    this.#sweptS = this.#nowS;
    const kept: [number, number, number, number][] = [];
    for (let place = 0; place <= this.#mask; place += 1) {
      const port = this.#port[place]!;
      if (port === free || this.#joined[port] === 0 || this.#isOld(place)) continue;
      kept.push([this.#high[place]!, this.#low[place]!, port, this.#seenS[place]!]);
    }
    this.#port.fill(free);
    this.#perPort.fill(0);
    this.#count = 0;
    for (const [high, low, port, seenS] of kept) this.#insert(high, low, port, seenS);
  }
}

function read32(bytes: Uint8Array, at: number): number {
  const high = (bytes[at]! << 24) | (bytes[at + 1]! << 16);
  return (high | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

/** 01-80-C2-00-00-0X: spoken between neighbours, never forwarded (802.1D table 7-10). */
function isReserved(high: number, low: number): boolean {
  return high === 0x0180 && (low & 0xfffffff0) >>> 0 === 0xc2000000;
}
