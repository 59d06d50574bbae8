/**
 * Goal: a LAN's own host gives addresses and names, and no hostile frame gets more out of it than
 * it should. Method: frames in, frames out, a clock in a variable.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import { checksum } from '../../../src-main/base/internet.ts';
import { arpBytes, readArp, writeArp } from '../../../src-main/networks/arp.ts';
import { readQuery } from '../../../src-main/networks/dns.ts';
import { broadcastMac, readEthernet, writeEthernet } from '../../../src-main/networks/ethernet.ts';
import {
  formatAddress, parseAddress, readIpv4, writeIpv4,
} from '../../../src-main/networks/ipv4.ts';
import { asLabel, LanServices, leaseMs,
  repliesPerSecondMax } from '../../../src-main/networks/services.ts';
import { dhcpClient, dnsQuery, dnsReply, macNumber, seeded, udpFrame,
  udpPayload } from './frames.ts';

const gateway = parseAddress('10.77.3.1');
const hostMac = 0x024e0a4d0301;

function lanOf(machines: Record<number, string> = {}) {
  const sent: { port: number; frame: Uint8Array }[] = [];
  const lan = {
    nowMs: 1000,
    sent,
    services: new LanServices({
      config: {
        lan: 0, name: 'lab', network: gateway - 1, services: { dhcp: true, dns: true }, hostMac,
      },
      stations: () => Object.entries(machines).map(([n, machineName]) => (
        { port: Number(n), machineName, mac: macNumber(Number(n)) }
      )),
      send: (port, frame, length) => sent.push({ port, frame: frame.slice(0, length) }),
      onLeases: () => undefined,
    }),
    /** Gives a frame and returns the one reply, if any. */
    give(frame: Uint8Array, port: number): Uint8Array | undefined {
      sent.length = 0;
      this.services.handle(frame, 0, frame.length, port, this.nowMs);
      assert.ok(sent.length <= 1);
      assert.ok(sent.every((reply) => reply.port === port));
      return sent[0]?.frame;
    },
    /** Discover to ack: the address that this machine now has. */
    join(n: number, port = n, hostName?: string): number {
      const client = dhcpClient(n, hostName);
      const offer = client.read(this.give(client.discover(), port)!);
      const ack = client.read(this.give(client.request(offer.address, gateway), port)!);
      assert.equal(ack.type, 5);
      return ack.address;
    },
    ask(n: number, name: string, type = 1) {
      const question = dnsQuery(name, type);
      const reply = this.give(udpFrame(question, {
        destination: hostMac, source: macNumber(n), from: gateway + 200, to: gateway,
        sourcePort: 4000, destinationPort: 53,
      }), n);
      return dnsReply(udpPayload(reply!).payload, question);
    },
  };
  return lan;
}

function arpFrame(n: number, shown: number, target: number): Uint8Array {
  const frame = new Uint8Array(14 + arpBytes);
  writeEthernet(frame, { destination: broadcastMac, source: macNumber(n), type: 0x0806 });
  writeArp(frame.subarray(14), {
    operation: 1, senderMac: macNumber(n), senderAddress: shown, targetMac: 0,
      targetAddress: target,
  });
  return frame;
}

test('the gateway answers ARP for itself and for nobody else', () => {
  const lan = lanOf();
  const reply = lan.give(arpFrame(1, gateway + 20, gateway), 1)!;
  assert.equal(readEthernet(reply)!.destination, macNumber(1));
  const arp = readArp(reply.subarray(14))!;
  assert.deepEqual([arp.operation, arp.senderMac, arp.senderAddress], [2, hostMac, gateway]);
  assert.equal(lan.give(arpFrame(1, gateway + 20, gateway + 5), 1), undefined);
});

test('the gateway answers ping, with the same bytes', () => {
  const lan = lanOf();
  const echo = Uint8Array.from([8, 0, 0, 0, 1, 2, 3, 4, ...new TextEncoder().encode('ping body')]);
  const sum = checksum(echo);
  echo.set([sum >>> 8, sum & 255], 2);
  const frame = new Uint8Array(34 + echo.length);
  writeEthernet(frame, { destination: hostMac, source: macNumber(1), type: 0x0800 });
  writeIpv4(frame.subarray(14), { source: gateway + 9, destination: gateway, protocol: 1 },
    echo.length);
  frame.set(echo, 34);
  const packet = readIpv4(lan.give(frame, 1)!.subarray(14))!;
  assert.deepEqual([packet.source, packet.destination, packet.payload[0]], [gateway, gateway + 9,
    0]);
  assert.equal(checksum(packet.payload), 0);
  assert.deepEqual(packet.payload.subarray(4), echo.subarray(4));
});

