/** Saved states on disk: there when the engine's file is, gone with it, whole or not at all. */
import { afterEach, beforeEach, suite, test } from 'node:test';
import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  copySuspended,
  createSnapshot,
  describeState,
  discardSuspended,
  existingSnapshot,
  isSuspended,
  listSnapshots,
  hasMemory,
  prepareSuspended,
  readSuspended,
  removeSnapshot,
  suspendFrom,
} from '../../../../src-main/app/node/saved-states.ts';
import { resumedSpec, revertedSpec } from '../../../../src-main/app/spec-words.ts';
import { parseSpec } from '../../../../src-main/machine/spec.ts';

const spec = parseSpec(`{id: 0a1b2c3d, engine: portable, memory: 96MiB, cpus: 2,
  disks: [{id: root, image: tiny-riscv64, file: root.cow}]}`);
let directory: string;
beforeEach(() => (directory = mkdtempSync(join(tmpdir(), 'nymph-saved-'))));
afterEach(() => rmSync(directory, { recursive: true }));

async function suspended(): Promise<void> {
  const path = await prepareSuspended(directory, 'web', 7, spec);
  writeFileSync(path, 'all of it');
}

suite('a suspended machine', () => {
  test('is one exactly while the engine’s file is there', async () => {
    const path = await prepareSuspended(directory, 'web', 7, spec);
    assert.equal(isSuspended(directory), false, 'it is only described yet');
    assert.equal(await readSuspended(directory), undefined);
    writeFileSync(path, 'all of it');
    assert.deepEqual(await readSuspended(directory), { path, machine: 'web', savedMs: 7, spec });
    await discardSuspended(directory);
    assert.equal(isSuspended(directory), false);
    assert.deepEqual(readdirSync(directory), []);
  });

  test('goes on with the hardware it had, and all else as it is now', () => {
    const now = { ...spec, cpus: 4, memory: 2 ** 28, notes: 'mine', confinement: 'off' as const };
    const { cpus, memory, notes, confinement } = resumedSpec(spec, now);
    assert.deepEqual([cpus, memory, notes, confinement], [2, 96 << 20, 'mine', 'off']);
  });

  test('whose description is broken is refused in a sentence', async () => {
    await suspended();
    writeFileSync(join(directory, 'suspended', 'saved.json'), '{"machine":7}');
    await assert.rejects(readSuspended(directory), { code: 'bad-input', message: /damaged/ });
  });
});

suite('a snapshot', () => {
  const take = (name: string, savedMs: number) =>
    createSnapshot(directory, name, async (folder) => {
      writeFileSync(await describeState(folder, 'web', savedMs, spec), 'memory');
      writeFileSync(join(folder, 'disks', 'root.cow'), 'disk');
    });

  test('is listed with its time and size, the newest first', async () => {
    await take('first', 100);
    await take('second', 200);
    const listed = await listSnapshots(directory);
    assert.deepEqual(
      listed.map(({ name, createdMs, realBytes }) => [name, createdMs, realBytes > 0]),
      [['second', 200, true], ['first', 100, true]],
    ); // prettier-ignore
    await assert.rejects(take('first', 300), { code: 'exists' });
    assert.throws(() => existingSnapshot(directory, 'third'), { code: 'not-found' });
  });

  test('of a machine that is off holds its disks only', async () => {
    await take('asleep', 100);
    await createSnapshot(directory, 'off', async (folder) => {
      await describeState(folder, 'web', 200, spec);
    });
    const listed = await listSnapshots(directory);
    assert.deepEqual(
      listed.map(({ name, memory }) => [name, memory]),
      [['off', false], ['asleep', true]],
    ); // prettier-ignore
    assert.equal(hasMemory(existingSnapshot(directory, 'off')), false);
  });

  test('is deleted at once, and one that is half gone is none', async () => {
    await take('first', 100);
    await take('second', 200);
    await removeSnapshot(directory, 'first');
    await assert.rejects(removeSnapshot(directory, 'first'), { code: 'not-found' });
    assert.deepEqual(readdirSync(join(directory, 'snapshots')), ['second']);
    mkdirSync(join(directory, 'snapshots', '.gone-third'));
    assert.deepEqual((await listSnapshots(directory)).map(({ name }) => name), ['second']);
  });

  test('gives a machine its hardware back; disks that it does not know are detached', () => {
    const disk = (id: string) => ({ id, file: `${id}.raw`, attached: true });
    const then = { ...spec, disks: [...spec.disks, disk('data1')] };
    const [root] = spec.disks;
    const disks = [root!, { ...disk('data1'), attached: false }, disk('data2')];
    const shares = [{ tag: 'src', path: '/home/ada/src', readOnly: true }];
    const now = { ...spec, cpus: 4, notes: 'mine', shares, disks };
    const back = revertedSpec(then, now);
    assert.deepEqual([back.cpus, back.notes, back.shares], [2, 'mine', shares]);
    assert.deepEqual(back.disks, [...then.disks, { ...disk('data2'), attached: false }]);
    assert.deepEqual(revertedSpec({ ...then, shares }, spec).shares, [], 'no folder of the host');
  });

  test('that could not be taken leaves nothing behind', async () => {
    const full = createSnapshot(directory, 'no', async (folder) => {
      writeFileSync(join(folder, 'state'), 'half');
      throw Object.assign(new Error('full'), { code: 'ENOSPC' });
    });
    await assert.rejects(full, { code: 'no-space' });
    assert.deepEqual(readdirSync(join(directory, 'snapshots')), []);
    assert.deepEqual(await listSnapshots(directory), []);
  });

  test('starts another machine, which uses up its own name of the file only', async () => {
    await take('ready', 100);
    const other = mkdtempSync(join(tmpdir(), 'nymph-saved-'));
    try {
      await suspendFrom(existingSnapshot(directory, 'ready'), other);
      assert.equal((await readSuspended(other))?.machine, 'web');
      await discardSuspended(other);
      const kept = join(existingSnapshot(directory, 'ready'), 'state');
      assert.equal(readFileSync(kept, 'utf8'), 'memory');
    } finally {
      rmSync(other, { recursive: true });
    }
  });

  test('is not taken where the machine has put a link instead', async () => {
    symlinkSync(tmpdir(), join(directory, 'snapshots'));
    await assert.rejects(take('away', 100), { code: 'denied' });
    assert.equal(existsSync(join(tmpdir(), 'away')), false);
  });

  test('of a suspended machine shares its file', async () => {
    await suspended();
    await createSnapshot(directory, 'asleep', (folder) => copySuspended(directory, folder));
    await discardSuspended(directory);
    assert.ok(existsSync(join(existingSnapshot(directory, 'asleep'), 'state')));
  });
});
