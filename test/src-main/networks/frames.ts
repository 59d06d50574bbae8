/** Frames and small protocol clients for the network tests, made with the codecs themselves. */
import { read16, read32, write16, write32, write48 } from '../../../src-main/base/internet.ts';
import { broadcastMac, formatMac, writeEthernet } from '../../../src-main/networks/ethernet.ts';
import { formatAddress, readIpv4, readUdp, writeIpv4,
  writeUdp } from '../../../src-main/networks/ipv4.ts';

export const macNumber = (n: number): number => 0x0200 * 2 ** 32 + n;
export const macOf = (n: number): string => formatMac(macNumber(n));

/** A frame of an unassigned type from machine to machine. */
export function frameOf(to: number, from: number, text: string): Uint8Array {
  const payload = new TextEncoder().encode(text);
  const frame = new Uint8Array(14 + payload.length);
  writeEthernet(frame, { destination: macNumber(to), source: macNumber(from), type: 0x88b5 });
  frame.set(payload, 14);
  return frame;
}

export interface UdpOptions {
  destination?: number;
  source: number;
  from: number;
  to: number;
  sourcePort: number;
  destinationPort: number;
}

export function udpFrame(payload: Uint8Array, options: UdpOptions): Uint8Array {
  const frame = new Uint8Array(42 + payload.length);
  writeEthernet(frame, {
    destination: options.destination ?? broadcastMac, source: options.source, type: 0x0800,
  });
  frame.set(payload, 42);
  const addresses = { source: options.from, destination: options.to };
  const size = writeUdp(frame.subarray(34), addresses, options, payload.length);
  writeIpv4(frame.subarray(14), { ...addresses, protocol: 17 }, size);
  return frame;
}

export function udpPayload(frame: Uint8Array): { from: number; to: number; payload: Uint8Array } {
  const packet = readIpv4(frame.subarray(14))!;
  return { from: packet.source, to: packet.destination, payload: readUdp(packet)!.payload };
}

export interface DhcpReply {
  type: number;
  address: number;
  text: string;
  options: Map<number, Uint8Array>;
}

/** A DHCP client of one machine, as far as messages go. */
export function dhcpClient(n: number, hostName?: string) {
  const message = (type: number, options: [number, Uint8Array][],
    clientAddress = 0): Uint8Array => {
    const bytes = new Uint8Array(300);
    bytes.set([1, 1, 6, 0, 0, 0, 0, n]);
    write32(bytes, 12, clientAddress);
    write48(bytes, 28, macNumber(n));
    write32(bytes, 236, 0x63825363);
    let at = 240;
    const all: [number, Uint8Array][] = [[53, Uint8Array.of(type)], ...options];
    if (hostName !== undefined) all.push([12, new TextEncoder().encode(hostName)]);
    for (const [code, value] of all) {
      bytes.set([code, value.length, ...value], at);
      at += 2 + value.length;
    }
    bytes[at] = 255;
    return udpFrame(bytes, {
      source: macNumber(n), from: clientAddress, to: 0xffffffff, sourcePort: 68,
        destinationPort: 67,
    });
  };
  const number = (value: number): Uint8Array => {
    const bytes = new Uint8Array(4);
    write32(bytes, 0, value);
    return bytes;
  };
  return {
    discover: (wanted?: number) => message(1, wanted === undefined ? [] : [[50, number(wanted)]]),
    request: (address: number, server?: number) =>
      message(3, server === undefined
        ? [[50, number(address)]]
        : [[50, number(address)], [54, number(server)]]),
    renew: (address: number) => message(3, [], address),
    decline: (address: number) => message(4, [[50, number(address)]]),
    release: (address: number) => message(7, [], address),
    inform: (address: number) => message(8, [], address),
    read: (frame: Uint8Array): DhcpReply => {
      const { payload } = udpPayload(frame);
      const options = new Map<number, Uint8Array>();
      for (let at = 240; payload[at] !== 255; at += 2 + payload[at + 1]!) {
        options.set(payload[at]!, payload.slice(at + 2, at + 2 + payload[at + 1]!));
      }
      const address = read32(payload, 16);
      return { type: options.get(53)![0]!, address, text: formatAddress(address), options };
    },
  };
}

export function dnsQuery(name: string, type: number, id = 7): Uint8Array {
  const encoder = new TextEncoder();
  const labels = name.split('.').flatMap((label) => [label.length, ...encoder.encode(label)]);
  const bytes = Uint8Array.from([0, id, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...labels, 0, 0, 0, 0, 1]);
  write16(bytes, bytes.length - 4, type);
  return bytes;
}

/** Code, flags and the raw records of an answer to one of our questions. */
export function dnsReply(bytes: Uint8Array, question: Uint8Array) {
  const records: { type: number; value: Uint8Array }[] = [];
  let at = question.length;
  for (let index = 0; index < read16(bytes, 6); index += 1) {
    const size = read16(bytes, at + 10);
    records.push({ type: read16(bytes, at + 2), value: bytes.slice(at + 12, at + 12 + size) });
    at += 12 + size;
  }
  return { id: read16(bytes, 0), code: bytes[3]! & 15, authoritative: (bytes[2]! & 4) !== 0,
    records };
}

/** A small seeded generator (mulberry32), so that a failing input can be made again. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(state ^ (state >>> 15), state | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
  };
}
