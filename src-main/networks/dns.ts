/**
 * DNS messages (RFC 1035), the half a small authority needs: `readQuery` takes one question from
 * a hostile UDP payload, `writeAnswer` repeats it with addresses or a name. Compression in a
 * question is refused (no client uses it), which also rules out pointer loops.
 */
import { read16, write16, write32 } from '../base/internet.ts';

export const dnsPort = 53;
export const dnsType = { a: 1, ptr: 12, aaaa: 28, any: 255 } as const;
export const dnsCode = {
  noError: 0, formatError: 1, nameError: 3, notImplemented: 4, refused: 5,
} as const;
export const dnsBytesMax = 512;

export interface DnsQuery {
  id: number;
  recursionDesired: boolean;
  /** Lower case, without the last dot; '' is the root. */
  name: string;
  type: number;
  internet: boolean;
  /** The question as it came, to be repeated byte for byte (clients randomise its case). */
  question: Uint8Array;
  /** Set when the message can only be answered with this code. */
  failure: number | undefined;
}

export interface DnsAnswer {
  code: number;
  authoritative: boolean;
  addresses?: readonly number[];
  pointer?: string;
  ttlSeconds: number;
}

const headerBytes = 12;

/** Undefined for what deserves no answer at all: answers, and what is too short to have an id. */
export function readQuery(bytes: Uint8Array): DnsQuery | undefined {
  if (bytes.length < headerBytes || (bytes[2]! & 0x80) !== 0) return undefined;
  const query: DnsQuery = {
    id: read16(bytes, 0),
    recursionDesired: (bytes[2]! & 1) !== 0,
    name: '',
    type: 0,
    internet: false,
    question: new Uint8Array(0),
    failure: undefined,
  };
  if ((bytes[2]! & 0x78) !== 0) return { ...query, failure: dnsCode.notImplemented };
  const malformed = { ...query, failure: dnsCode.formatError };
  if (read16(bytes, 4) !== 1) return malformed;
  const labels: string[] = [];
  let at = headerBytes;
  for (;;) {
    const size = bytes[at];
    if (size === undefined || size > 63) return malformed;
    at += 1;
    if (size === 0) break;
    if (at + size > bytes.length || at + size - headerBytes > 254) return malformed;
    labels.push(asLabel(bytes.subarray(at, at + size)));
    at += size;
  }
  if (at + 4 > bytes.length) return malformed;
  return {
    ...query,
    name: labels.join('.'),
    type: read16(bytes, at),
    internet: read16(bytes, at + 2) === 1 || read16(bytes, at + 2) === 255,
    question: bytes.subarray(headerBytes, at + 4),
  };
}

/** Writes the answer and returns its length; `bytes` holds `dnsBytesMax` at least. */
export function writeAnswer(bytes: Uint8Array, query: DnsQuery, answer: DnsAnswer): number {
  bytes.fill(0, 0, headerBytes);
  write16(bytes, 0, query.id);
  bytes[2] = 0x80 | (answer.authoritative ? 4 : 0) | (query.recursionDesired ? 1 : 0);
  bytes[3] = answer.code;
  write16(bytes, 4, query.question.length > 0 ? 1 : 0);
  bytes.set(query.question, headerBytes);
  let at = headerBytes + query.question.length;
  const records: [number, Uint8Array][] = [];
  // A dozen addresses fit beside the longest question; one name has one here anyway.
  for (const address of (answer.addresses ?? []).slice(0, 12)) {
    const value = new Uint8Array(4);
    write32(value, 0, address);
    records.push([dnsType.a, value]);
  }
  if (answer.pointer !== undefined) records.push([dnsType.ptr, encodeName(answer.pointer)]);
  write16(bytes, 6, records.length);
  for (const [type, value] of records) {
    // A pointer to the question's name, which always stands right behind the header.
    write16(bytes, at, 0xc000 | headerBytes);
    write16(bytes, at + 2, type);
    write16(bytes, at + 4, 1);
    write32(bytes, at + 6, answer.ttlSeconds);
    write16(bytes, at + 10, value.length);
    bytes.set(value, at + 12);
    at += 12 + value.length;
  }
  return at;
}

/** The address that `4.3.2.10.in-addr.arpa` asks about, or undefined. */
export function reverseAddress(name: string): number | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.in-addr\.arpa$/.exec(name);
  const parts = match?.slice(1).map(Number) ?? [];
  if (parts.length !== 4 || parts.some((part) => part > 255)) return undefined;
  return parts.reverse().reduce((address, part) => address * 256 + part, 0);
}

function encodeName(name: string): Uint8Array {
  const bytes: number[] = [];
  for (const label of name.split('.').filter((part) => part !== '')) {
    const text = new TextEncoder().encode(label).subarray(0, 63);
    bytes.push(text.length, ...text);
  }
  return Uint8Array.from([...bytes, 0]);
}

/** Printable ASCII in lower case; anything else becomes a mark that no name of ours contains. */
function asLabel(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) {
    const plain = byte > 32 && byte < 127 && byte !== 46;
    text += plain ? String.fromCharCode(byte) : '?';
  }
  return text.toLowerCase();
}
