/**
 * What a guest leaves to its card (virtio 1.2, 5.1.6.2): checksums still to be made, and TCP
 * segments longer than a frame, cut here into frames. A guest's stack then runs once for sixty
 * kilobytes. All fields are the guest's, so each is checked; what makes no sense is not sent.
 */
export const netHeaderBytes = 12;
export const frameBytesMax = 9216;
/** A longest segment (a length of IP is 16 bits), its Ethernet header with two tags, ours. */
export const packetBytesMax = 65_535 + 22 + netHeaderBytes;

const needsChecksum = 1;
const kind = { none: 0, tcp4: 1, tcp6: 4, ecn: 0x80 } as const;
/** Less is no segment of anybody's, only many frames. */
const segmentBytesMin = 48;
const etherType = { ip4: 0x0800, ip6: 0x86dd, tag: 0x8100 } as const;
const flag = { fin: 1, push: 8, congestionReduced: 0x80 } as const;
const protocolTcp = 6;

/** `packet`: header and frame, which is changed. `send` must not keep what it is given. */
export function sendPacket(packet: Uint8Array, send: (frame: Uint8Array) => void): void {
  const header = new DataView(packet.buffer, packet.byteOffset, netHeaderBytes);
  const frame = packet.subarray(netHeaderBytes);
  const start = header.getUint16(6, true);
  const segment = packet[1]! & ~kind.ecn;
  const bytes = header.getUint16(4, true);
  if (segment !== kind.none) return sendSegments(frame, segment, start, bytes, send);
  if (frame.length > frameBytesMax) return;
  if ((packet[0]! & needsChecksum) !== 0) {
    const at = start + header.getUint16(8, true);
    if (at + 2 > frame.length) return;
    // What stands there already is the sum of the pseudo header.
    put16(frame, at, folded(sum(frame, start, frame.length)) || 0xffff);
  }
  send(frame);
}

function sendSegments(
  frame: Uint8Array, segment: number, tcp: number, bytes: number, send: (frame: Uint8Array) => void,
): void { // prettier-ignore
  const ip = networkHeader(frame);
  const is6 = segment === kind.tcp6;
  if (!is6 && segment !== kind.tcp4) return;
  if (get16(frame, ip - 2) !== (is6 ? etherType.ip6 : etherType.ip4)) return;
  if (tcp < ip + (is6 ? 40 : 20) || tcp + 20 > frame.length || bytes < segmentBytesMin) return;
  const head = tcp + (frame[tcp + 12]! >> 4) * 4;
  if (head < tcp + 20 || head > frame.length || head + bytes > frameBytesMax) return;
  const sequence = get32(frame, tcp + 4);
  const flags = frame[tcp + 13]!;
  const identity = get16(frame, ip + 4);
  for (let at = head, n = 0; at < frame.length || n === 0; at += bytes, n++) {
    const part = frame.subarray(at, at + bytes);
    const last = at + bytes >= frame.length;
    const out = new Uint8Array(head + part.length);
    out.set(frame.subarray(0, head));
    out.set(part, head);
    put32(out, tcp + 4, sequence + at - head);
    out[tcp + 13] =
      flags & (last ? 0xff : ~(flag.fin | flag.push)) & (n === 0 ? 0xff : ~flag.congestionReduced);
    if (is6) put16(out, ip + 4, out.length - ip - 40);
    else lengthen4(out, ip, tcp, identity + n);
    put16(out, tcp + 16, 0);
    put16(out, tcp + 16, folded(sum(out, tcp, out.length) + pseudoHeader(out, ip, tcp, is6)));
    send(out);
  }
}

/** Total length, identification and checksum of an IPv4 header (RFC 791). */
function lengthen4(frame: Uint8Array, ip: number, end: number, identity: number): void {
  put16(frame, ip + 2, frame.length - ip);
  put16(frame, ip + 4, identity);
  put16(frame, ip + 10, 0);
  put16(frame, ip + 10, folded(sum(frame, ip, end)));
}

/** RFC 9293, 3.1; RFC 8200, 8.1. */
function pseudoHeader(frame: Uint8Array, ip: number, tcp: number, is6: boolean): number {
  const addresses = is6 ? sum(frame, ip + 8, ip + 40) : sum(frame, ip + 12, ip + 20);
  return addresses + protocolTcp + frame.length - tcp;
}

/** Behind the addresses, the tags of VLANs and the type. */
function networkHeader(frame: Uint8Array): number {
  let at = 14;
  while (at < 22 && get16(frame, at - 2) === etherType.tag) at += 4;
  return at;
}

/** Of 16-bit words in network order (RFC 1071); below 2^32 for all that fits a packet. */
function sum(bytes: Uint8Array, from: number, to: number): number {
  let total = 0;
  let at = from;
  for (; at + 1 < to; at += 2) total += (bytes[at]! << 8) | bytes[at + 1]!;
  return at < to ? total + (bytes[at]! << 8) : total;
}

function folded(total: number): number {
  let rest = total;
  while (rest > 0xffff) rest = (rest & 0xffff) + Math.floor(rest / 0x1_0000);
  return ~rest & 0xffff;
}

const get16 = (bytes: Uint8Array, at: number) => (bytes[at]! << 8) | bytes[at + 1]!;
const get32 = (bytes: Uint8Array, at: number) => get16(bytes, at) * 0x1_0000 + get16(bytes, at + 2);

function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

function put32(bytes: Uint8Array, at: number, value: number): void {
  put16(bytes, at, Math.floor(value / 0x1_0000) & 0xffff);
  put16(bytes, at + 2, value & 0xffff);
}
