/**
 * The Debian image, built from the machine's own mirror (a minute or more) and booted.
 */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildDebian } from '../../src-main/images/node/debian.ts';
import { bootMachine, run } from './agent-machine.ts';

test('Debian is built small, comes up whole, takes a login and stops in order', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'nymph-debian-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const fractions: number[] = [];
  const image = await buildDebian({
    directory,
    onProgress: (fraction) => void fractions.push(fraction ?? 0),
  });
  assert.ok(image.realBytes < 300 * 2 ** 20, `${image.realBytes} bytes on the disk`);
  assert.deepEqual(fractions, fractions.toSorted((a, b) => a - b));
  assert.deepEqual(await readdir(directory), ['debian.ext4']);

  const machine = await bootMachine(t, { image: image.path, memoryMib: 256 });
  const client = await machine.attach();
  await machine.console('test login: ');
  machine.type('root\n');
  await machine.console(/root@test:~# /);
  const state = await run(client, 'systemctl is-system-running --wait; systemctl --failed -q');
  assert.equal(state.stdout, 'running\n');
  await client.powerOff();
  assert.deepEqual(await machine.ended, { code: 0, signal: null });
});

test('a build that is cancelled leaves nothing', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'nymph-debian-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const stop = new AbortController();
  const building = buildDebian({
    directory,
    signal: stop.signal,
    onProgress: (_, step) => {
      if (step.startsWith('Unpacking')) stop.abort();
    },
  });
  await assert.rejects(building, { code: 'cancelled' });
  assert.deepEqual(await readdir(directory), []);
});