test('discover, offer, request, ack: address, mask, name server, domain, machine name', () => {
  const lan = lanOf({ 1: 'Web Server' });
  const client = dhcpClient(1);
  const offer = client.read(lan.give(client.discover(), 1)!);
  assert.equal(offer.type, 2);
  assert.deepEqual(lan.services.leases.current(lan.nowMs), [], 'an offer is no lease');
  const ack = client.read(lan.give(client.request(offer.address, gateway), 1)!);
  assert.equal(ack.type, 5);
  assert.equal(ack.address, offer.address);
  assert.match(ack.text, /^10\.77\.3\.\d+$/);
  const text = (code: number) => new TextDecoder().decode(ack.options.get(code));
  assert.deepEqual([...ack.options.get(1)!], [255, 255, 255, 0]);
  assert.deepEqual([...ack.options.get(6)!], [10, 77, 3, 1]);
  assert.deepEqual([...ack.options.get(54)!], [10, 77, 3, 1]);
  assert.equal(text(15), 'lan');
  assert.equal(text(12), 'web-server');
});

test('a machine gets the same address again, also from a LAN that has forgotten it', () => {
  const lan = lanOf();
  const address = lan.join(1);
  assert.equal(lan.join(1), address);
  assert.equal(lanOf().join(1), address);
  const renewed = dhcpClient(1).read(lanOf().give(dhcpClient(1).renew(address), 1)!);
  assert.deepEqual([renewed.type, renewed.address], [5, address]);
});

test('two machines never get one address, and asking for another’s is refused', () => {
  const lan = lanOf();
  const address = lan.join(1);
  assert.notEqual(lan.join(2), address);
  assert.equal(dhcpClient(2).read(lan.give(dhcpClient(2).request(address), 2)!).type, 6);
  assert.equal(dhcpClient(2).read(lan.give(dhcpClient(2).request(parseAddress('192.168.1.5')),
    2)!).type, 6);
});

test('a released or expired address may go to others, a declined one rests', () => {
  const lan = lanOf();
  const address = lan.join(1);
  lan.give(dhcpClient(1).release(address), 1);
  const other = dhcpClient(2);
  assert.equal(other.read(lan.give(other.request(address), 2)!).type, 5);
  lan.nowMs += leaseMs + 1;
  const third = dhcpClient(3);
  assert.equal(third.read(lan.give(third.request(address), 3)!).type, 5);
  lan.give(third.decline(address), 3);
  assert.equal(other.read(lan.give(other.request(address), 2)!).type, 6);
});

test('an address that somebody shows by ARP is not given to others', () => {
  const lan = lanOf();
  const wanted = lan.services.leases.choose(macNumber(1), undefined, lan.nowMs)!;
  lan.give(arpFrame(9, wanted, gateway), 9);
  assert.notEqual(lan.join(1), wanted);
});

test('inform is answered without an address, another server’s request not at all', () => {
  const lan = lanOf();
  const client = dhcpClient(1);
  const ack = client.read(lan.give(client.inform(gateway + 30), 1)!);
  assert.deepEqual([ack.type, ack.address, ack.options.has(51)], [5, 0, false]);
  assert.equal(lan.give(client.request(gateway + 30, gateway + 99), 1), undefined);
});

test('one port cannot take the pool with made-up machines', () => {
  const lan = lanOf();
  for (let n = 10; n < 250; n += 1) {
    const client = dhcpClient(n);
    const offer = lan.give(client.discover(), 1);
    if (offer !== undefined) lan.give(client.request(client.read(offer).address), 1);
  }
  assert.equal(lan.services.leases.current(lan.nowMs).length, 32);
  assert.ok(lan.join(2) > 0);
});

test('machines are found by name and by address', () => {
  const lan = lanOf({ 1: 'alpha', 2: 'Beta_2' });
  const alpha = lan.join(1);
  const beta = lan.join(2);
  for (const name of ['alpha', 'alpha.lan', 'ALPHA.LaN']) {
    const answer = lan.ask(1, name);
    assert.deepEqual([answer.code, answer.authoritative, answer.id], [0, true, 7]);
    assert.deepEqual(answer.records.map(({ value }) => formatAddress(
      value.reduce((sum, byte) => sum * 256 + byte, 0),
    )), [formatAddress(alpha)]);
  }
  assert.equal(lan.ask(1, 'beta-2').records.length, 1);
  const reverse = `${formatAddress(beta).split('.').reverse().join('.')}.in-addr.arpa`;
  const pointer = lan.ask(1, reverse, 12).records[0]!;
  assert.equal(new TextDecoder().decode(pointer.value), '\x06beta-2\x03lan\x00');
});

