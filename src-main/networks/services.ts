/**
 * A LAN's own host at the first address of its /24: answers ARP and ping, leases addresses (DHCP,
 * RFC 2131) and knows the machines by name (DNS, RFC 1035: `name` and `name.lan`, A and PTR).
 * Use: `handle()` every frame that the switch floods or routes to the host; replies leave through
 * `send`, always to the port that asked. It forwards nothing anywhere: names of the outside world
 * are refused, packets to it are answered "network unreachable".
 *
 * Frames are hostile. What must always hold: no reply to a group or broadcast source, at most
 * `repliesPerSecondMax` replies a port, memory bounded by the subnet.
 */
import { checksum, etherType, write16, write32 } from '../base/internet.ts';
import { arpReply, arpRequest, readArp, writeArp, arpBytes } from './arp.ts';
import type { LanConfig, ServicesConfig } from './control.ts';
import {
  dhcpBytesMax,
  dhcpClientPort,
  dhcpServerPort,
  dhcpType,
  option32,
  optionText,
  readDhcp,
  writeDhcp,
  type DhcpOption,
  type DhcpRequest,
} from './dhcp.ts';
import {
  dnsBytesMax,
  dnsCode,
  dnsPort,
  dnsType,
  readQuery,
  reverseAddress,
  writeAnswer,
  type DnsAnswer,
  type DnsQuery,
} from './dns.ts';
import {
  broadcastMac,
  ethernetHeaderBytes,
  isGroupMac,
  readEthernet,
  writeEthernet,
} from './ethernet.ts';
import {
  ipProtocol,
  ipv4HeaderBytes,
  readIpv4,
  readUdp,
  udpHeaderBytes,
  writeIpv4,
  writeUdp,
  type Ipv4Packet,
  type UdpDatagram,
} from './ipv4.ts';
import { LeaseTable, type Lease } from './leases.ts';
import { frameBytesMax, portsMax } from './switch.ts';

/** What is plugged into a port, as the main thread told it. */
export interface Station {
  port: number;
  machineName: string;
  mac: number;
}

export interface ServicesParts {
  config: LanConfig;
  stations: () => Iterable<Station>;
  send: (port: number, frame: Uint8Array, length: number) => void;
  onLeases: (leases: Lease[]) => void;
}

export const leaseMs = 12 * 3600 * 1000;
const offerMs = 60_000;
const avoidMs = 600_000;
const leasesPerPortMax = 32;
export const repliesPerSecondMax = 2000;
const ttlSeconds = 10;
const anyAddress = 0xffffffff;

export class LanServices {
  readonly leases: LeaseTable;
  readonly address: number;
  readonly #parts: ServicesParts;
  readonly #frame = new Uint8Array(frameBytesMax);
  readonly #replies = new Uint16Array(portsMax);
  #replySecond = -1;

  constructor(parts: ServicesParts) {
    this.#parts = parts;
    this.leases = new LeaseTable(parts.config.network);
    this.address = (parts.config.network + 1) >>> 0;
  }

  setServices(services: ServicesConfig): void {
    this.#parts.config.services = services;
  }

  /** Takes over a lease that an earlier switch has given: its machine knows of no change. */
  restore(station: Station, address: number, nowMs: number): void {
    const { mac, port } = station;
    if (!this.leases.isFreeFor(address, mac, nowMs)) return;
    const endsMs = nowMs + leaseMs;
    this.leases.grant({ mac, address, port, hostName: undefined, endsMs, bound: true });
    this.#parts.onLeases(this.leases.current(nowMs));
  }

  handle(bytes: Uint8Array, offset: number, length: number, port: number, nowMs: number): void {
    const frame = bytes.subarray(offset, offset + length);
    const header = readEthernet(frame);
    if (header === undefined || isGroupMac(header.source)) return;
    const payload = frame.subarray(ethernetHeaderBytes);
    if (header.type === etherType.arp) {
      this.#handleArp(payload, header.source, port, nowMs);
    } else if (header.type === etherType.ipv4) {
      const packet = readIpv4(payload);
      if (packet !== undefined) this.#handleIpv4(packet, header.source, port, nowMs);
    }
  }

