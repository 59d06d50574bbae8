/**
 * A home on a disk of 160 MiB that is then filled to its last byte, for test/guest/full-disk: run
 * with TMPDIR on such a disk. Everything that is tried there is refused with `no-space` or done
 * whole, and what was there before is there afterwards, byte for byte.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  closeSync, openSync, readdirSync, readFileSync, rmSync, statfsSync, statSync, writeSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import { Refusal } from '../../src-main/base/refusal.ts';
import { launch, Undo, type World } from './live.ts';

const undo = new Undo();
try {
  await main(await launch(undo));
} finally {
  await undo.run();
}
process.exit();

async function main(world: World): Promise<void> {
  const call: World['client']['call'] = (...words) => world.client.call(...words);
  await call('machine.create', { name: 'first', memoryMib: 64 });
  await call('network.create', { name: 'lab' });
  // Outside of that disk, as a file is that somebody drops.
  const source = `/dev/shm/nymph-full-${process.pid}.img`;
  const tiny = join(world.paths.images, 'tiny/disk.raw');
  execFileSync('cp', ['--sparse=always', tiny, source]);
  undo.after(() => rmSync(source, { force: true }));

  const filler = join(world.home, 'filler');
  const tries: Record<string, () => Promise<unknown>> = {
    'a machine': () => call('machine.create', { name: 'second' }),
    'a disk': () => call('disk.add', { machine: 'first', sizeBytes: 1 << 20 }),
    'a LAN': () => call('network.create', { name: 'office' }),
    'a cable': () => call('network.connect', { machine: 'first', network: 'lab' }),
    'settings': () => call('machine.update', { machine: 'first', changes: { memoryMib: 96 } }),
    'a place': () => call('layout.set', { places: { nowhere: { x: 1, y: 1 } } }),
    'an image': async () => {
      const { id } = await call('image.import', { source: { path: source } });
      const { state, error } = await call('job.wait', { job: id });
      if (state === 'failed') throw new Refusal('no-space', error!);
    },
    'a bundle': async () => {
      const path = join(world.home, 'first.nymph');
      const { id } = await call('machine.export', { machine: 'first', path });
      const { state, error } = await call('job.wait', { job: id });
      if (state === 'failed') throw new Refusal('no-space', error!);
    },
  };
  for (const [name, attempt] of Object.entries(tries)) {
    const before = contents(world.home);
    fill(filler);
    assert.ok(freeBytes(world.home) < 4096);
    const refusal = await attempt().then(() => undefined, (thrown: unknown) => thrown);
    rmSync(filler);
    if (refusal === undefined) {
      process.stdout.write(`${name}: done\n`);
      continue;
    }
    const { code, message } = refusal as Refusal;
    process.stdout.write(`${name}: ${message}\n`);
    assert.equal(code, 'no-space', `${name}: ${message}`);
    assert.match(message, /space|full/, name);
    assert.deepEqual(contents(world.home), before, name);
  }
  // And with room again, everything that was refused works.
  await call('machine.create', { name: 'third' });
  await call('machine.update', { machine: 'first', changes: { memoryMib: 128 } });
  assert.equal((await call('machine.get', { machine: 'first' })).memoryMib, 128);
}

function freeBytes(path: string): number {
  const { bavail, bsize } = statfsSync(path);
  return bavail * bsize;
}

/** Writes until nothing more goes in, down to single bytes. */
function fill(path: string): void {
  const file = openSync(path, 'w');
  for (let size = 1 << 20; size >= 1; ) {
    try {
      if (writeSync(file, Buffer.alloc(size, 1)) < size) size >>= 1;
    } catch (thrown) {
      assert.equal((thrown as NodeJS.ErrnoException).code, 'ENOSPC');
      size >>= 1;
    }
  }
  closeSync(file);
}

/** Every file of the home but its logs, by a digest of what is in it. */
function contents(home: string): Record<string, string> {
  const files = readdirSync(home, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !/\.log$|events/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name));
  return Object.fromEntries(files.map((path) => {
    // The disk of Tiny Linux is a gibibyte of holes; its time and room tell as much.
    const { size, mtimeMs, blocks } = statSync(path);
    const content = size > 1 << 24 ? `${mtimeMs} ${blocks}` : readFileSync(path);
    return [relative(home, path), createHash('sha256').update(content).digest('hex')];
  }));
}
