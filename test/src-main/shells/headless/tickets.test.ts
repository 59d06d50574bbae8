/** Whose connection it is, and the address that a window is opened with. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import {
  connect,
  createServer as createSocketServer,
  type AddressInfo,
  type Socket,
} from 'node:net';
import { peerUid, uidIn, windowUrl } from '../../../../src-main/shells/headless/tickets.ts';

const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid
   0: 0100007F:11F8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 18 1
   1: 0100007F:11F8 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 19 1
   2: 0100007F:C350 0100007F:11F8 01 00000000:00000000 00:00000000 00000000  1001        0 20 1`;

test('the far end of a connection has an owner in the table', () => {
  assert.equal(uidIn(table, { localPort: 0x11f8, remotePort: 50_000 }), 1001);
  assert.equal(uidIn(table, { localPort: 50_000, remotePort: 0x11f8 }), 0);
  assert.equal(uidIn(table, { localPort: 0x11f8, remotePort: 50_001 }), -1);
  assert.equal(uidIn('', { localPort: 1, remotePort: 2 }), -1);
});

test('a connection of our own is our own', async (t) => {
  const server = createSocketServer().listen(0, '127.0.0.1');
  t.after(() => void server.close());
  await once(server, 'listening');
  const accepted = once(server, 'connection');
  const near = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [far] = (await accepted) as [Socket];
  t.after(() => [near, far].forEach((socket) => socket.destroy()));
  const uid = peerUid({ localPort: far.localPort!, remotePort: far.remotePort! });
  assert.equal(uid, process.getuid?.());
});

test('the address of a window holds a ticket and no token', async (t) => {
  const cookies: unknown[] = [];
  const server = createServer((request, response) => {
    cookies.push(request.headers.cookie);
    if (cookies.length > 1) response.writeHead(403);
    response.end('{"ticket":"once"}');
  }).listen(0, '127.0.0.1');
  t.after(() => void server.close());
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}/?token=secret`;
  assert.equal(await windowUrl(url), `http://127.0.0.1:${port}/?ticket=once`);
  await assert.rejects(windowUrl(url), { code: 'unavailable' });
  assert.deepEqual(cookies, Array(2).fill(`nymph-${port}=secret`));
});
