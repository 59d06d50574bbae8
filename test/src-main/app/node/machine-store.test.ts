/** Machines on disk: whole or not there, whatever happens in the middle. */
import { suite, test, type TestContext } from 'node:test';
import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { folderBytes, MachineStore } from '../../../../src-main/app/node/machine-store.ts';
import { nymphPaths } from '../../../../src-main/app/node/paths.ts';
import { parseSpec } from '../../../../src-main/machine/spec.ts';

async function storeOf(t: TestContext) {
  const home = mkdtempSync(join(tmpdir(), 'ns-'));
  t.after(() => rmSync(home, { recursive: true, force: true }));
  const paths = nymphPaths({}, home);
  const clock = { now: 1000 };
  const store = new MachineStore(paths, () => clock.now++);
  await store.open();
  const make = (name: string, id = '0a1b2c3d') =>
    store.create(name, { id }, async (disks) => writeFileSync(join(disks, 'root.cow'), name));
  const disk = (name: string) => readFileSync(join(paths.machines, name, 'disks/root.cow'), 'utf8');
  return { store, paths, make, disk, clock };
}

suite('opening the store', () => {
  test('ends an exchange that a kill cut off, and sweeps snapshots half made', async (t) => {
    const { store, paths, make, disk } = await storeOf(t);
    await make('web');
    const folder = join(paths.machines, 'web');
    for (const name of ['.parts/disks', '.new-parts/disks', 'snapshots/.new-a', 'snapshots/b']) {
      mkdirSync(join(folder, name), { recursive: true });
    }
    writeFileSync(join(folder, '.parts/disks/root.cow'), 'before');
    await store.open();
    assert.equal(disk('web'), 'before');
    assert.deepEqual(readdirSync(join(folder, 'snapshots')), ['b']);
    assert.deepEqual(readdirSync(folder).sort(), ['disks', 'machine.yaml', 'snapshots']);
  });
});

suite('making a machine', () => {
  test('gives a folder with a good machine.yaml and its disks', async (t) => {
    const { store, make, disk } = await storeOf(t);
    await make('web');
    assert.deepEqual(await store.names(), ['web']);
    assert.equal(parseSpec(await store.readSpec('web')).id, '0a1b2c3d');
    assert.equal(disk('web'), 'web');
  });

  test('that fails midway leaves nothing', async (t) => {
    const { store, paths } = await storeOf(t);
    const failing = store.create('web', { id: '0a1b2c3d' }, async (disks) => {
      writeFileSync(join(disks, 'root.cow'), 'half');
      throw new Error('no space');
    });
    await assert.rejects(failing, { message: 'no space' });
    await assert.rejects(
      store.create('web', { id: 'x' }, async () => {}),
      { code: 'bad-input' },
    );
    assert.deepEqual(readdirSync(paths.machines), []);
  });

  test('under a name that is taken, also while it is being made, is refused', async (t) => {
    const { store, make, disk } = await storeOf(t);
    await make('web');
    await assert.rejects(make('web'), { code: 'exists' });
    const race = store.create('db', { id: '0a1b2c3e' }, async () => make('db', '0a1b2c3f'));
    await assert.rejects(race, { code: 'exists' });
    assert.equal(disk('db'), 'db');
  });

  test('under a name that is none is refused before anything is touched', async (t) => {
    const { store, paths, make } = await storeOf(t);
    for (const name of ['../x', '.new-x', 'A', ''])
      await assert.rejects(make(name), { code: 'usage' });
    await make('web');
    await assert.rejects(store.rename('web', '../out'), { code: 'usage' });
    assert.deepEqual(readdirSync(paths.machines), ['web']);
  });
});

suite('what a kill leaves behind', () => {
  test('is swept at the next start, and whole machines stay', async (t) => {
    const { store, paths, make } = await storeOf(t);
    await make('web');
    mkdirSync(join(paths.machines, '.new-db-0001/disks'), { recursive: true });
    mkdirSync(join(paths.machines, '.gone-old-0001/disks'), { recursive: true });
    mkdirSync(join(paths.trash, '.gone-old-0002'), { recursive: true });
    writeFileSync(join(paths.machines, 'web', '.machine.yaml.12345678.tmp'), 'half');
    assert.deepEqual(await store.open(), ['web']);
    assert.deepEqual(readdirSync(paths.machines), ['web']);
    assert.deepEqual(readdirSync(paths.trash), []);
    assert.deepEqual(readdirSync(join(paths.machines, 'web')).sort(), ['disks', 'machine.yaml']);
  });

  test('files that are not machines are left alone and not listed', async (t) => {
    const { store, paths } = await storeOf(t);
    writeFileSync(join(paths.machines, 'notes.txt'), 'mine');
    mkdirSync(join(paths.machines, '.git'));
    assert.deepEqual(await store.open(), []);
    assert.deepEqual(readdirSync(paths.machines).sort(), ['.git', 'notes.txt']);
  });
});

