/** What a guest leaves to its card: checksums, and segments that are cut into frames. */
import { suite, test } from 'node:test';
import assert from 'node:assert/strict';
import {
  netHeaderBytes, sendPacket,
} from '../../../../../../src-main/engines/riscv/devices/virtio/offload.ts'; // prettier-ignore

const tcp4 = 1;
const tcp6 = 4;
const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');
const ipv4 = hex('45000000 12344000 40060000 0a4d0002 0a4d0003');
const host6 = (last: string) => `fd00${'00'.repeat(13)}${last}`;
const ipv6 = hex(`60000000 00000640 ${host6('02')} ${host6('03')}`);
const ethernet = (type: string) => hex(`525400000003 525400000002 ${type}`);
/** Sequence fffffff0, so that it wraps; 20 bytes of header, flags CWR, ACK, PSH and FIN. */
const tcp = hex('1f900050 fffffff0 00000001 50992000 00000000');

type Header = { flags?: number; segment?: number; bytes?: number; start?: number; offset?: number };

function sent(frame: Uint8Array, header: Header): Buffer[] {
  const packet = Buffer.alloc(netHeaderBytes + frame.length);
  packet[0] = header.flags ?? 1;
  packet[1] = header.segment ?? 0;
  packet.writeUInt16LE(header.bytes ?? 0, 4);
  packet.writeUInt16LE(header.start ?? 0, 6);
  packet.writeUInt16LE(header.offset ?? 16, 8);
  packet.set(frame, netHeaderBytes);
  const frames: Buffer[] = [];
  sendPacket(packet, (out) => frames.push(Buffer.from(out)));
  return frames;
}

/** RFC 1071, by another way than the device's: a right sum over all with its checksum is ffff. */
function ones(...parts: Uint8Array[]): number {
  let total = 0n;
  for (const part of parts) {
    const even = Buffer.concat([part, Buffer.alloc(part.length % 2)]);
    for (let at = 0; at < even.length; at += 2) total += BigInt(even.readUInt16BE(at));
  }
  return Number(total % 0xffffn) || (total > 0n ? 0xffff : 0);
}

function segmentSum(frame: Buffer, ip: number, addresses: [number, number], at: number): number {
  const length = Buffer.from([0, 6, 0, 0]);
  length.writeUInt16BE(frame.length - at, 2);
  return ones(frame.subarray(ip + addresses[0], ip + addresses[1]), length, frame.subarray(at));
}

const payload = Buffer.from(Array.from({ length: 3501 }, (_, at) => (at * 7) & 0xff));
const long4 = Buffer.concat([ethernet('0800'), ipv4, tcp, payload]);
const long6 = Buffer.concat([ethernet('86dd'), ipv6, tcp, payload]);
const whole4 = { segment: tcp4, bytes: 1460, start: 34 };
const whole6 = { segment: tcp6, bytes: 1440, start: 54 };

suite('a checksum that the guest left', () => {
  test('is put where it said, over what it said', () => {
    const frame = Buffer.from(long4.subarray(0, 700));
    const pseudo = ones(frame.subarray(26, 34), hex('0006 029a')); // TCP, 666 bytes
    frame.writeUInt16BE(pseudo, 34 + 16);
    const [out] = sent(frame, { start: 34 });
    assert.equal(segmentSum(out!, 14, [12, 20], 34), 0xffff);
    assert.deepEqual(out!.subarray(0, 50), frame.subarray(0, 50));
    assert.deepEqual(out!.subarray(52), frame.subarray(52));
  });

  test('without being asked for, nothing is touched', () => {
    const frame = long4.subarray(0, 700);
    assert.deepEqual(sent(frame, { flags: 0, start: 34 }), [frame]);
  });

  test('of nothing is ffff, as 0 says that there is none (RFC 768)', () => {
    const frame = Buffer.alloc(60);
    frame.writeUInt16BE(0xffff, 40);
    assert.equal(sent(frame, { start: 34, offset: 6 })[0]!.readUInt16BE(40), 0xffff);
  });

  test('past the end of its frame is not sent', () => {
    assert.deepEqual(sent(Buffer.alloc(60), { start: 0, offset: 59 }), []);
    assert.deepEqual(sent(Buffer.alloc(60), { start: 65_535, offset: 65_535 }), []);
  });
});

suite('a segment longer than a frame', () => {
  for (const [name, frame, header, ip, end, addresses] of [
    ['IPv4', long4, whole4, 14, 34, [12, 20]],
    ['IPv6', long6, whole6, 14, 54, [8, 40]],
  ] as const) {
    test(`over ${name} is cut into right frames`, () => {
      const frames = sent(frame, header);
      assert.deepEqual(
        frames.map(({ length }) => length - end - 20),
        [header.bytes, header.bytes, 3501 - 2 * header.bytes],
      );
      assert.deepEqual(Buffer.concat(frames.map((out) => out.subarray(end + 20))), payload);
      frames.forEach((out, n) => {
        assert.equal(segmentSum(out, ip, [...addresses], end), 0xffff);
        assert.equal(out.readUInt32BE(end + 4), (0xfffffff0 + n * header.bytes) % 2 ** 32);
        const last = n === 2;
        const flags = 0x10 | (n === 0 ? 0x80 : 0) | (last ? 0x09 : 0);
        assert.equal(out[end + 13], flags, 'CWR in the first, PSH and FIN in the last');
        if (name === 'IPv4') {
          assert.equal(out.readUInt16BE(ip + 2), out.length - ip);
          assert.equal(out.readUInt16BE(ip + 4), 0x1234 + n);
          assert.equal(ones(out.subarray(ip, end)), 0xffff);
        } else {
          assert.equal(out.readUInt16BE(ip + 4), out.length - end);
        }
      });
    });
  }

  test('behind the tag of a VLAN too', () => {
    const tagged = Buffer.concat([
      long4.subarray(0, 12), hex('81000007'), long4.subarray(12),
    ]); // prettier-ignore
    const frames = sent(tagged, { ...whole4, start: 38 });
    assert.equal(frames.length, 3);
    for (const out of frames) assert.equal(segmentSum(out, 18, [12, 20], 38), 0xffff);
  });

  test('that makes no sense is not sent', () => {
    const dataOffset = (words: number) => {
      const frame = Buffer.from(long4);
      frame[34 + 12] = words << 4;
      return frame;
    };
    const nonsense: [Uint8Array, Header][] = [
      [long4, { ...whole4, segment: 2 }],
      [long4, { ...whole4, segment: tcp6 }],
      [long6, { ...whole6, segment: tcp4 }],
      [long4, { ...whole4, bytes: 0 }],
      [long4, { ...whole4, bytes: 47 }],
      [long4, { ...whole4, bytes: 65_535 }],
      [long4, { ...whole4, start: 33 }],
      [long4, { ...whole4, start: 65_535 }],
      [long4.subarray(0, 50), whole4],
      [long4.subarray(0, 13), whole4],
      [dataOffset(4), whole4],
      [dataOffset(15).subarray(0, 60), whole4],
    ];
    for (const [frame, header] of nonsense) assert.deepEqual(sent(frame, header), []);
  });

  test('is never more than its card may be given without one', () => {
    assert.deepEqual(sent(Buffer.alloc(9217), { flags: 0 }), []);
    assert.equal(sent(Buffer.alloc(9216), { flags: 0 }).length, 1);
  });
});
