/**
 * IPv4, UDP and ICMP as far as a LAN's own host needs them (RFC 791, 768, 792). Addresses are
 * 32-bit numbers. Readers take hostile bytes: they check every length and the header checksum,
 * refuse fragments, and return views into what they were given, or undefined.
 */
import { checksum, read16, read32, write16, write32 } from '../base/internet.ts';
import { Refusal } from '../base/refusal.ts';

export const ipProtocol = { icmp: 1, tcp: 6, udp: 17 } as const;
export const ipv4HeaderBytes = 20;
export const udpHeaderBytes = 8;

export interface Ipv4Packet {
  source: number;
  destination: number;
  protocol: number;
  payload: Uint8Array;
}

export interface UdpDatagram {
  sourcePort: number;
  destinationPort: number;
  payload: Uint8Array;
}

export function readIpv4(bytes: Uint8Array): Ipv4Packet | undefined {
  if (bytes.length < ipv4HeaderBytes || bytes[0]! >>> 4 !== 4) return undefined;
  const headerBytes = (bytes[0]! & 15) * 4;
  const totalBytes = read16(bytes, 2);
  if (headerBytes < ipv4HeaderBytes || totalBytes < headerBytes || totalBytes > bytes.length) {
    return undefined;
  }
  if (checksum(bytes.subarray(0, headerBytes)) !== 0) return undefined;
  // "More fragments" or an offset: our own protocols never need more than one packet.
  if ((read16(bytes, 6) & 0x3fff) !== 0) return undefined;
  return {
    source: read32(bytes, 12),
    destination: read32(bytes, 16),
    protocol: bytes[9]!,
    payload: bytes.subarray(headerBytes, totalBytes),
  };
}

/** Writes the header in front of a payload that is there already; returns the total length. */
export function writeIpv4(
  bytes: Uint8Array,
  packet: Omit<Ipv4Packet, 'payload'>,
  size: number,
): number {
  const totalBytes = ipv4HeaderBytes + size;
  bytes.fill(0, 0, ipv4HeaderBytes);
  bytes[0] = 0x45;
  write16(bytes, 2, totalBytes);
  write16(bytes, 6, 0x4000);
  bytes[8] = 64;
  bytes[9] = packet.protocol;
  write32(bytes, 12, packet.source);
  write32(bytes, 16, packet.destination);
  write16(bytes, 10, checksum(bytes.subarray(0, ipv4HeaderBytes)));
  return totalBytes;
}

export function readUdp(packet: Ipv4Packet): UdpDatagram | undefined {
  const bytes = packet.payload;
  if (packet.protocol !== ipProtocol.udp || bytes.length < udpHeaderBytes) return undefined;
  const size = read16(bytes, 4);
  if (size < udpHeaderBytes || size > bytes.length) return undefined;
  const datagram = bytes.subarray(0, size);
  // A zero checksum means that the sender made none (RFC 768).
  if (read16(bytes, 6) !== 0 && checksum(datagram, pseudoHeaderSum(packet, size)) !== 0) {
    return undefined;
  }
  return {
    sourcePort: read16(bytes, 0),
    destinationPort: read16(bytes, 2),
    payload: datagram.subarray(udpHeaderBytes),
  };
}

/** Writes the header in front of a payload that is there already; returns the total length. */
export function writeUdp(
  bytes: Uint8Array,
  addresses: { source: number; destination: number },
  ports: { sourcePort: number; destinationPort: number },
  size: number,
): number {
  const totalBytes = udpHeaderBytes + size;
  write16(bytes, 0, ports.sourcePort);
  write16(bytes, 2, ports.destinationPort);
  write16(bytes, 4, totalBytes);
  write16(bytes, 6, 0);
  const sum = checksum(bytes.subarray(0, totalBytes), pseudoHeaderSum(addresses, totalBytes));
  write16(bytes, 6, sum === 0 ? 0xffff : sum);
  return totalBytes;
}

export function parseAddress(text: string): number {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  const parts = match?.slice(1).map(Number) ?? [];
  if (parts.length !== 4 || parts.some((part) => part > 255)) {
    throw new Refusal('usage', `"${text}" is not an IPv4 address.`);
  }
  return parts.reduce((address, part) => address * 256 + part, 0);
}

export function formatAddress(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join('.');
}

function pseudoHeaderSum(packet: { source: number; destination: number }, size: number): number {
  const { source, destination } = packet;
  return (source >>> 16) + (source & 0xffff) + (destination >>> 16) + (destination & 0xffff)
    + ipProtocol.udp + size;
}
