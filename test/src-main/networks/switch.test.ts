/** Goal: the switch learns, forgets and floods as 802.1D says, whatever frames it is given. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { drop, filter, flood, hostPort, LanSwitch,
  portsMax } from '../../../src-main/networks/switch.ts';
import { write48 } from '../../../src-main/base/internet.ts';
import { frameOf, macNumber, seeded } from './frames.ts';

function switchOf(ports: number, options = {}): LanSwitch {
  const lan = new LanSwitch({ seed: 1, ...options });
  for (let port = 1; port <= ports; port += 1) lan.join(port);
  lan.tick(0);
  return lan;
}
const route = (lan: LanSwitch, to: number, from: number, port: number): number => {
  const frame = frameOf(to, from, '');
  return lan.route(frame, 0, frame.length, port);
};
function withMacs(destination: number, source: number): Uint8Array {
  const frame = new Uint8Array(60);
  write48(frame, 0, destination);
  write48(frame, 6, source);
  return frame;
}

test('an unknown receiver is flooded, a known one is not', () => {
  const lan = switchOf(3);
  assert.equal(route(lan, 2, 1, 1), flood);
  assert.equal(route(lan, 1, 2, 2), 1);
  assert.equal(route(lan, 2, 1, 1), 2);
});

test('a frame for a station behind its own port goes nowhere', () => {
  const lan = switchOf(2);
  route(lan, 9, 1, 1);
  assert.equal(route(lan, 1, 5, 1), filter);
});

test('a station that moves is followed', () => {
  const lan = switchOf(3);
  route(lan, 9, 1, 1);
  route(lan, 9, 1, 2);
  assert.equal(route(lan, 1, 3, 3), 2);
});

test('a station that is silent for the ageing time is forgotten', () => {
  const lan = switchOf(2);
  route(lan, 9, 1, 1);
  lan.tick(299_000);
  assert.equal(route(lan, 1, 2, 2), 1);
  lan.tick(300_000);
  assert.equal(route(lan, 1, 2, 2), flood);
});

test('what was behind a port that left is forgotten', () => {
  const lan = switchOf(2);
  route(lan, 9, 1, 1);
  lan.leave(1);
  assert.equal(route(lan, 1, 2, 2), flood);
  assert.deepEqual(lan.addresses().map(({ port }) => port), [2]);
});

test('groups and broadcasts are flooded, talk between neighbours is not', () => {
  const lan = switchOf(2);
  for (const [group, answer] of [
    [0xffffffffffff, flood], [0x01005e000001, flood], [0x0180c2000000, filter], [0x0180c200000f,
      filter],
    [0x0180c2000010, flood],
  ] as const) {
    assert.equal(lan.route(withMacs(group, macNumber(1)), 0, 60, 1), answer, group.toString(16));
  }
});

test('a sender that cannot be is dropped and never learned', () => {
  const lan = switchOf(2);
  lan.setHost(macNumber(77));
  for (const source of [0x01005e000001, 0xffffffffffff, 0, macNumber(77)]) {
    assert.equal(lan.route(withMacs(macNumber(2), source), 0, 60, 1), drop);
  }
  assert.deepEqual(lan.addresses(), []);
  assert.equal(lan.route(withMacs(macNumber(77), macNumber(1)), 0, 60, 1), hostPort);
});

test('frames that are too short or too long are dropped', () => {
  const lan = switchOf(1);
  const bytes = new Uint8Array(70_000).fill(2);
  for (const [length, dropped] of [[0, true], [13, true], [14, false], [65550, false], [65551,
    true]] as const) {
    assert.equal(lan.route(bytes, 0, length, 1) === drop, dropped, `${length}`);
  }
});

test('a flood of made-up senders fills its own port’s share and nobody else’s', () => {
  const lan = switchOf(3, { addressesMax: 1024, addressesPerPortMax: 256 });
  for (let n = 0; n < 100_000; n += 1) route(lan, 1, 1000 + n, 1);
  const learned = lan.addresses();
  assert.ok(learned.length <= 256);
  route(lan, 9, 1, 2);
  assert.equal(route(lan, 1, 2, 3), 2);
  // Once those have aged there is room for new ones.
  lan.tick(301_000);
  route(lan, 9, 5, 1);
  assert.equal(route(lan, 5, 2, 3), 1);
});

test('the table never passes its limit, over many ports', () => {
  const lan = switchOf(20, { addressesMax: 512, addressesPerPortMax: 100 });
  for (let n = 0; n < 20_000; n += 1) route(lan, 1, 1000 + n, 1 + (n % 20));
  assert.ok(lan.addresses().length <= 512);
});

test('any bytes of any length give an answer in range', () => {
  const seed = 20261122;
  const random = seeded(seed);
  const lan = switchOf(8);
  const bytes = new Uint8Array(4096);
  for (let round = 0; round < 50_000; round += 1) {
    for (let at = 0; at < 14; at += 1) {
      bytes[at + (round % 64)] = random() * (random() < 0.5 ? 4 : 256);
    }
    if (round % 100 === 0) lan.tick(round * 100);
    const to = lan.route(bytes, round % 64, Math.floor(random() * 70_000), 1 + (round % 8));
    assert.ok(to >= drop && to < portsMax, `seed ${seed} round ${round}`);
  }
});