  #handleArp(payload: Uint8Array, source: number, port: number, nowMs: number): void {
    const arp = readArp(payload);
    if (arp === undefined || arp.senderMac !== source) return;
    // A station that shows an address it has no lease for: nobody else shall be given it.
    const shown = arp.senderAddress;
    if (
      shown !== 0 &&
      shown !== this.address &&
      this.leases.isFreeFor(shown, source, nowMs) &&
      this.leases.byMac(source)?.address !== shown
    ) {
      this.leases.avoid(shown, source, nowMs + avoidMs);
    }
    if (arp.operation !== arpRequest || arp.targetAddress !== this.address) return;
    if (!this.#mayReply(port, nowMs)) return;
    writeArp(this.#frame.subarray(ethernetHeaderBytes), {
      operation: arpReply,
      senderMac: this.#parts.config.hostMac,
      senderAddress: this.address,
      targetMac: source,
      targetAddress: arp.senderAddress,
    });
    this.#sendFrame(port, source, etherType.arp, arpBytes);
  }

  #handleIpv4(packet: Ipv4Packet, source: number, port: number, nowMs: number): void {
    const forUs = packet.destination === this.address;
    const toAll =
      packet.destination === anyAddress || packet.destination === (this.address | 0xff) >>> 0;
    const udp = readUdp(packet);
    if (udp?.destinationPort === dhcpServerPort && (forUs || toAll)) {
      if (this.#parts.config.services.dhcp) this.#handleDhcp(udp, source, port, nowMs);
      return;
    }
    // Group, loopback and nameless senders get no answer: it could only hit somebody else.
    if (toAll || packet.destination >>> 28 === 14 || !this.leases.contains(packet.source)) return;
    if (!this.#mayReply(port, nowMs)) return;
    if (!forUs) {
      this.#unreachable(packet, source, port, 0);
    } else if (packet.protocol === ipProtocol.icmp) {
      this.#handleEcho(packet, source, port);
    } else if (udp?.destinationPort === dnsPort && this.#parts.config.services.dns) {
      this.#handleDns(packet, udp, source, port, nowMs);
    } else if (udp !== undefined || packet.protocol === ipProtocol.tcp) {
      this.#unreachable(packet, source, port, 3);
    }
  }

  /** ICMP echo, answered with what came (RFC 792). */
  #handleEcho(packet: Ipv4Packet, source: number, port: number): void {
    const asked = packet.payload;
    if (asked.length < 8 || asked[0] !== 8 || checksum(asked) !== 0) return;
    const answer = this.#ipPayload(asked.length);
    if (answer === undefined) return;
    answer.set(asked);
    write32(answer, 0, 0);
    write16(answer, 2, checksum(answer));
    this.#sendIpv4(port, source, packet.source, ipProtocol.icmp, asked.length);
  }

  /** Destination unreachable, carrying the start of what could not be delivered. */
  #unreachable(packet: Ipv4Packet, source: number, port: number, code: number): void {
    if (packet.protocol === ipProtocol.icmp && packet.payload[0] !== 8) return;
    const carried = Math.min(8, packet.payload.length);
    const size = 8 + ipv4HeaderBytes + carried;
    const answer = this.#ipPayload(size)!;
    answer.fill(0);
    answer[0] = 3;
    answer[1] = code;
    // Rebuilt and not copied, since options were left out; addresses and ports are what counts.
    writeIpv4(answer.subarray(8), packet, packet.payload.length);
    answer.set(packet.payload.subarray(0, carried), 8 + ipv4HeaderBytes);
    write16(answer, 2, checksum(answer));
    this.#sendIpv4(port, source, packet.source, ipProtocol.icmp, size);
  }

  #handleDhcp(udp: UdpDatagram, source: number, port: number, nowMs: number): void {
    const request = readDhcp(udp.payload);
    if (request === undefined || request.mac !== source || request.relayAddress !== 0) return;
    if (!this.#mayReply(port, nowMs)) return;
    switch (request.type) {
      case dhcpType.discover:
        return this.#offer(request, port, nowMs);
      case dhcpType.request:
        return this.#grant(request, port, nowMs);
      case dhcpType.decline:
        return this.#decline(request, nowMs);
      case dhcpType.release:
        return this.#release(request, nowMs);
      case dhcpType.inform:
        return this.#answerDhcp(request, port, dhcpType.ack, 0);
    }
  }

  #offer(request: DhcpRequest, port: number, nowMs: number): void {
    const address = this.leases.choose(request.mac, request.requestedAddress, nowMs);
    if (address === undefined || !this.#mayHold(request.mac, port, nowMs)) return;
    const held = this.leases.byMac(request.mac);
    // A machine that starts over keeps its lease until it has taken up the offer.
    if (held === undefined || held.address !== address || held.endsMs <= nowMs) {
      this.leases.grant({
        mac: request.mac,
        address,
        port,
        hostName: request.hostName,
        endsMs: nowMs + offerMs,
        bound: false,
      });
    }
    this.#answerDhcp(request, port, dhcpType.offer, address);
  }

  #grant(request: DhcpRequest, port: number, nowMs: number): void {
    if (request.serverAddress !== undefined && request.serverAddress !== this.address) {
      // It took another server's offer; ours is free again.
      if (this.leases.byMac(request.mac)?.bound === false) this.leases.release(request.mac);
      return;
    }
    const wanted = request.requestedAddress ?? request.clientAddress;
    if (wanted === 0) return;
    const free = this.leases.isFreeFor(wanted, request.mac, nowMs);
    if (!free || !this.#mayHold(request.mac, port, nowMs)) {
      return this.#answerDhcp(request, port, dhcpType.nak, 0);
    }
    this.leases.grant({
      mac: request.mac,
      address: wanted,
      port,
      hostName: request.hostName,
      endsMs: nowMs + leaseMs,
      bound: true,
    });
    this.#answerDhcp(request, port, dhcpType.ack, wanted);
    this.#parts.onLeases(this.leases.current(nowMs));
  }

  #decline(request: DhcpRequest, nowMs: number): void {
    const lease = this.leases.byMac(request.mac);
    if (lease === undefined || lease.address !== request.requestedAddress) return;
    this.leases.release(request.mac);
    this.leases.avoid(lease.address, 0, nowMs + avoidMs);
    this.#parts.onLeases(this.leases.current(nowMs));
  }

  #release(request: DhcpRequest, nowMs: number): void {
    const lease = this.leases.byMac(request.mac);
    if (lease === undefined || lease.address !== request.clientAddress) return;
    // Kept as ended, so that the machine finds its address again while nobody needs it.
    this.leases.grant({ ...lease, bound: false, endsMs: nowMs });
    this.#parts.onLeases(this.leases.current(nowMs));
  }

  /** One port cannot take the whole pool with made-up addresses. */
  #mayHold(mac: number, port: number, nowMs: number): boolean {
    const held = this.leases.byMac(mac);
    if (held !== undefined && held.port === port && held.endsMs > nowMs) return true;
    return this.leases.countOf(port, nowMs) < leasesPerPortMax;
  }

  #answerDhcp(request: DhcpRequest, port: number, type: number, address: number): void {
    const nak = type === dhcpType.nak;
    const bytes = this.#ipPayload(udpHeaderBytes + dhcpBytesMax)!;
    const size = writeDhcp(bytes.subarray(udpHeaderBytes), request, {
      type,
      clientAddress: nak ? 0 : request.clientAddress,
      yourAddress: address,
      serverAddress: nak ? 0 : this.address,
      options: nak ? [option32(54, this.address)] : this.#options(request, address),
    });
    let to = address;
    let mac = request.mac;
    if (nak || (request.clientAddress === 0 && request.broadcast)) {
      to = anyAddress;
      mac = broadcastMac;
    } else if (request.clientAddress !== 0) {
      to = request.clientAddress;
    }
    this.#sendUdp(port, mac, to, dhcpServerPort, dhcpClientPort, size);
  }

  #options(request: DhcpRequest, address: number): DhcpOption[] {
    const options: DhcpOption[] = [
      option32(54, this.address),
      option32(1, 0xffffff00),
      option32(28, (this.address | 0xff) >>> 0),
      optionText(15, 'lan'),
    ];
    if (address !== 0) {
      const seconds = leaseMs / 1000;
      options.push(
        option32(51, seconds),
        option32(58, seconds / 2),
        option32(59, (seconds * 7) / 8),
      );
    }
    if (this.#parts.config.services.dns) options.push(option32(6, this.address));
    const name = this.#machineNameOf(request.mac);
    if (name !== undefined) options.push(optionText(12, name));
    return options;
  }

  #handleDns(packet: Ipv4Packet, udp: UdpDatagram, mac: number, port: number, nowMs: number): void {
    const query = readQuery(udp.payload);
    if (query === undefined) return;
    const bytes = this.#ipPayload(udpHeaderBytes + dnsBytesMax)!;
    const answer = this.#answerTo(query, nowMs);
    const size = writeAnswer(bytes.subarray(udpHeaderBytes), query, answer);
    this.#sendUdp(port, mac, packet.source, dnsPort, udp.sourcePort, size);
  }

  #answerTo(query: DnsQuery, nowMs: number): DnsAnswer {
    const plain = { authoritative: true, ttlSeconds };
    if (query.failure !== undefined) {
      return { code: query.failure, authoritative: false, ttlSeconds };
    }
    const refused = { code: dnsCode.refused, authoritative: false, ttlSeconds };
    if (!query.internet) return refused;
    const asked = reverseAddress(query.name);
    if (asked !== undefined) {
      if (!this.leases.contains(asked)) return refused;
      const name = this.nameOf(asked, nowMs);
      if (name === undefined) return { ...plain, code: dnsCode.nameError };
      const isPointer = query.type === dnsType.ptr || query.type === dnsType.any;
      return { ...plain, code: dnsCode.noError, ...(isPointer && { pointer: `${name}.lan` }) };
    }
    const label = query.name.endsWith('.lan') ? query.name.slice(0, -4) : query.name;
    if (label === '' || label.includes('.')) return refused;
    const addresses = this.addressesOf(label, nowMs);
    if (addresses === undefined) return { ...plain, code: dnsCode.nameError };
    const wanted = query.type === dnsType.a || query.type === dnsType.any;
    return { ...plain, code: dnsCode.noError, addresses: wanted ? addresses : [] };
  }

  /** Addresses of a machine or of a station that named itself; undefined: no such name. */
  addressesOf(label: string, nowMs: number): number[] | undefined {
    if (label === 'gateway') return [this.address];
    let known = false;
    const addresses: number[] = [];
    for (const station of this.#parts.stations()) {
      if (asLabel(station.machineName) !== label) continue;
      known = true;
      const address = this.#addressOf(station.mac, nowMs);
      if (address !== undefined) addresses.push(address);
    }
    if (known) return addresses;
    for (const lease of this.leases.current(nowMs)) {
      if (lease.hostName === label) addresses.push(lease.address);
    }
    return addresses.length > 0 ? addresses : undefined;
  }

  nameOf(address: number, nowMs: number): string | undefined {
    if (address === this.address) return 'gateway';
    const lease = this.leases.byAddress(address);
    const leased = lease !== undefined && lease.bound && lease.endsMs > nowMs;
    const mac = leased ? lease.mac : this.leases.seenUser(address, nowMs);
    if (mac === undefined) return undefined;
    return this.#machineNameOf(mac) ?? (leased ? lease.hostName : undefined);
  }

  #addressOf(mac: number, nowMs: number): number | undefined {
    const lease = this.leases.byMac(mac);
    if (lease !== undefined && lease.bound && lease.endsMs > nowMs) return lease.address;
    return this.leases.seenAddress(mac, nowMs);
  }

  #machineNameOf(mac: number): string | undefined {
    for (const station of this.#parts.stations()) {
      if (station.mac === mac) return asLabel(station.machineName);
    }
    return undefined;
  }

  #mayReply(port: number, nowMs: number): boolean {
    const second = Math.floor(nowMs / 1000);
    if (second !== this.#replySecond) {
      this.#replySecond = second;
      this.#replies.fill(0);
    }
    if (this.#replies[port]! >= repliesPerSecondMax) return false;
    this.#replies[port]! += 1;
    return true;
  }

  #ipPayload(size: number): Uint8Array | undefined {
    const start = ethernetHeaderBytes + ipv4HeaderBytes;
    return start + size <= frameBytesMax ? this.#frame.subarray(start, start + size) : undefined;
  }

  #sendUdp(
    port: number,
    mac: number,
    to: number,
    from: number,
    toPort: number,
    size: number,
  ): void {
    const bytes = this.#frame.subarray(ethernetHeaderBytes + ipv4HeaderBytes);
    const addresses = { source: this.address, destination: to };
    const total = writeUdp(bytes, addresses, { sourcePort: from, destinationPort: toPort }, size);
    this.#sendIpv4(port, mac, to, ipProtocol.udp, total);
  }

  #sendIpv4(port: number, mac: number, to: number, protocol: number, size: number): void {
    const header = { source: this.address, destination: to, protocol };
    const total = writeIpv4(this.#frame.subarray(ethernetHeaderBytes), header, size);
    this.#sendFrame(port, mac, etherType.ipv4, total);
  }

  #sendFrame(port: number, mac: number, type: number, size: number): void {
    const source = this.#parts.config.hostMac;
    writeEthernet(this.#frame, { destination: mac, source, type });
    this.#parts.send(port, this.#frame, ethernetHeaderBytes + size);
  }
}

/** A machine's name as one DNS label: lower case, what cannot stand in it becomes a hyphen. */
export function asLabel(name: string): string {
  const label = name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 63);
  return label.replace(/^-+|-+$/g, '') || 'machine';
}
