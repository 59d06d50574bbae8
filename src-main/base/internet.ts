/**
 * What frames of every layer are made of: words in network order (big-endian), types of Ethernet
 * (IEEE 802) and the internet checksum. Nothing here looks at lengths: the caller has.
 */
export const etherType = { ipv4: 0x0800, arp: 0x0806, vlan: 0x8100, ipv6: 0x86dd } as const;

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

/** The internet checksum (RFC 1071); 0 over bytes that carry their own right checksum. */
export function checksum(bytes: Uint8Array, initial = 0): number {
  let sum = initial;
  const even = bytes.length & ~1;
  for (let at = 0; at < even; at += 2) sum += (bytes[at]! << 8) | bytes[at + 1]!;
  if (even < bytes.length) sum += bytes[even]! << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 65536);
  return ~sum & 0xffff;
}
