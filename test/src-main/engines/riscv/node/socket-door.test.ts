/** The machine's sockets on the host: real unix sockets, and a guest that a test plays. */
import { test, type TestContext } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { op, shutdown } from '../../../../../src-main/engines/riscv/devices/vsock/packet.ts';
import { connectionsMax } from '../../../../../src-main/engines/riscv/devices/vsock/switchboard.ts';
import { SocketDoor } from '../../../../../src-main/engines/riscv/node/socket-door.ts';
import { Guest, type Heard } from '../devices/vsock/guest.ts';

function world(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), 'nymph-vsock-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'vsock');
  const door = new SocketDoor(path);
  const server = door.open();
  t.after(() => server.close());
  const guest = new Guest(door);
  /** The next packet that the guest hears. */
  const heard: Heard[] = [];
  const next = async () => {
    for (let looks = 0; looks < 500; looks++) {
      heard.push(...guest.heard());
      if (heard.length > 0) return heard.shift()!;
      await sleep(5);
    }
    throw new Error('the guest has heard nothing');
  };
  return { path, guest, next, door };
}

/** Connects, says the words, and answers with all that comes until the other side ends. */
async function talk(path: string, words: string): Promise<string> {
  const socket = connect(path, () => socket.write(words));
  socket.setEncoding('utf8').on('error', () => {});
  let text = '';
  for await (const more of socket) text += String(more);
  return text;
}

test('a program of the host reaches one of the guest: CONNECT, OK, and both talk', async (t) => {
  const { path, guest, next } = world(t);
  const told = talk(path, 'CONNECT 1234\nearly');
  const request = await next();
  assert.deepEqual([request.op, request.guestPort], [op.request, 1234]);
  guest.say({ ...request, op: op.response, room: 100_000 });
  assert.equal((await next()).text, 'early');
  guest.say({ ...request, op: op.data, room: 100_000, data: Buffer.from('answer') });
  guest.say({ ...request, op: op.shutdown, flags: shutdown.both });
  assert.equal((await next()).op, op.reset);
  assert.equal(await told, `OK ${request.hostPort}\nanswer`);
});

test('a program that ends with its request still hears what the guest says', async (t) => {
  const { path, guest, next } = world(t);
  const socket = connect({ path, allowHalfOpen: true }, () => socket.end('CONNECT 9\n'));
  const request = await next();
  guest.say({ ...request, op: op.response });
  assert.equal((await next()).op, op.shutdown);
  guest.say({ ...request, op: op.data, data: Buffer.from('late') });
  guest.say({ ...request, op: op.shutdown, flags: shutdown.both });
  const told: Buffer[] = [];
  for await (const more of socket) told.push(more as Buffer);
  assert.equal(Buffer.concat(told).toString(), `OK ${request.hostPort}\nlate`);
});

test('where nobody of the guest listens the connection ends, without an OK', async (t) => {
  const { path, guest, next } = world(t);
  const told = talk(path, 'CONNECT 80\n');
  guest.say({ ...(await next()), op: op.reset });
  assert.equal(await told, '');
});

test('a line that is no request ends the connection, and reaches no guest', async (t) => {
  const { path, guest } = world(t);
  const any = ['CONNECT\n', 'CONNECT x\n', 'CONNECT 4294967295\n', 'connect 1\n', '\n'];
  for (const line of [...any, 'x'.repeat(100), 'CONNECT 99999999999\n', 'CONNECT -1\n']) {
    assert.equal(await talk(path, line), '', line);
  }
  assert.deepEqual(guest.heard(), []);
});

test('the guest reaches who listens beside it; nobody there is a reset', async (t) => {
  const { path, guest, next } = world(t);
  const ports = { guestPort: 5, hostPort: 700 };
  guest.say({ ...ports, op: op.request });
  assert.equal((await next()).op, op.reset);
  const server = createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket));
  await new Promise<void>((resolve) => server.listen(`${path}_700`, resolve));
  t.after(() => server.close());
  guest.say({ ...ports, op: op.request });
  assert.equal((await next()).op, op.response);
  guest.say({ ...ports, op: op.data, data: Buffer.from('there and back') });
  assert.equal((await next()).text, 'there and back');
  guest.say({ ...ports, op: op.shutdown, flags: shutdown.send });
  const ends = [await next(), await next()].map((packet) => packet.op);
  assert.deepEqual(ends, [op.shutdown, op.reset]);
});

test('a program that does not read holds the guest at its credit', async (t) => {
  const { path, guest, next } = world(t);
  const clients: Socket[] = [];
  const server = createServer({ pauseOnConnect: true }, (socket) => clients.push(socket));
  await new Promise<void>((resolve) => server.listen(`${path}_1`, resolve));
  t.after(() => server.close(() => {}));
  const ports = { guestPort: 5, hostPort: 1 };
  guest.say({ ...ports, op: op.request });
  let { room, passedOn } = await next();
  let sent = 0;
  const piece = new Uint8Array(1 << 16);
  // The host's kernel keeps some of it as well.
  for (let still = 0; still < 20; still++) {
    while (passedOn + room - sent >= piece.length) {
      guest.say({ ...ports, op: op.data, data: piece });
      sent += piece.length;
      still = 0;
    }
    await sleep(10);
    ({ room, passedOn } = guest.heard().at(-1) ?? { room, passedOn });
  }
  assert.ok(sent < 4 << 20, `${sent} bytes`);
  let received = 0;
  clients[0]!.on('data', (bytes) => (received += bytes.length)).resume();
  while (received < sent) await sleep(5);
  clients[0]!.destroy();
  // As with TCP, it might listen still; that it is gone shows when something is sent.
  while ((await next()).op !== op.shutdown);
  guest.say({ ...ports, op: op.data, data: piece });
  while ((await next()).op !== op.reset);
});

test('more sockets than there may be are closed at once; those that are there stay', async (t) => {
  const { path } = world(t);
  const sockets = Array.from({ length: connectionsMax + 50 }, () => connect(path));
  let closed = 0;
  for (const socket of sockets) socket.on('close', () => closed++).on('error', () => {}).resume();
  while (closed < 50) await sleep(5);
  await sleep(20);
  assert.equal(closed, 50);
  for (const socket of sockets) socket.destroy();
});
