/**
 * The door for browsers, knocked at in every way that must not open it. Behind it is an api that
 * only counts; in front of it raw sockets, since a browser would never send half of this.
 */
import { after, before, suite, test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { request, type IncomingMessage, type Server } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WebSocket } from 'ws';
import { Refusal } from '../../../../src-main/base/refusal.ts';
import { Client } from '../../../../src-main/rpc/client.ts';
import { WebSocketChannel } from '../../../../src-main/rpc/node/websocket-channel.ts';
import type { Api, Caller } from '../../../../src-main/rpc/server.ts';
import { openHttpDoor, portOf } from '../../../../src-main/shells/headless/http.ts';
import { Tickets } from '../../../../src-main/shells/headless/tickets.ts';

const token = 'a-token-of-this-test';
let nowMs = 0;
const tickets = new Tickets(() => nowMs);
let home: string;
let server: Server;
let port: number;
const callers: Caller[] = [];
const uploads: { title: string; length?: number; text: string }[] = [];

const api: Api = {
  call: async (_method, _params, caller) => {
    callers.push(caller);
    return [];
  },
  connected() {},
  disconnected() {},
};

async function receive(title: string, length: number | undefined, body: IncomingMessage) {
  if (title === 'full') throw new Refusal('no-space', 'There is no space.');
  let text = '';
  for await (const chunk of body) text += String(chunk);
  uploads.push({ title, length, text });
  return 'grant-1';
}

before(async () => {
  home = mkdtempSync(join(tmpdir(), 'nh-'));
  const root = join(home, 'renderer');
  mkdirSync(join(root, 'assets'), { recursive: true });
  writeFileSync(join(root, 'index.html'), '<!doctype html>hello');
  writeFileSync(join(root, 'assets/app-1.js'), 'let a');
  writeFileSync(join(home, 'secret.txt'), 'secret');
  mkdirSync(join(home, 'renderer-too'));
  writeFileSync(join(home, 'renderer-too/secret.txt'), 'secret');
  symlinkSync('/nowhere', join(root, 'broken'));
  server = await openHttpDoor({ root, token, tickets, api, receive }, 0);
  port = portOf(server);
});

after(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  rmSync(home, { recursive: true, force: true });
});

type Answer = { status: number; headers: IncomingMessage['headers']; text: string };

/** As a browser of ours would ask, unless told otherwise; an `undefined` header is left out. */
function ask(
  path: string,
  headers: Record<string, string | undefined> = {},
  sent: { method?: string; body?: string } = {},
): Promise<Answer> {
  const all = { host: `127.0.0.1:${port}`, cookie: `nymph-${port}=${token}`, ...headers };
  const given = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
  return new Promise((resolve, reject) => {
    const asking = request(
      { port, host: '127.0.0.1', path, method: sent.method ?? 'GET', headers: given, agent: false },
      async (response) => {
        let text = '';
        for await (const chunk of response) text += String(chunk);
        resolve({ status: response.statusCode!, headers: response.headers, text });
      },
    );
    asking.on('error', reject);
    asking.end(sent.body);
  });
}

const nothing = { cookie: undefined };

suite('the token', () => {
  test('in the address becomes a cookie that no script reads, and leaves the address', async () => {
    const { status, headers } = await ask(`/?token=${token}&page=2`, nothing);
    assert.equal(status, 303);
    assert.equal(headers.location, '/?page=2');
    assert.deepEqual(headers['set-cookie'], [
      `nymph-${port}=${token}; Path=/; HttpOnly; SameSite=Strict`,
    ]);
  });

  test('that is wrong opens nothing and sets nothing', async () => {
    for (const wrong of ['', 'x', token.slice(0, -1), `${token}x`]) {
      const { status, headers } = await ask(`/?token=${wrong}`, nothing);
      assert.deepEqual([status, headers['set-cookie']], [403, undefined]);
    }
  });

  test('must be in the cookie of every later request', async () => {
    assert.equal((await ask('/', nothing)).status, 403);
    for (const cookie of [`nymph-${port}=x`, `nymph=${token}`, `xnymph-${port}=${token}`, token]) {
      assert.equal((await ask('/', { cookie })).status, 403, cookie);
    }
    assert.equal((await ask('/', { cookie: `a=1; nymph-${port}=${token}; b=2` })).status, 200);
  });

  test('is in no answer but that one', async () => {
    const answers = [await ask('/'), await ask('/', nothing), await ask('/missing')];
    for (const { text, headers } of answers)
      assert.ok(!(text + JSON.stringify(headers)).includes(token));
  });
});

