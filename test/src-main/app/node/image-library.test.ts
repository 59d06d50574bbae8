/** Files looked into, imported and removed: what is kept in between, and what is refused. */
import { suite, test, type TestContext } from 'node:test';
import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import { makeDirectory } from '../../../../src-main/base/node/files.ts';
import type { JobView } from '../../../../src-main/contract/things.ts';
import { ImageLibrary } from '../../../../src-main/app/node/image-library.ts';
import { MachineStore } from '../../../../src-main/app/node/machine-store.ts';
import { nymphPaths } from '../../../../src-main/app/node/paths.ts';
import { Jobs } from '../../../../src-main/app/jobs.ts';
import { makeSystemTree, openRoom } from '../../disks/inputs.ts';

async function world(t: TestContext) {
  const room = await openRoom();
  t.after(() => room.close());
  await makeSystemTree(room.file('tree'));
  await room.run('mke2fs', '-q', '-t', 'ext4', '-d', 'tree', 'disk', '8M');
  await room.run('xz', '-1k', 'disk');
  const paths = nymphPaths({}, room.file('home'));
  const told: JobView[] = [];
  let now = 1000;
  const jobs = new Jobs(() => ++now, (job) => void told.push(job)); // prettier-ignore
  const store = new MachineStore(paths, () => ++now);
  await store.open();
  const users: string[] = [];
  const images = new ImageLibrary({
    paths, jobs,
    nowMs: () => now,
    usedBy: () => users,
    trashedUsers: (image) => store.trashedUsers(image),
    announce: () => {},
    finish: () => Promise.reject(new Error('no machine here')),
  });
  await makeDirectory(paths.cache);
  await images.open();
  const file = (name: string) => ({ path: room.file(name), title: name, withBacking: false });
  const look = (name: string, signal = new AbortController().signal) =>
    images.inspect(file(name), signal);
  const bring = async (name: string, as?: string) =>
    jobs.wait(images.import(file(name), as, () => {}).id);
  const stepsOf = (title: string) =>
    told.filter((job) => job.title === title && job.state === 'running').map(({ step }) => step);
  const folder = () => readdirSync(paths.images).sort();
  return { room, paths, jobs, store, images, users, look, bring, stepsOf, folder, told };
}

suite('a file that is looked into', () => {
  test('and then imported is unpacked once only', async (t) => {
    const { look, bring, stepsOf, folder } = await world(t);
    const report = await look('disk.xz');
    assert.deepEqual([report.engine, report.layers], ['native', ['xz', 'raw']]);
    assert.deepEqual(stepsOf('Look inside disk.xz'), ['Starting', 'unpacking xz']);
    assert.equal(folder().length, 1);
    const { state, outcome } = await bring('disk.xz');
    assert.deepEqual([state, outcome], ['done', 'disk']);
    assert.ok(!stepsOf('Import disk.xz').includes('unpacking xz'));
    assert.deepEqual(folder(), ['disk']);
  });

  test('and changed before the import is looked into anew', async (t) => {
    const { room, look, bring, stepsOf } = await world(t);
    await look('disk.xz');
    writeFileSync(room.file('disk.xz'), 'hello');
    const { state, error } = await bring('disk.xz');
    assert.equal(state, 'failed');
    assert.match(error!, /not a disk image/);
    assert.ok(!stepsOf('Import disk.xz').includes('unpacking xz'));
  });

  test('leaves no more than two others unpacked, and nothing at the end', async (t) => {
    const { room, images, look, folder } = await world(t);
    await room.run('sh', '-c', 'for n in 1 2 3; do cp disk.xz $n.xz; done');
    for (const name of ['1.xz', '2.xz', '2.xz', '3.xz']) await look(name);
    while (folder().length > 2) await new Promise((resolve) => setImmediate(resolve));
    await images.close();
    assert.deepEqual(folder(), []);
  });

  test('can be left by its caller and by a cancelled job', async (t) => {
    const { jobs, look, folder, told } = await world(t);
    await assert.rejects(look('disk.xz', AbortSignal.abort()), { code: 'cancelled' });
    const looking = look('disk.xz');
    while (!told.some(({ kind }) => kind === 'image-look')) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    const job = jobs.list().find(({ kind }) => kind === 'image-look')!;
    if (job.state === 'running') jobs.cancel(job.id);
    const outcome = await looking.then(() => 'done', (thrown: { code: string }) => thrown.code);
    assert.equal((await jobs.wait(job.id)).state, outcome);
    assert.equal(folder().length, outcome === 'done' ? 1 : 0);
  });

  test('and refused leaves nothing', async (t) => {
    const { room, look, folder } = await world(t);
    await room.run('sh', '-c', 'echo hello | xz > text.xz');
    await assert.rejects(look('text.xz'), { code: 'unsupported' });
    await assert.rejects(look('nothing'), { code: 'not-found' });
    assert.deepEqual(folder(), []);
  });
});

suite('an image', () => {
  test('takes its name from the file, and the next free one', async (t) => {
    const { bring, folder } = await world(t);
    assert.equal((await bring('disk.xz')).outcome, 'disk');
    assert.equal((await bring('disk')).outcome, 'disk-2');
    await assert.rejects(bring('disk', 'disk'), { code: 'exists' });
    assert.deepEqual(folder(), ['disk', 'disk-2']);
  });

  test('that a machine uses is not removed, be the machine in the trash', async (t) => {
    const { bring, images, users, store, folder } = await world(t);
    await bring('disk');
    users.push('web');
    await assert.rejects(images.remove('disk'), { code: 'in-use', message: /is used by “web”/ });
    users.pop();
    const disks = [{ id: 'root', image: 'disk', file: 'root.cow' }];
    await store.create('old', { id: '01234567', disks }, async () => {});
    await store.moveToTrash('old');
    await assert.rejects(images.remove('disk'), {
      code: 'in-use', message: /is used by “old” in the trash/,
    });
    await store.purge('old');
    await images.remove('disk');
    assert.deepEqual(folder(), []);
    await assert.rejects(images.remove('disk'), { code: 'not-found' });
  });
});
