/**
 * Goal: machines on a LAN reach each other and its services through the real thread. Method:
 * socket pairs whose other ends this test plays; nothing sleeps, each wait ends with an event.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { pathToFileURL } from 'node:url';
import { close, errnoName, libc,
  socketpairSeqpacket } from '../../../../src-main/base/node/posix.ts';
import { Refusal } from '../../../../src-main/base/refusal.ts';
import { Lans } from '../../../../src-main/networks/node/lans.ts';
import { dhcpClient, frameOf, macOf } from '../frames.ts';

const send = libc('long send(int fd, const void *bytes, size_t size, int flags)');
const receive = libc('long recv(int fd, void *bytes, size_t size, int flags)');
const dontwait = 0x40;

function open(t: TestContext, ...options: ConstructorParameters<typeof Lans>): Lans {
  const lans = new Lans(...options);
  // The thread alone does not keep a process alive; a server would.
  const alive = setInterval(() => undefined, 1000);
  t.after(() => {
    clearInterval(alive);
    return lans.close();
  });
  return lans;
}

async function plug(t: TestContext, lans: Lans, n: number,
  options: { up?: boolean } = {}): Promise<number> {
  const [near, far] = socketpairSeqpacket();
  t.after(() => close(near));
  await lans.attach({ lanId: 'l', portId: `p${n}`, fd: far, machineName: `machine ${n}`,
    mac: macOf(n), ...options });
  close(far);
  return near;
}

async function lan(lans: Lans, services = { dhcp: true, dns: true }): Promise<void> {
  await lans.createLan({ id: 'l', name: 'lab', subnet: '10.77.3.0/24', services });
}

/** The next frame at this end; looks again each turn of the event loop. */
async function next(fd: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(66000);
  for (let turn = 0; turn < 2_000_000; turn += 1) {
    const size = receive(fd, bytes, bytes.length, dontwait);
    if (size >= 0) return bytes.slice(0, size);
    assert.equal(errnoName(), 'EAGAIN');
    await new Promise((resolve) => setImmediate(resolve));
  }
  throw new Error('no frame came');
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve));
}

const put = (fd: number, frame: Uint8Array): void =>
  assert.equal(send(fd, frame, frame.length, dontwait), frame.length);
const hasCode = (code: string) => (thrown: unknown) =>
  thrown instanceof Refusal && thrown.code === code;

test('a frame goes to everybody until its receiver is known, then only there', async (t) => {
  const lans = open(t);
  await lan(lans);
  const [a, b, c] = [await plug(t, lans, 1), await plug(t, lans, 2), await plug(t, lans, 3)];
  put(a, frameOf(2, 1, 'one'));
  assert.deepEqual(await next(b), frameOf(2, 1, 'one'));
  assert.deepEqual(await next(c), frameOf(2, 1, 'one'));
  put(b, frameOf(1, 2, 'two'));
  assert.deepEqual(await next(a), frameOf(1, 2, 'two'));
  put(a, frameOf(2, 1, 'three'));
  put(a, frameOf(3, 1, 'four'));
  assert.deepEqual(await next(b), frameOf(2, 1, 'three'));
  // Had c been given the second or third frame, it would come before this one.
  assert.deepEqual(await next(c), frameOf(3, 1, 'four'));
  const learned = await lans.addresses('l');
  assert.deepEqual(learned.map(({ mac, portId }) => [mac, portId]).sort(), [
    [macOf(1), 'p1'], [macOf(2), 'p2'],
  ]);
});

test('counters count frames and bytes by port and by LAN, broken ones apart', async (t) => {
  const lans = open(t);
  await lan(lans);
  const [a, b] = [await plug(t, lans, 1), await plug(t, lans, 2)];
  put(a, Uint8Array.of(1, 2, 3));
  put(a, frameOf(2, 1, 'hello'));
  await next(b);
  await until(() => lans.portCounters('p2')!.txFrames === 1);
  const size = frameOf(2, 1, 'hello').length;
  const from = lans.portCounters('p1')!;
  assert.deepEqual([from.rxFrames, from.rxBytes, from.rxDropped, from.txFrames], [1, size, 1, 0]);
  const to = lans.portCounters('p2')!;
  assert.deepEqual([to.rxFrames, to.txFrames, to.txBytes, to.dropped], [0, 1, size, 0]);
  assert.equal(lans.lanCounters('l')!.rxDropped, 1);
  assert.equal(lans.portCounters('none'), undefined);
});

test('a machine gets an address by DHCP, and it shows in the leases', async (t) => {
  const leased = Promise.withResolvers<string>();
  const lans = open(t, { onLeases: (id) => leased.resolve(id) });
  await lan(lans);
  const a = await plug(t, lans, 1);
  const client = dhcpClient(1);
  put(a, client.discover());
  const offer = client.read(await next(a));
  put(a, client.request(offer.address));
  const ack = client.read(await next(a));
  assert.equal(ack.type, 5);
  assert.equal(await leased.promise, 'l');
  const [lease] = lans.leases('l');
  assert.deepEqual([lease!.mac, lease!.address, lease!.portId], [macOf(1), ack.text, 'p1']);
});

