/**
 * What a guest leaves to its card (virtio 1.2, 5.1.6.2): checksums still to be made, and TCP
 * segments longer than a frame, cut here into frames. A guest's stack then runs once for sixty
 * kilobytes. All fields are the guest's, so each is checked; what makes no sense is not sent.
 */
import {
  checksum, etherType, read16, read32, write16, write32,
} from '../../../../base/internet.ts'; // prettier-ignore

export const netHeaderBytes = 12;
export const frameBytesMax = 9216;
/** A longest segment (a length of IP is 16 bits), its Ethernet header with two tags, ours. */
export const packetBytesMax = 65_535 + 22 + netHeaderBytes;

const needsChecksum = 1;
const kind = { none: 0, tcp4: 1, tcp6: 4, ecn: 0x80 } as const;
/** Less is no segment of anybody's, only many frames. */
const segmentBytesMin = 48;
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
    write16(frame, at, checksum(frame.subarray(start)) || 0xffff);
  }
  send(frame);
}

function sendSegments(
  frame: Uint8Array, segment: number, tcp: number, bytes: number, send: (frame: Uint8Array) => void,
): void { // prettier-ignore
  const ip = networkHeader(frame);
  const is6 = segment === kind.tcp6;
  if (!is6 && segment !== kind.tcp4) return;
  if (read16(frame, ip - 2) !== (is6 ? etherType.ipv6 : etherType.ipv4)) return;
  if (tcp < ip + (is6 ? 40 : 20) || tcp + 20 > frame.length || bytes < segmentBytesMin) return;
  const head = tcp + (frame[tcp + 12]! >> 4) * 4;
  if (head < tcp + 20 || head > frame.length || head + bytes > frameBytesMax) return;
  const sequence = read32(frame, tcp + 4);
  const flags = frame[tcp + 13]!;
  const identity = read16(frame, ip + 4);
  for (let at = head, n = 0; at < frame.length || n === 0; at += bytes, n++) {
    const part = frame.subarray(at, at + bytes);
    const last = at + bytes >= frame.length;
    const out = new Uint8Array(head + part.length);
    out.set(frame.subarray(0, head));
    out.set(part, head);
    write32(out, tcp + 4, sequence + at - head);
    out[tcp + 13] =
      flags & (last ? 0xff : ~(flag.fin | flag.push)) & (n === 0 ? 0xff : ~flag.congestionReduced);
    if (is6) write16(out, ip + 4, out.length - ip - 40);
    else lengthen4(out, ip, tcp, identity + n);
    write16(out, tcp + 16, 0);
    write16(out, tcp + 16, checksum(out.subarray(tcp), pseudoHeader(out, ip, tcp, is6)));
    send(out);
  }
}

/** Total length, identification and checksum of an IPv4 header (RFC 791). */
function lengthen4(frame: Uint8Array, ip: number, end: number, identity: number): void {
  write16(frame, ip + 2, frame.length - ip);
  write16(frame, ip + 4, identity);
  write16(frame, ip + 10, 0);
  write16(frame, ip + 10, checksum(frame.subarray(ip, end)));
}

/** RFC 9293, 3.1; RFC 8200, 8.1. */
function pseudoHeader(frame: Uint8Array, ip: number, tcp: number, is6: boolean): number {
  const addresses = is6 ? frame.subarray(ip + 8, ip + 40) : frame.subarray(ip + 12, ip + 20);
  const sum = ~checksum(addresses) & 0xffff;
  return sum + protocolTcp + frame.length - tcp;
}

/** Behind the addresses, the tags of VLANs and the type. */
function networkHeader(frame: Uint8Array): number {
  let at = 14;
  while (at < 22 && read16(frame, at - 2) === etherType.vlan) at += 4;
  return at;
}
