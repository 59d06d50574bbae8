/** Images read on a thread of their own: what crosses to it and back, and what stays behind. */
import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { runAside } from '../../../../src-main/disks/node/aside.ts';
import { assertSame, makeSystemTree, mixedBytes, openRoom, type Room } from '../inputs.ts';

let room: Room;
let directory: string;
let disk: Uint8Array;

before(async () => {
  room = await openRoom();
  await makeSystemTree(room.file('tree'));
  await writeFile(room.file('tree/data'), mixedBytes(3_000_000, 8));
  await room.run('mke2fs', '-q', '-t', 'ext4', '-d', 'tree', 'disk', '24M');
  await room.run('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', 'disk', 'disk.qcow2');
  await room.run('sh', '-c', 'for f in disk disk.qcow2; do xz -1k $f; bzip2 -1k $f; done');
  await room.run('sh', '-c', 'tar -C tree -cf - . | gzip > root.tar.gz');
  disk = new Uint8Array(await readFile(room.file('disk')));
});
beforeEach(async () => {
  directory = room.file('out');
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory);
});
after(() => room.close());

const place = (name: string) => ({ path: room.file(name), directory });

test('an image is imported aside, and says how far it is', async () => {
  const steps = new Set<string>();
  const onProgress = (_done: number, _total: number | undefined, step: string) => steps.add(step);
  const { report, rawPath } = await runAside('import', place('disk.qcow2.xz'), { onProgress });
  assert.deepEqual(report.layers, ['xz', 'qcow2']);
  assert.equal(report.root?.osId, 'test');
  assertSame(new Uint8Array(await readFile(rawPath)), disk);
  assert.deepEqual([...steps], ['unpacking xz', 'converting']);
});

test('what was unpacked to look inside is not unpacked again for the import', async () => {
  for (const name of ['disk.xz', 'disk.qcow2.bz2', 'root.tar.gz']) {
    const { report, unpacked } = await runAside('look', place(name));
    assert.equal((await readdir(directory)).length, 1, 'the plain bytes wait');
    const steps: string[] = [];
    const onProgress = (_done: number, _total: number | undefined, step: string) =>
      void steps.push(step);
    const input = { ...place(name), ...(unpacked ? { unpacked } : {}) };
    const imported = await runAside('import', input, { onProgress });
    assert.deepEqual(imported.report, report);
    assert.ok(!steps.some((step) => /unpacking (xz|bzip2|gzip)/.test(step)), String(steps));
    assert.deepEqual(await readdir(directory), ['disk.raw']);
    if (report.kind === 'disk') assertSame(new Uint8Array(await readFile(imported.rawPath)), disk);
    await rm(imported.rawPath);
  }
});

test('a plain image leaves nothing when it is looked at', async () => {
  const { report, unpacked } = await runAside('look', place('disk.qcow2'));
  assert.equal(report.verdict.native, true);
  assert.equal(unpacked, undefined);
  assert.deepEqual(await readdir(directory), []);
});

test('a refusal crosses with its code and its sentence, and leaves nothing', async () => {
  await writeFile(room.file('text'), 'hello\n');
  for (const task of ['look', 'import'] as const) {
    await assert.rejects(runAside(task, place('text')), {
      name: 'Refusal', code: 'unsupported', message: /not a disk image/,
    });
    await assert.rejects(runAside(task, place('nothing')), { name: 'Refusal', code: 'not-found' });
  }
  assert.deepEqual(await readdir(directory), []);
});

test('a cancelled task is over when it says so, and leaves nothing', async () => {
  const cases = [
    ['disk.bz2', 'unpacking bzip2'], ['disk.xz', 'unpacking xz'],
    ['root.tar.gz', 'unpacking files']] as const;
  for (const [name, when] of cases) {
    const cancel = new AbortController();
    const onProgress = (_done: number, _total: number | undefined, step: string): void => {
      if (step === when) cancel.abort();
    };
    const options = { signal: cancel.signal, onProgress };
    await assert.rejects(runAside('import', place(name), options), { code: 'cancelled' }, name);
    assert.deepEqual(await readdir(directory), [], name);
  }
  const signal = AbortSignal.abort();
  await assert.rejects(runAside('look', place('disk.xz'), { signal }), { code: 'cancelled' });
});

test('a defect in the thread is an error, and takes the partial files with it', async () => {
  const left = join(directory, `.disk.raw.1-${crypto.randomUUID()}.partial`);
  await writeFile(left, 'half');
  const unpacked = { path: join(directory, 'gone'), layers: ['xz'], storedBytes: 1 };
  await assert.rejects(runAside('import', { ...place('disk'), unpacked }), { code: 'ENOENT' });
  assert.deepEqual(await readdir(directory), []);
});
