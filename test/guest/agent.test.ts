/**
 * The agent in a real guest: Tiny Linux on our kernel, its line on FIFOs.
 */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import type { GuestStats } from '../../src-main/guest/stats.ts';
import { buildTiny } from '../../src-main/images/node/tiny.ts';
import { bootMachine, imageCache, run } from './agent-machine.ts';

const tiny = async () => (await buildTiny({ cache: imageCache })).path;

test('a command runs in the guest, with its output, its errors and its exit code', async (t) => {
  const machine = await bootMachine(t, { image: await tiny() });
  const client = await machine.attach();
  const { ending, stdout, stderr } = await run(client, 'uname -n; echo no >&2; exit 5');
  assert.deepEqual(ending, { kind: 'exited', code: 5 });
  assert.equal(stdout, 'test\n');
  assert.equal(stderr, 'no\n');
  assert.equal((await run(client, 'uname -r')).stdout.trim(), client.guest?.release);
});

test('2 MB go through the guest and come back unchanged', async (t) => {
  const machine = await bootMachine(t, { image: await tiny() });
  const client = await machine.attach();
  const bytes = Buffer.alloc(2_000_000);
  for (let i = 0; i < bytes.length; i++) bytes[i] = (i * 2_654_435_761) >>> 24;
  const hash = createHash('sha256');
  const session = client.exec({ argv: ['cat'], stdout: (part) => void hash.update(part) });
  for (let at = 0; at < bytes.length; at += 65_536) {
    await session.write(bytes.subarray(at, at + 65_536));
  }
  session.end();
  assert.deepEqual(await session.exit, { kind: 'exited', code: 0 });
  assert.equal(hash.digest('hex'), createHash('sha256').update(bytes).digest('hex'));
});

test('the size of a console’s window reaches the guest, also before anybody logs in', async (t) => {
  const machine = await bootMachine(t, { image: await tiny() });
  const client = await machine.attach();
  client.setWindow('/dev/tty0', { rows: 41, columns: 137 });
  await client.sync(60_000);
  await machine.console('login: ');
  machine.type('root\n');
  await machine.console('# ');
  machine.type('stty size\n');
  await machine.console(/\n41 137\r/);
  client.setWindow('/dev/tty0', { rows: 12, columns: 80 });
  await client.sync(60_000);
  machine.type('stty size\n');
  await machine.console(/\n12 80\r/);
});

test('a command with a terminal has job control and the size that was asked', async (t) => {
  const machine = await bootMachine(t, { image: await tiny() });
  const client = await machine.attach();
  let said = '';
  const session = client.exec({
    argv: ['sh', '-c', 'tty; stty size; cat'],
    tty: { rows: 30, columns: 90 },
    stdout: (bytes) => {
      // Once the line is whole: Ctrl-C throws away what its terminal still holds.
      const before = said.includes('30 90\r\n');
      said += Buffer.from(bytes).toString();
      if (!before && said.includes('30 90\r\n')) void session.write(Buffer.from([3]));
    },
  });
  assert.deepEqual(await session.exit, { kind: 'signaled', signal: 2 });
  assert.match(said, /^\/dev\/pts\/\d+\r\n30 90\r\n/);
});

test('the host goes away in the middle of a stream and comes back', async (t) => {
  const machine = await bootMachine(t, { image: await tiny() });
  for (let round = 0; round < 5; round++) {
    const client = await machine.attach();
    let seen = 0;
    const reached = Promise.withResolvers<void>();
    const session = client.exec({
      argv: ['cat', '/dev/zero'],
      stdout: (bytes) => {
        seen += bytes.length;
        if (seen > 200_000) reached.resolve();
      },
    });
    await reached.promise;
    client.close();
    await assert.rejects(session.exit, { code: 'cancelled' });
  }
  const client = await machine.attach();
  assert.equal((await run(client, 'echo back')).stdout, 'back\n');
  assert.equal((await run(client, 'pidof cat')).stdout, '', 'what ran for the old hosts was ended');
});

test('figures come from the guest’s own kernel', async (t) => {
  const machine = await bootMachine(t, { image: await tiny(), memoryMib: 96 });
  const client = await machine.attach();
  const stats = await new Promise<GuestStats>((resolve) => {
    const stop = client.onStats(100, (sample) => {
      stop();
      resolve(sample);
    });
  });
  assert.ok(stats.memory.totalBytes > 60 * 2 ** 20 && stats.memory.totalBytes < 96 * 2 ** 20);
  assert.equal(stats.system, 'Tiny Linux');
  assert.equal(stats.hostname, 'test');
  assert.ok(stats.disks.some((disk) => disk.name === 'ubda' && disk.readBytes > 0));
  assert.ok(stats.rootDisk.totalBytes > 900 * 2 ** 20);
});

test('power off is orderly: what was written is on the disk, the exit code is 0', async (t) => {
  const machine = await bootMachine(t, { image: await tiny() });
  const client = await machine.attach();
  await run(client, 'echo kept >/root/file');
  await client.powerOff();
  assert.deepEqual(await machine.ended, { code: 0, signal: null });
  const disk = `${machine.directory}/disk`;
  assert.match(execFileSync('debugfs', ['-R', 'cat /root/file', disk]).toString(), /kept/);
  assert.match(execFileSync('dumpe2fs', ['-h', disk]).toString(), /Filesystem state: +clean/);
});

test('a reboot brings a new agent that the same client finds', async (t) => {
  const machine = await bootMachine(t, { image: await tiny() });
  const client = await machine.attach();
  await run(client, 'touch /run/before');
  const again = new Promise<void>((resolve) => void client.onStarted(() => resolve()));
  await client.powerOff('reboot');
  await again;
  assert.equal((await run(client, 'test -e /run/before; echo $?')).stdout, '1\n');
});

test('a machine whose disk is missing says so, and does not end as if all was well', async (t) => {
  const machine = await bootMachine(t, { words: ['nymph.root=/dev/ubdz'] });
  await machine.console('Nymph: The disk /dev/ubdz did not appear.');
  assert.deepEqual(await machine.ended, { code: 3, signal: null });
});

test('a machine whose init is missing says so', async (t) => {
  const machine = await bootMachine(t, { image: await tiny(), words: ['nymph.init=/none'] });
  await assert.rejects(machine.attach(), { message: /none cannot be started/ });
  await machine.console('Nymph: The program /none cannot be started as init.');
  assert.deepEqual(await machine.ended, { code: 3, signal: null });
});