suite('a ticket', () => {
  const cookie = [`nymph-PORT=${token}; Path=/; HttpOnly; SameSite=Strict`];
  const use = async (ticket: string) => {
    const { status, headers } = await ask(`/?ticket=${ticket}`, nothing);
    const set = headers['set-cookie']?.map((text) => text.replace(`-${port}=`, '-PORT='));
    return { status, set, location: headers.location };
  };
  const fetched = async () => {
    const { text } = await ask('/ticket', {}, { method: 'POST' });
    return (JSON.parse(text) as { ticket: string }).ticket;
  };

  test('is had with the cookie, and only by asking for it', async () => {
    for (const [headers, method] of [
      [nothing, 'POST'],
      [{ origin: 'http://evil.example' }, 'POST'],
      [{}, 'GET'],
    ] as const) {
      assert.doesNotMatch((await ask('/ticket', headers, { method })).text, /"ticket"/);
    }
    assert.notEqual(await fetched(), await fetched());
  });

  test('lets in once', async () => {
    const ticket = await fetched();
    assert.deepEqual(await use(ticket), { status: 303, set: cookie, location: '/' });
    assert.deepEqual(await use(ticket), { status: 403, set: undefined, location: undefined });
  });

  test('lets in for a minute', async () => {
    const [early, late] = [await fetched(), await fetched()];
    nowMs += 59_999;
    assert.equal((await use(early)).status, 303);
    nowMs += 1;
    assert.equal((await use(late)).status, 403);
    assert.equal((await use('')).status, 403);
  });

  test('is not kept without limit: the oldest go first', async () => {
    const first = await fetched();
    for (let count = 0; count < 64; count += 1) await fetched();
    assert.equal((await use(first)).status, 403);
  });

  test('never leads to another host', async () => {
    const { headers } = await ask(`/.//evil.example/?ticket=${await fetched()}`, nothing);
    assert.equal(headers.location, '/evil.example/');
  });
});

suite('a request', () => {
  test('under another host name is refused, with or without token (DNS rebinding)', async () => {
    for (const host of [
      'evil.example',
      `evil.example:${port}`,
      '127.0.0.1',
      `127.0.0.1:${port + 1}`,
    ]) {
      assert.equal((await ask('/', { host })).status, 403, host);
      assert.equal((await ask(`/?token=${token}`, { host, ...nothing })).status, 403, host);
    }
    assert.equal((await ask('/', { host: `localhost:${port}` })).status, 200);
  });

  test('of another page is refused', async () => {
    for (const origin of [
      'http://evil.example',
      'null',
      `https://127.0.0.1:${port}`,
      'http://127.0.0.1',
    ]) {
      assert.equal((await ask('/', { origin })).status, 403, origin);
    }
    assert.equal((await ask('/', { origin: `http://127.0.0.1:${port}` })).status, 200);
  });

  test('for anything but reading is refused', async () => {
    for (const method of ['POST', 'DELETE', 'OPTIONS', 'PUT']) {
      assert.equal((await ask('/', {}, { method })).status, 405, method);
    }
    assert.equal((await ask('/', {}, { method: 'HEAD' })).text, '');
  });

  test('is answered with a policy and without a place in anybody’s cache', async () => {
    const { headers } = await ask('/');
    assert.match(String(headers['content-security-policy']), /default-src 'none'/);
    assert.equal(headers['x-content-type-options'], 'nosniff');
    assert.equal(headers['referrer-policy'], 'no-referrer');
    assert.equal(headers['cross-origin-resource-policy'], 'same-origin');
    assert.equal(headers['cache-control'], 'no-cache');
    const refused = await ask('/', nothing);
    assert.match(String(refused.headers['content-security-policy']), /default-src 'none'/);
  });

  test('with an address that is none hurts nobody', async () => {
    const wrong = ['//', '/%', '/%zz', '/\u00ff', '/a%00b', `/${'x'.repeat(9000)}`];
    for (const path of wrong) {
      assert.ok((await ask(path)).status >= 400, path);
    }
    assert.equal((await ask('/')).status, 200);
  });
});

suite('files', () => {
  test('are those of the window, with their types', async () => {
    const page = await ask('/');
    assert.deepEqual([page.status, page.text], [200, '<!doctype html>hello']);
    assert.match(page.headers['content-type'] ?? '', /^text\/html/);
    const script = await ask('/assets/app-1.js');
    assert.match(script.headers['content-type'] ?? '', /^text\/javascript/);
    assert.match(script.headers['cache-control'] ?? '', /immutable/);
  });

  test('above the window’s folder are never reached, however written', async () => {
    const ways = [
      '/../secret.txt',
      '/..%2fsecret.txt',
      '/%2e%2e/secret.txt',
      '/%2e%2e%2fsecret.txt',
      '/assets/../../secret.txt',
      '/assets/..%2f..%2fsecret.txt',
      '/..%2frenderer-too/secret.txt',
      '/..\\secret.txt',
      `/%2f${'..%2f'.repeat(9)}etc%2fpasswd`,
      '/%2e%2e%2f%2e%2e%2fetc/passwd',
    ];
    for (const way of ways) {
      const { status, text } = await ask(way);
      assert.ok(status === 404 || status === 400, `${way}: ${status}`);
      assert.ok(!/secret|root:/.test(text), way);
    }
  });

  test('that are folders or broken links are not there', async () => {
    for (const path of ['/assets', '/assets/', '/broken', '/none.js']) {
      assert.equal((await ask(path)).status, 404, path);
    }
  });
});

