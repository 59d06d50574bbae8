/**
 * DHCP messages (RFC 2131, options RFC 2132) as plain values: `readDhcp` a UDP payload from a
 * client, `writeDhcp` an answer. Options are walked with every length checked; overloaded option
 * fields (52) are not followed, as no client's request needs them. What a server decides lives
 * in `services.ts`.
 */
import { read16, read32, read48, write16, write32, write48 } from '../base/internet.ts';

export const dhcpType = {
  discover: 1, offer: 2, request: 3, decline: 4, ack: 5, nak: 6, release: 7, inform: 8,
} as const;

export const dhcpServerPort = 67;
export const dhcpClientPort = 68;
/** Room for an answer: the fixed part, the cookie and 312 bytes of options. */
export const dhcpBytesMax = 552;

export interface DhcpRequest {
  type: number;
  transaction: number;
  seconds: number;
  broadcast: boolean;
  mac: number;
  /** The address the client has and uses, 0 for none. */
  clientAddress: number;
  relayAddress: number;
  requestedAddress: number | undefined;
  serverAddress: number | undefined;
  hostName: string | undefined;
}

export interface DhcpAnswer {
  type: number;
  clientAddress: number;
  yourAddress: number;
  serverAddress: number;
  options: readonly DhcpOption[];
}

/** An option with its bytes as they go on the wire. */
export type DhcpOption = readonly [code: number, value: Uint8Array];

const cookie = 0x63825363;
const fixedBytes = 236;

export function readDhcp(bytes: Uint8Array): DhcpRequest | undefined {
  if (bytes.length < fixedBytes + 4 || read32(bytes, fixedBytes) !== cookie) return undefined;
  // A request (1) from Ethernet (1) with six-byte addresses.
  if (bytes[0] !== 1 || bytes[1] !== 1 || bytes[2] !== 6) return undefined;
  const request: DhcpRequest = {
    type: 0,
    transaction: read32(bytes, 4),
    seconds: read16(bytes, 8),
    broadcast: (bytes[10]! & 0x80) !== 0,
    mac: read48(bytes, 28),
    clientAddress: read32(bytes, 12),
    relayAddress: read32(bytes, 24),
    requestedAddress: undefined,
    serverAddress: undefined,
    hostName: undefined,
  };
  let at = fixedBytes + 4;
  while (at < bytes.length && bytes[at] !== 255) {
    const code = bytes[at]!;
    if (code === 0) {
      at += 1;
      continue;
    }
    const size = bytes[at + 1];
    if (size === undefined || at + 2 + size > bytes.length) return undefined;
    takeOption(request, code, bytes.subarray(at + 2, at + 2 + size));
    at += 2 + size;
  }
  return request.type === 0 ? undefined : request;
}

/** Writes the answer and returns its length, at least 300 bytes as old clients want (RFC 1542). */
export function writeDhcp(bytes: Uint8Array, request: DhcpRequest, answer: DhcpAnswer): number {
  bytes.fill(0, 0, dhcpBytesMax);
  bytes.set([2, 1, 6, 0], 0);
  write32(bytes, 4, request.transaction);
  bytes[10] = request.broadcast ? 0x80 : 0;
  write32(bytes, 12, answer.clientAddress);
  write32(bytes, 16, answer.yourAddress);
  write32(bytes, 20, answer.serverAddress);
  write32(bytes, 24, request.relayAddress);
  write48(bytes, 28, request.mac);
  write32(bytes, fixedBytes, cookie);
  let at = fixedBytes + 4;
  const put = (code: number, value: Uint8Array): void => {
    bytes[at] = code;
    bytes[at + 1] = value.length;
    bytes.set(value, at + 2);
    at += 2 + value.length;
  };
  put(53, Uint8Array.of(answer.type));
  for (const [code, value] of answer.options) put(code, value);
  bytes[at] = 255;
  return Math.max(at + 1, 300);
}

export function option32(code: number, value: number): DhcpOption {
  const bytes = new Uint8Array(4);
  write32(bytes, 0, value);
  return [code, bytes];
}

export function option16(code: number, value: number): DhcpOption {
  const bytes = new Uint8Array(2);
  write16(bytes, 0, value);
  return [code, bytes];
}

/** ASCII text, cut to what an option may hold here. */
export function optionText(code: number, text: string): DhcpOption {
  return [code, new TextEncoder().encode(text).subarray(0, 63)];
}

function takeOption(request: DhcpRequest, code: number, value: Uint8Array): void {
  if (code === 53 && value.length === 1) request.type = value[0]!;
  else if (code === 50 && value.length === 4) request.requestedAddress = read32(value, 0);
  else if (code === 54 && value.length === 4) request.serverAddress = read32(value, 0);
  else if (code === 12) request.hostName = asHostName(value);
}

/** The first label of what a client calls itself, if it can be a name in DNS (RFC 1123). */
function asHostName(value: Uint8Array): string | undefined {
  const text = String.fromCharCode(...value.subarray(0, 255)).replace(/\0+$/, '').split('.')[0]!;
  const name = text.toLowerCase();
  return /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(name) ? name : undefined;
}
