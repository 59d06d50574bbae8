/** One builder at a time; a dead one's lock and its workers do not stay in the way. */
import { test, type TestContext } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { identify, isSameProcess } from '../../../../src-main/base/node/process.ts';
import { acquireLock } from '../../../../src-main/kernels/node/lock.ts';

function place(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), 'lock-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return { directory, path: join(directory, 'build.lock') };
}

test('a second builder is refused until the first lets go', async (t) => {
  const { path, directory } = place(t);
  const first = await acquireLock(path, 'Busy.');
  await assert.rejects(acquireLock(path, 'Busy.'), { code: 'in-use', message: 'Busy.' });
  await first.release();
  await (await acquireLock(path, 'Busy.')).release();
  assert.deepEqual(readdirSync(directory), []);
});

test('a lock is never seen half-written while its holder notes who works for it', async (t) => {
  const { path } = place(t);
  const lock = await acquireLock(path, 'Busy.');
  const others = Array.from({ length: 20 }, () => {
    lock.setGroup(process.pid);
    return acquireLock(path, 'Busy.');
  });
  lock.setGroup(undefined);
  const all = await Promise.allSettled(others);
  assert.ok(all.every((each) => each.status === 'rejected'));
  await lock.release();
});

test('of many that come at once exactly one gets it', async (t) => {
  const { path } = place(t);
  writeFileSync(path, JSON.stringify({ token: 'x', holder: { pid: 2 ** 22 + 1, startTicks: 1 } }));
  const builders = Array.from({ length: 20 }, () => acquireLock(path, 'Busy.'));
  const all = await Promise.allSettled(builders);
  assert.equal(all.filter((each) => each.status === 'fulfilled').length, 1);
});

test('a lock is taken over from a process that is gone, even if its number lives on', async (t) => {
  const { path } = place(t);
  const dead = { token: 'x', holder: { pid: process.pid, startTicks: 1 } };
  for (const text of [JSON.stringify(dead), 'garbage', '']) {
    writeFileSync(path, text);
    await (await acquireLock(path, 'Busy.')).release();
    assert.ok(!existsSync(path));
  }
});

test('what still works for a dead builder is ended before its lock is taken', async (t) => {
  const { path } = place(t);
  const worker = spawn('sleep', ['1000'], { detached: true, stdio: 'ignore' });
  t.after(() => worker.kill('SIGKILL'));
  await once(worker, 'spawn');
  const group = identify(worker.pid as number);
  const dead = { token: 'x', holder: { pid: process.pid, startTicks: 1 }, group };
  writeFileSync(path, JSON.stringify(dead));
  await (await acquireLock(path, 'Busy.')).release();
  assert.ok(group !== undefined && !isSameProcess(group));
});