suite('an upload', () => {
  test('answers with a grant', async () => {
    const { status, text } = await ask('/upload?name=disk.img', {}, { method: 'PUT', body: 'abc' });
    assert.deepEqual([status, JSON.parse(text)], [200, { grant: 'grant-1' }]);
    assert.deepEqual(uploads.at(-1), { title: 'disk.img', length: 3, text: 'abc' });
  });

  test('without cookie or from another page is not even read', async () => {
    const before = uploads.length;
    const put = { method: 'PUT', body: 'abc' };
    assert.equal((await ask('/upload?name=a', nothing, put)).status, 403);
    assert.equal((await ask('/upload?name=a', { origin: 'http://evil.example' }, put)).status, 403);
    assert.equal((await ask(`/upload?name=a&token=${token}`, nothing, put)).status, 403);
    assert.equal(uploads.length, before);
  });

  test('that does not fit is refused in words', async () => {
    const { status, text } = await ask('/upload?name=full', {}, { method: 'PUT', body: 'abc' });
    assert.equal(status, 507);
    assert.deepEqual(JSON.parse(text), {
      error: { code: 'no-space', message: 'There is no space.' },
    });
  });

  test('has a title of a bearable length', async () => {
    await ask(`/upload?name=${'x'.repeat(5000)}`, {}, { method: 'PUT', body: '' });
    assert.equal(uploads.at(-1)!.title.length, 200);
  });
});

suite('the WebSocket', () => {
  const open = (path: string, headers: Record<string, string>) =>
    new Promise<WebSocket>((resolve, reject) => {
      const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, { headers });
      socket.once('open', () => resolve(socket));
      socket.once('error', reject);
    });
  const cookie = () => `nymph-${port}=${token}`;

  test('carries calls, whose caller may not name files of the host', async () => {
    const socket = await open('/ws', { cookie: cookie(), origin: `http://127.0.0.1:${port}` });
    const client = new Client(new WebSocketChannel(socket));
    assert.deepEqual(await client.call('machine.list', {}), []);
    assert.equal(callers.at(-1)!.trusted, false);
    client.close();
  });

  test('is refused without cookie, with a wrong one, from another page or path', async () => {
    const before = callers.length;
    const origin = `http://127.0.0.1:${port}`;
    const wrong: [string, Record<string, string>][] = [
      ['/ws', {}],
      ['/ws', { cookie: `nymph-${port}=x` }],
      ['/ws', { cookie: cookie(), origin: 'http://evil.example' }],
      ['/ws', { cookie: cookie(), origin: 'null' }],
      [`/ws?token=${token}`, { origin }],
      ['/wss', { cookie: cookie() }],
      ['/', { cookie: cookie() }],
      ['//', { cookie: cookie() }],
    ];
    for (const [path, headers] of wrong) {
      await assert.rejects(open(path, headers), /403/, `${path} ${JSON.stringify(headers)}`);
    }
    assert.equal(callers.length, before);
  });

  test('survives callers that ask for it and hang up at once', async () => {
    for (let round = 0; round < 20; round++) {
      await new Promise<void>((resolve) => {
        const socket = connect(port, '127.0.0.1', () => {
          socket.write(
            `GET /ws HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: Upgrade\r\n` +
              'Upgrade: websocket\r\n\r\n',
          );
          socket.resetAndDestroy();
        });
        socket.on('close', () => resolve());
        socket.on('error', () => {});
      });
    }
    assert.equal((await ask('/')).status, 200);
  });

  test('cuts off a client that sends nonsense, and serves the next', async () => {
    const socket = await open('/ws', { cookie: cookie() });
    const heard = new Promise<string>((resolve) =>
      socket.once('message', (m) => resolve(String(m))),
    );
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    socket.send('nonsense');
    assert.match(await heard, /bad-input/);
    await closed;
    (await open('/ws', { cookie: cookie() })).terminate();
  });
});

test('listens on the loopback address only', () => {
  const address = server.address();
  assert.ok(typeof address === 'object' && address?.address === '127.0.0.1');
});
