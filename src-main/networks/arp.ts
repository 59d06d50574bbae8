/**
 * ARP for IPv4 over Ethernet (RFC 826): `readArp` takes the payload of a frame, `writeArp` makes
 * one. Other hardware or protocols are not ours and read as undefined.
 */
import { read16, read32, read48, write16, write32, write48 } from '../base/internet.ts';

export const arpBytes = 28;
export const arpRequest = 1;
export const arpReply = 2;

export interface ArpPacket {
  operation: number;
  senderMac: number;
  senderAddress: number;
  targetMac: number;
  targetAddress: number;
}

export function readArp(payload: Uint8Array): ArpPacket | undefined {
  if (payload.length < arpBytes) return undefined;
  if (read16(payload, 0) !== 1 || read16(payload, 2) !== 0x0800) return undefined;
  if (payload[4] !== 6 || payload[5] !== 4) return undefined;
  return {
    operation: read16(payload, 6),
    senderMac: read48(payload, 8),
    senderAddress: read32(payload, 14),
    targetMac: read48(payload, 18),
    targetAddress: read32(payload, 24),
  };
}

export function writeArp(payload: Uint8Array, packet: ArpPacket): void {
  write16(payload, 0, 1);
  write16(payload, 2, 0x0800);
  payload[4] = 6;
  payload[5] = 4;
  write16(payload, 6, packet.operation);
  write48(payload, 8, packet.senderMac);
  write32(payload, 14, packet.senderAddress);
  write48(payload, 18, packet.targetMac);
  write32(payload, 24, packet.targetAddress);
}