test('a receiver that does not read loses frames and holds up nobody else', async (t) => {
  const lans = open(t);
  await lan(lans);
  const [a, dead, c] = [await plug(t, lans, 1), await plug(t, lans, 2), await plug(t, lans, 3)];
  put(dead, frameOf(1, 2, 'here I am'));
  await next(a);
  await next(c);
  put(c, frameOf(1, 3, 'and I'));
  await next(a);
  await next(dead);
  const big = frameOf(2, 1, 'x'.repeat(9000));
  let sent = 0;
  // Until more is lost than its buffer and its ring can hold: then the sender is not held back.
  while (lans.portCounters('p2')!.txDropped === 0) {
    if (send(a, big, big.length, dontwait) > 0) sent += 1;
    else await new Promise((resolve) => setImmediate(resolve));
    assert.ok(sent < 100_000);
  }
  let asked = false;
  while (!asked) {
    const frame = frameOf(3, 1, 'still here');
    asked = send(a, frame, frame.length, dontwait) > 0;
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.deepEqual(await next(c), frameOf(3, 1, 'still here'));
  // What was kept for it comes in order once it reads.
  assert.deepEqual(await next(dead), big);
});

test('a link that is down carries nothing either way', async (t) => {
  const lans = open(t);
  await lan(lans);
  const [a, b] = [await plug(t, lans, 1), await plug(t, lans, 2, { up: false })];
  put(a, frameOf(2, 1, 'lost'));
  await until(() => lans.portCounters('p1')!.rxFrames === 1);
  await lans.setUp('p2', true);
  put(a, frameOf(2, 1, 'found'));
  assert.deepEqual(await next(b), frameOf(2, 1, 'found'));
});

test('the thread starts again with all LANs and ports', async (t) => {
  const restarted = Promise.withResolvers<void>();
  const lans = open(t, { onRestart: () => restarted.resolve() });
  await lan(lans);
  const [a, b] = [await plug(t, lans, 1), await plug(t, lans, 2)];
  await lans.restart();
  await restarted.promise;
  put(a, frameOf(2, 1, 'after'));
  assert.deepEqual(await next(b), frameOf(2, 1, 'after'));
});

/** A switch that fails as it starts for as long as the file of its luck is missing. */
function unlucky(t: TestContext): { threadFile: URL; turn: () => void } {
  const folder = mkdtempSync(join(tmpdir(), 'lans-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const [file, luck] = [join(folder, 'thread.mjs'), join(folder, 'luck')];
  const real = new URL('../../../../src-main/networks/node/switch-thread.ts', import.meta.url);
  writeFileSync(
    file,
    `import { existsSync } from 'node:fs';
    if (!existsSync(${JSON.stringify(luck)})) throw new Error('no luck');
    await import(${JSON.stringify(real.href)});`,
  );
  return { threadFile: pathToFileURL(file), turn: () => writeFileSync(luck, '') };
}

test('a switch that fails again and again rests, says why, and comes back when used', async (t) => {
  const { threadFile, turn } = unlucky(t);
  const lans = open(t, {}, { threadFile, pauseMsMin: 2 ** 30 });
  await assert.rejects(lan(lans), hasCode('unavailable'));
  assert.match(lans.fault!, /no luck/);
  await assert.rejects(lan(lans), hasCode('unavailable'));
  assert.equal(lans.has('l'), false);
  turn();
  await lan(lans);
  assert.equal(lans.fault, undefined);
  const [a, b] = [await plug(t, lans, 1), await plug(t, lans, 2)];
  put(a, frameOf(2, 1, 'late'));
  assert.deepEqual(await next(b), frameOf(2, 1, 'late'));
});

test('a switch that rests comes back by itself, with its LANs and ports', async (t) => {
  const { threadFile, turn } = unlucky(t);
  turn();
  const faults: (string | undefined)[] = [];
  const back = Promise.withResolvers<void>();
  const onFault = () => {
    faults.push(lans.fault);
    if (lans.fault === undefined) back.resolve();
  };
  const lans: Lans = open(t, { onFault }, { threadFile, pauseMsMin: 1 });
  await lan(lans);
  const [a, b] = [await plug(t, lans, 1), await plug(t, lans, 2)];
  for (let failure = 0; failure < 6; failure += 1) await lans.restart();
  await back.promise;
  assert.equal(faults.length, 2);
  put(a, frameOf(2, 1, 'again'));
  assert.deepEqual(await next(b), frameOf(2, 1, 'again'));
});

test('a machine that ends is reported, and detaching it twice is fine', async (t) => {
  const closed = Promise.withResolvers<string>();
  const lans = open(t, { onPortClosed: (id) => closed.resolve(id) });
  await lan(lans);
  const [near, far] = socketpairSeqpacket();
  await lans.attach({ lanId: 'l', portId: 'gone', fd: far, machineName: 'm', mac: macOf(9) });
  close(far);
  close(near);
  assert.equal(await closed.promise, 'gone');
  await lans.detach('gone');
  await lans.detach('gone');
});

test('what cannot be is refused and changes nothing', async (t) => {
  const lans = open(t);
  await lan(lans);
  await assert.rejects(lan(lans), hasCode('exists'));
  for (const subnet of ['10.0.0.0', '10.0.0.1/24', '0.0.0.0/24', '127.0.0.0/24', 'x/24',
    '224.0.0.0/24']) {
    await assert.rejects(lans.createLan({ id: 'x', name: 'x', subnet, services: { dhcp: true,
      dns: true } }), hasCode('usage'));
  }
  const near = await plug(t, lans, 1);
  const again = { lanId: 'l', portId: 'p1', fd: near, machineName: 'm', mac: macOf(1) };
  await assert.rejects(lans.attach(again), hasCode('exists'));
  await assert.rejects(lans.attach({ ...again, lanId: 'no' }), hasCode('not-found'));
  await assert.rejects(lans.attach({ ...again, portId: 'p2', mac: 'no' }), hasCode('usage'));
  await assert.rejects(lans.setUp('none', true), hasCode('not-found'));
  assert.equal(lans.has('x'), false);
  await lans.removeLan('l');
  assert.equal(lans.has('l'), false);
});
