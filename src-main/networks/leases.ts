/**
 * Who has which address in a /24, by hardware address. The address a station gets follows from
 * its MAC alone where it is free, so it stays the same over restarts, of the LAN as well. Bounded
 * by the subnet: one lease per address of the pool. Time is passed in, in monotonic milliseconds.
 */

export interface Lease {
  mac: number;
  address: number;
  /** The switch port it was asked for through. */
  port: number;
  hostName: string | undefined;
  /** Milliseconds on the clock that was passed in. An offer is a lease that ends soon. */
  endsMs: number;
  bound: boolean;
}

export const poolFirst = 10;
export const poolLast = 250;

export class LeaseTable {
  readonly #network: number;
  readonly #byAddress = new Map<number, Lease>();
  readonly #byMac = new Map<number, Lease>();
  /** Addresses somebody uses or refused without a lease, and until when we keep off them. */
  readonly #avoided = new Map<number, { mac: number; untilMs: number }>();

  /** `network` is the /24's address, e.g. 10.7.0.0 as a number. */
  constructor(network: number) {
    this.#network = network >>> 0;
  }

  contains(address: number): boolean {
    return (address & 0xffffff00) >>> 0 === this.#network;
  }

  byMac(mac: number): Lease | undefined {
    return this.#byMac.get(mac);
  }

  byAddress(address: number): Lease | undefined {
    return this.#byAddress.get(address);
  }

  /** The address this station should have: its own, the one it asks for, the one its MAC gives. */
  choose(mac: number, wanted: number | undefined, nowMs: number): number | undefined {
    const held = this.#byMac.get(mac);
    if (held !== undefined && this.isFreeFor(held.address, mac, nowMs)) return held.address;
    if (wanted !== undefined && this.isFreeFor(wanted, mac, nowMs)) return wanted;
    const size = poolLast - poolFirst + 1;
    const start = mixed(mac) % size;
    for (let step = 0; step < size; step += 1) {
      const address = this.#network + poolFirst + ((start + step) % size);
      if (this.isFreeFor(address, mac, nowMs)) return address;
    }
    return undefined;
  }

  /** In the pool, leased to nobody else now, and not seen in other hands. */
  isFreeFor(address: number, mac: number, nowMs: number): boolean {
    const host = address - this.#network;
    if (!this.contains(address) || host < poolFirst || host > poolLast) return false;
    const avoided = this.#avoided.get(address);
    if (avoided !== undefined && avoided.mac !== mac && avoided.untilMs > nowMs) return false;
    const lease = this.#byAddress.get(address);
    return lease === undefined || lease.mac === mac || lease.endsMs <= nowMs;
  }

  /** Precondition: `isFreeFor(address, mac)`. */
  grant(lease: Lease): void {
    const before = this.#byMac.get(lease.mac);
    if (before !== undefined) this.#byAddress.delete(before.address);
    const holder = this.#byAddress.get(lease.address);
    if (holder !== undefined) this.#byMac.delete(holder.mac);
    this.#byAddress.set(lease.address, lease);
    this.#byMac.set(lease.mac, lease);
  }

  release(mac: number): void {
    const lease = this.#byMac.get(mac);
    if (lease === undefined) return;
    this.#byMac.delete(mac);
    this.#byAddress.delete(lease.address);
  }

  /** Keeps off an address that another station uses (an ARP of its own) or that was declined. */
  avoid(address: number, mac: number, untilMs: number): void {
    if (this.contains(address)) this.#avoided.set(address, { mac, untilMs });
  }

  /** Who was last seen using an address without a lease; undefined once that is long ago. */
  seenUser(address: number, nowMs: number): number | undefined {
    const avoided = this.#avoided.get(address);
    return avoided !== undefined && avoided.untilMs > nowMs ? avoided.mac : undefined;
  }

  /** The address a station without a lease was seen using. */
  seenAddress(mac: number, nowMs: number): number | undefined {
    for (const [address, seen] of this.#avoided) {
      if (seen.mac === mac && seen.untilMs > nowMs) return address;
    }
    return undefined;
  }

  /** How many addresses stations behind one port hold now. */
  countOf(port: number, nowMs: number): number {
    let count = 0;
    for (const lease of this.#byAddress.values()) {
      if (lease.port === port && lease.endsMs > nowMs) count += 1;
    }
    return count;
  }

  current(nowMs: number): Lease[] {
    const all = [...this.#byAddress.values()];
    const leases = all.filter((lease) => lease.bound && lease.endsMs > nowMs);
    return leases.sort((a, b) => a.address - b.address);
  }
}

/** Spreads neighbouring MACs over the pool without clusters. */
function mixed(mac: number): number {
  let value = (mac >>> 0) ^ Math.floor(mac / 2 ** 32);
  value = Math.imul(value ^ (value >>> 16), 0x45d9f3b);
  return (value ^ (value >>> 15)) >>> 0;
}
