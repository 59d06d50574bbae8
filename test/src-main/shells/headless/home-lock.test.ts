/** One server for each home: who gets the lock, what the others are told, what a kill leaves. */
import { test, type TestContext } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nymphPaths, type Paths } from '../../../../src-main/app/node/paths.ts';
import {
  connectHome,
  holderOf,
  HomeHeld,
  takeHome,
} from '../../../../src-main/shells/headless/home-lock.ts';

function home(t: TestContext): Paths {
  const folder = mkdtempSync(join(tmpdir(), 'hl-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const paths = { ...nymphPaths({}, folder), socket: join(folder, 's') };
  mkdirSync(paths.data, { recursive: true });
  return paths;
}

test('the second is told who the first is, until the first lets go', (t) => {
  const paths = home(t);
  const lock = takeHome(paths);
  assert.throws(
    () => takeHome(paths),
    new HomeHeld({ pid: process.pid, startTicks: 0, socket: 'x' }),
  );
  lock.release();
  lock.release();
  assert.equal(holderOf(paths), undefined);
  takeHome(paths).release();
});

test('a home is held across run folders, and leads to where its server answers', async (t) => {
  const paths = home(t);
  const server = createServer((socket) => socket.end()).listen(paths.socket);
  await once(server, 'listening');
  t.after(() => void server.close());
  const lock = takeHome(paths);
  const elsewhere = { ...paths, run: '/run/user/elsewhere', socket: '/run/user/elsewhere/s' };
  assert.throws(() => takeHome(elsewhere), HomeHeld);
  const socket = await connectHome(elsewhere);
  assert.ok(socket);
  socket.destroy();
  lock.release();
  assert.equal(await connectHome(elsewhere), undefined);
});

test('a note without its process, or no note at all, is nobody’s', (t) => {
  const paths = home(t);
  const file = join(paths.data, 'server.lock');
  for (const text of ['', 'garbage', '[]', '{"pid":1}', note(process.pid, 1), note(2 ** 30, 1)]) {
    writeFileSync(file, text);
    assert.equal(holderOf(paths), undefined, text);
    takeHome(paths).release();
  }
  assert.equal(readFileSync(file, 'utf8'), '');
});

test('of eight that start at once one gets it; killed, it leaves nothing behind', async (t) => {
  const paths = home(t);
  const module = join(import.meta.dirname, '../../../../src-main/shells/headless/home-lock.ts');
  const script = `
    const { takeHome } = await import(${JSON.stringify(module)});
    try { takeHome(${JSON.stringify(paths)}); process.stdout.write('mine'); }
    catch { process.stdout.write('held'); }
    setInterval(() => {}, 1000);`;
  const children = Array.from({ length: 8 }, () =>
    spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    }),
  );
  t.after(() => children.forEach((child) => child.kill('SIGKILL')));
  const said = await Promise.all(
    children.map(async (child) => String((await once(child.stdout!, 'data'))[0])),
  );
  assert.deepEqual(said.toSorted(), [...Array<string>(7).fill('held'), 'mine']);
  const holder = children[said.indexOf('mine')]!;
  assert.equal(holderOf(paths)?.pid, holder.pid);
  holder.kill('SIGKILL');
  await once(holder, 'exit');
  takeHome(paths).release();
});

function note(pid: number, startTicks: number): string {
  return JSON.stringify({ pid, startTicks, socket: '/s' });
}
