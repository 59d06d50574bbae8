/** Files on their way into the server: by path from a trusted client, by bytes from a browser. */
import { after, before, suite, test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WebSocket } from 'ws';
import { Client } from '../../src-main/rpc/client.ts';
import { WebSocketChannel } from '../../src-main/rpc/node/websocket-channel.ts';
import { findServer } from '../../src-main/shells/headless/server.ts';
import { makeKernel } from '../src-main/kernels/fake-elf.ts';
import { launch, Undo, type World } from '../support/live.ts';

suite('a file for the server', () => {
  const undo = new Undo();
  const kept = process.env['NYMPH_KERNELS'];
  let world: World;
  let folder: string;
  let browser: Client;
  let page: { origin: string; cookie: string };

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'nymph-files-'));
    undo.after(() => rmSync(folder, { recursive: true }));
    // Kernels are shared by all homes; what is imported here is nobody else's.
    process.env['NYMPH_KERNELS'] = join(folder, 'kernels');
    world = await launch(undo);
    const url = new URL((await findServer(world.home))!.url);
    const cookie = `nymph-${url.port}=${url.searchParams.get('token')}`;
    page = { origin: url.origin, cookie };
    const socket = new WebSocket(`ws://${url.host}/ws`, { headers: { cookie } });
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
    undo.after(() => socket.terminate());
    browser = new Client(new WebSocketChannel(socket));
    writeFileSync(join(folder, 'mine'), makeKernel({ version: '7.2.0' }));
  });
  after(async () => {
    await undo.run();
    if (kept === undefined) delete process.env['NYMPH_KERNELS'];
    else process.env['NYMPH_KERNELS'] = kept;
  });

  test('is named by its path by the user’s own program, and then known by a grant', async () => {
    const { grant } = await world.client.call('file.grant', { path: join(folder, 'mine') });
    const kernel = await browser.call('kernel.import', { source: { grant } });
    assert.equal(kernel.id, 'mine');
    const again = browser.call('kernel.import', { source: { grant } });
    await assert.rejects(again, { code: 'not-found' });
  });

  test('cannot be named by its path by a page', async () => {
    const path = join(folder, 'mine');
    await assert.rejects(browser.call('file.grant', { path }), { code: 'denied' });
    const imported = browser.call('kernel.import', { source: { path } });
    await assert.rejects(imported, { code: 'denied' });
  });

  test('comes from a page as bytes, and does not stay', async () => {
    const sent = await fetch(`${page.origin}/upload?name=theirs`, {
      method: 'PUT',
      headers: { cookie: page.cookie },
      body: Buffer.from(makeKernel({ version: '7.2.0' })),
    });
    const { grant } = (await sent.json()) as { grant: string };
    const kernel = await browser.call('kernel.import', { source: { grant } });
    assert.equal(kernel.id, 'theirs');
    const again = browser.call('kernel.import', { source: { grant } });
    await assert.rejects(again, { code: 'not-found' });
  });
});
