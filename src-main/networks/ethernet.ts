/**
 * Ethernet II headers and the numbers that go with them. An address is one 48-bit number
 * (`parseMac`, `formatMac`); all multi-byte fields are big-endian. Readers return undefined for
 * what is too short; nothing here reads outside the array it is given.
 */
import { Refusal } from '../base/refusal.ts';

export const etherType = { ipv4: 0x0800, arp: 0x0806, vlan: 0x8100, ipv6: 0x86dd } as const;
export const broadcastMac = 0xffffffffffff;
export const ethernetHeaderBytes = 14;

export interface EthernetHeader {
  destination: number;
  source: number;
  type: number;
}

export function readEthernet(frame: Uint8Array): EthernetHeader | undefined {
  if (frame.length < ethernetHeaderBytes) return undefined;
  return { destination: read48(frame, 0), source: read48(frame, 6), type: read16(frame, 12) };
}

export function writeEthernet(frame: Uint8Array, header: EthernetHeader): void {
  write48(frame, 0, header.destination);
  write48(frame, 6, header.source);
  write16(frame, 12, header.type);
}

/** `02:00:5e:10:00:01` as a number. Refusal 'usage' for anything else. */
export function parseMac(text: string): number {
  if (!/^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$/.test(text)) {
    throw new Refusal('usage', `"${text}" is not a hardware address like 02:00:00:00:00:01.`);
  }
  return Number.parseInt(text.replaceAll(':', ''), 16);
}

export function formatMac(mac: number): string {
  return mac.toString(16).padStart(12, '0').replace(/..(?!$)/g, '$&:');
}

export function isGroupMac(mac: number): boolean {
  return (Math.floor(mac / 2 ** 40) & 1) === 1;
}

export function read16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

export function read32(bytes: Uint8Array, at: number): number {
  return ((read16(bytes, at) << 16) | read16(bytes, at + 2)) >>> 0;
}

export function read48(bytes: Uint8Array, at: number): number {
  return read16(bytes, at) * 2 ** 32 + read32(bytes, at + 2);
}

export function write16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

export function write32(bytes: Uint8Array, at: number, value: number): void {
  write16(bytes, at, value >>> 16);
  write16(bytes, at + 2, value & 0xffff);
}

export function write48(bytes: Uint8Array, at: number, value: number): void {
  write16(bytes, at, Math.floor(value / 2 ** 32));
  write32(bytes, at + 2, value >>> 0);
}