test('a known name without that kind of record is empty, an unknown one does not exist', () => {
  const lan = lanOf({ 1: 'alpha', 2: 'off' });
  lan.join(1);
  assert.deepEqual([lan.ask(1, 'alpha', 28).code, lan.ask(1, 'alpha', 28).records.length], [0, 0]);
  assert.deepEqual([lan.ask(1, 'off').code, lan.ask(1, 'off').records.length], [0, 0]);
  assert.equal(lan.ask(1, 'nobody.lan').code, 3);
  assert.equal(lan.ask(1, 'www.example.org').code, 5);
});

test('a guest in a guest is found by the name it gave, never under a machine’s', () => {
  const lan = lanOf({ 1: 'alpha' });
  lan.join(50, 1, 'inner');
  lan.join(51, 1, 'alpha');
  assert.equal(lan.ask(1, 'inner').records.length, 1);
  assert.equal(lan.ask(1, 'alpha').records.length, 0);
});

test('services that are switched off are silent', () => {
  const lan = lanOf();
  lan.services.setServices({ dhcp: false, dns: false });
  assert.equal(lan.give(dhcpClient(1).discover(), 1), undefined);
  // A DNS question gets "port unreachable", so that the asker need not wait.
  const frame = udpFrame(dnsQuery('x', 1), {
    destination: hostMac, source: macNumber(1), from: gateway + 9, to: gateway, sourcePort: 1,
      destinationPort: 53,
  });
  const packet = readIpv4(lan.give(frame, 1)!.subarray(14))!;
  assert.deepEqual([packet.protocol, packet.payload[0], packet.payload[1]], [1, 3, 3]);
});

test('a port gets a bounded number of replies a second', () => {
  const lan = lanOf();
  let replies = 0;
  for (let n = 0; n < repliesPerSecondMax * 2; n += 1) {
    if (lan.give(arpFrame(1, gateway + 20, gateway), 1) !== undefined) replies += 1;
  }
  assert.equal(replies, repliesPerSecondMax);
  lan.nowMs += 1000;
  assert.notEqual(lan.give(arpFrame(1, gateway + 20, gateway), 1), undefined);
});

test('a machine’s name becomes a label', () => {
  assert.deepEqual(['Web Server', '__x__', 'é', 'a'.repeat(80)].map(asLabel), [
    'web-server', 'x', 'machine', 'a'.repeat(63),
  ]);
});

test('a question with a pointer, a cut name or two questions is a format error', () => {
  const good = dnsQuery('alpha.lan', 1);
  assert.equal(readQuery(good)!.failure, undefined);
  for (let size = 12; size < good.length; size += 1) {
    assert.equal(readQuery(good.subarray(0, size))!.failure, 1, `${size}`);
  }
  assert.equal(readQuery(Uint8Array.from([...good.subarray(0, 12), 0xc0, 12, 0, 1, 0,
    1]))!.failure, 1);
  assert.equal(readQuery(Uint8Array.from(good, (byte, at) => (at === 5 ? 2 : byte)))!.failure, 1);
  assert.equal(readQuery(Uint8Array.from(good, (byte, at) => (at === 2 ? 0x80 : byte))), undefined);
});

test('mutated frames never throw, and a reply never leaves its frame', () => {
  const seed = 20261122;
  const random = seeded(seed);
  const lan = lanOf({ 1: 'alpha' });
  const templates = [
    arpFrame(1, gateway + 20, gateway), dhcpClient(1, 'host').discover(),
      dhcpClient(1).request(gateway + 20),
    dhcpClient(1).release(gateway + 20), dhcpClient(1).inform(gateway + 20),
    udpFrame(dnsQuery('alpha.lan', 1), {
      destination: hostMac, source: macNumber(1), from: gateway + 9, to: gateway, sourcePort: 1,
        destinationPort: 53,
    }),
  ];
  for (let round = 0; round < 60_000; round += 1) {
    const frame = templates[round % templates.length]!.slice();
    for (let change = random() * 4; change > 0; change -= 1) {
      frame[Math.floor(random() * frame.length)] = random() * 256;
    }
    // Most changes break a checksum; with those mended the inner readers get their share.
    if (random() < 0.7) mendChecksums(frame);
    const cut = random() < 0.2 ? frame.subarray(0, Math.floor(random() * frame.length)) : frame;
    lan.nowMs += 1;
    try {
      lan.sent.length = 0;
      lan.services.handle(cut, 0, cut.length, 1, lan.nowMs);
    } catch (thrown) {
      throw new Error(`seed ${seed} round ${round}`, { cause: thrown });
    }
    for (const { frame: reply } of lan.sent) assert.ok(reply.length >= 42 && reply.length <= 1514);
  }
});

function mendChecksums(frame: Uint8Array): void {
  if (frame.length < 42 || frame[12] !== 8 || frame[13] !== 0) return;
  frame[14] = 0x45;
  frame.set([0, 0], 24);
  const sum = checksum(frame.subarray(14, 34));
  frame.set([sum >>> 8, sum & 255], 24);
  frame.set([0, 0], 40);
}