suite('renaming', () => {
  test('moves the whole folder', async (t) => {
    const { store, make, disk } = await storeOf(t);
    await make('web');
    await store.rename('web', 'www');
    assert.deepEqual(await store.names(), ['www']);
    assert.equal(disk('www'), 'web');
  });

  test('onto another machine is refused', async (t) => {
    const { store, make, disk } = await storeOf(t);
    await make('web');
    await make('db', '0a1b2c3e');
    await assert.rejects(store.rename('web', 'db'), { code: 'exists' });
    assert.equal(disk('db'), 'db');
  });
});

suite('the trash', () => {
  test('takes a machine and gives it back whole', async (t) => {
    const { store, make, disk } = await storeOf(t);
    await make('web');
    await store.moveToTrash('web');
    assert.deepEqual(await store.names(), []);
    const [gone] = await store.trash();
    assert.equal(gone!.name, 'web');
    assert.ok(gone!.realBytes > 0);
    await store.recover('web');
    assert.equal(disk('web'), 'web');
    assert.deepEqual(await store.trash(), []);
  });

  test('holds several of one name and recovers the last', async (t) => {
    const { store, paths, make, clock } = await storeOf(t);
    for (const id of ['00000001', '00000002']) {
      await make('web', id);
      await store.moveToTrash('web');
      clock.now += 9000;
    }
    assert.equal((await store.trash()).length, 2);
    await store.recover('web');
    assert.equal(parseSpec(await store.readSpec('web')).id, '00000002');
    await assert.rejects(store.recover('web'), { code: 'exists' });
    assert.ok(existsSync(join(paths.machines, 'web')));
  });

  test('is purged one by one, for good', async (t) => {
    const { store, paths, make } = await storeOf(t);
    await make('web');
    await store.moveToTrash('web');
    await store.purge('web');
    assert.deepEqual(readdirSync(paths.trash), []);
    await assert.rejects(store.purge('web'), { code: 'not-found' });
    await assert.rejects(store.recover('web'), { code: 'not-found' });
  });

  test('a machine half deleted by a kill is not offered for recovery', async (t) => {
    const { store, paths } = await storeOf(t);
    mkdirSync(join(paths.trash, '.gone-web@5-0001'));
    assert.deepEqual(await store.trash(), []);
    await assert.rejects(store.recover('web'), { code: 'not-found' });
  });

  test('a throw-away machine goes without passing through it', async (t) => {
    const { store, paths, make } = await storeOf(t);
    await make('run-1');
    await store.discard('run-1');
    assert.deepEqual([readdirSync(paths.machines), readdirSync(paths.trash)], [[], []]);
    await store.discard('run-1');
  });
});

suite('machine.yaml', () => {
  test('is replaced whole, and the five versions before are kept', async (t) => {
    const { store, paths, make } = await storeOf(t);
    await make('web');
    for (let cpus = 1; cpus <= 9; cpus++)
      await store.writeSpec('web', `id: '0a1b2c3d'\ncpus: ${cpus}\n`);
    assert.match(await store.readSpec('web'), /cpus: 9/);
    const history = join(paths.machines, 'web/history');
    const kept = readdirSync(history)
      .sort()
      .map((file) => readFileSync(join(history, file), 'utf8'));
    assert.deepEqual(
      kept.map((text) => /cpus: (\d)/.exec(text)?.[1]),
      ['4', '5', '6', '7', '8'],
    );
  });

  test('written as it is already makes no version', async (t) => {
    const { store, paths, make } = await storeOf(t);
    await make('web');
    await store.writeSpec('web', await store.readSpec('web'));
    assert.ok(!existsSync(join(paths.machines, 'web/history')));
  });
});

test('a folder’s size is what its files occupy, not what they pretend', async (t) => {
  const { paths, make } = await storeOf(t);
  await make('web');
  const bytes = await folderBytes(join(paths.machines, 'web'));
  assert.ok(bytes > 0 && bytes % 512 === 0);
});
