/**
 * Ethernet II headers and the numbers that go with them. An address is one 48-bit number
 * (`parseMac`, `formatMac`); all multi-byte fields are big-endian. Readers return undefined for
 * what is too short; nothing here reads outside the array it is given.
 */
import { read16, read48, write16, write48 } from '../base/internet.ts';
import { Refusal } from '../base/refusal.ts';

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
