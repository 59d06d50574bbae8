/** Importing real files: the same bytes, sparse, and nothing left behind when it fails. */
import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { importImage, openImage } from '../../../../src-main/disks/node/import.ts';
import { realHost, sweepPartials } from '../../../../src-main/disks/node/new-file.ts';
import {
  copySparse, createBlankDisk, fileSizes,
} from '../../../../src-main/disks/node/sparse.ts';
import { assertSame, makeSystemTree, mixedBytes, openRoom, type Room } from '../inputs.ts';

let room: Room;
let directory: string;
let disk: Uint8Array;

before(async () => {
  room = await openRoom();
  await makeSystemTree(room.file('tree'));
  await writeFile(room.file('tree/data'), mixedBytes(400_000, 8));
  await room.run('mke2fs', '-q', '-t', 'ext4', '-d', 'tree', 'disk', '24M');
  await room.run('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', 'disk', 'disk.qcow2');
  await room.run('tar', '-C', 'tree', '-cf', 'root.tar', '.');
  await room.run('sh', '-c', 'for f in disk disk.qcow2; do gzip -1k $f; xz -1k $f; ' +
    'zstd -q -1 -k $f; bzip2 -1k $f; done; gzip -k root.tar');
  disk = new Uint8Array(await readFile(room.file('disk')));
});
beforeEach(async () => {
  directory = room.file('out');
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory);
});
after(() => room.close());

const run = (name: string, more: object = {}) =>
  importImage({ path: room.file(name), directory, ...more });

const endings: [string, string[]][] = [
  ['disk', ['raw']], ['disk.qcow2', ['qcow2']], ['disk.gz', ['gzip', 'raw']],
  ['disk.qcow2.xz', ['xz', 'qcow2']], ['disk.xz', ['xz', 'raw']],
  ['disk.zst', ['zstd', 'raw']], ['disk.qcow2.zst', ['zstd', 'qcow2']],
  ['disk.bz2', ['bzip2', 'raw']], ['disk.qcow2.bz2', ['bzip2', 'qcow2']],
];

for (const [name, layers] of endings) {
  test(`${name} becomes the same sparse, read-only disk`, async () => {
    const { report, rawPath } = await run(name);
    assert.deepEqual(report.layers, layers);
    assert.equal(report.verdict.native, true);
    assert.equal(report.virtualBytes, disk.length);
    assert.equal(report.storedBytes, (await stat(room.file(name))).size);
    assertSame(new Uint8Array(await readFile(rawPath)), disk);
    assert.deepEqual(await readdir(directory), ['disk.raw']);
    assert.equal((await stat(rawPath)).mode & 0o777, 0o444);
    const { realBytes } = await fileSizes(rawPath);
    assert.ok(realBytes < disk.length / 4, `it occupies ${realBytes} bytes`);
  });
}

test('a compressed tar becomes an ext4 disk that e2fsck finds clean', async () => {
  const steps = new Set<string>();
  const onProgress = (_done: number, _total: number | undefined, step: string) => steps.add(step);
  const { report, rawPath } = await run('root.tar.gz', { onProgress });
  assert.deepEqual(report.layers, ['gzip', 'tar']);
  assert.equal((await stat(rawPath)).size, 256 * 2 ** 20);
  await room.run('e2fsck', '-fn', rawPath);
  assert.match(await room.run('debugfs', '-R', 'stat /usr/bin/bash', rawPath), /User: +0/);
  await room.run('debugfs', '-R', `dump /data ${room.file('data')}`, rawPath);
  assertSame(new Uint8Array(await readFile(room.file('data'))), mixedBytes(400_000, 8));
  assert.deepEqual(await readdir(directory), ['disk.raw']);
  assert.deepEqual([...steps],
    ['unpacking gzip', 'looking inside', 'unpacking files', 'making the disk']);
});

test('an image is opened for a sheet first and saved afterwards', async () => {
  const image = await openImage({ path: room.file('disk.qcow2.xz'), directory });
  assert.equal(image.report.root?.osId, 'test');
  const rawPath = await image.save();
  await image.close();
  assertSame(new Uint8Array(await readFile(rawPath)), disk);
});

test('an image that is opened and closed leaves nothing', async () => {
  await (await openImage({ path: room.file('disk.xz'), directory })).close();
  assert.deepEqual(await readdir(directory), []);
});

test('a cancelled import leaves nothing, at whatever step it is', async () => {
  const cases = [
    ['disk', 'copying'], ['disk.qcow2', 'converting'], ['disk.xz', 'unpacking xz'],
    ['disk.gz', 'unpacking gzip'], ['root.tar', 'looking inside'], ['root.tar', 'unpacking files'],
    ['root.tar', 'making the disk']] as const;
  for (const [name, when] of cases) {
    const cancel = new AbortController();
    const onProgress = (_done: number, _total: number | undefined, step: string): void => {
      if (step === when) cancel.abort();
    };
    await assert.rejects(run(name, { signal: cancel.signal, onProgress }), { code: 'cancelled' },
      `${name}, ${when}`);
    assert.deepEqual(await readdir(directory), [], `${name}, ${when}`);
  }
});

test('lack of space is seen before and survived midway', async () => {
  const names = ['disk', 'disk.qcow2', 'disk.xz', 'root.tar'];
  for (const name of names) {
    const host = { ...realHost, freeBytes: async () => 64 * 2 ** 20 + 1000 };
    await assert.rejects(run(name, { host }), { code: 'no-space', message: /needed/ }, name);
  }
  for (const name of names.slice(0, 3)) {
    let writes = 0;
    const host = {
      ...realHost,
      writeAt: (...args: Parameters<typeof realHost.writeAt>): Promise<void> => {
        if (++writes < 3) return realHost.writeAt(...args);
        return Promise.reject(Object.assign(new Error('full'), { code: 'ENOSPC' }));
      },
    };
    await assert.rejects(run(name, { host }), { code: 'no-space', message: /became full/ }, name);
  }
  assert.deepEqual(await readdir(directory), []);
});

test('a bomb is stopped by the space there is, not by the disk being full', async () => {
  await room.run('sh', '-c', 'yes | head -c 30000000 | gzip -9 > bomb');
  const host = { ...realHost, freeBytes: async () => 74 * 2 ** 20 };
  await assert.rejects(run('bomb', { host }), { code: 'no-space' });
  assert.deepEqual(await readdir(directory), []);
});

test('what is no image is refused and leaves nothing', async () => {
  await writeFile(room.file('text'), 'hello\n');
  await room.run('sh', '-c', 'gzip -kf text; : > empty; mkfifo -m 600 pipe; cp disk.xz cut; ' +
    'truncate -s 20000 cut; cp text deep; for i in 1 2 3 4; do gzip deep; mv deep.gz deep; done');
  const cases: [string, string, RegExp][] = [
    ['text', 'unsupported', /not a disk image/], ['text.gz', 'unsupported', /not a disk image/],
    ['empty', 'bad-input', /empty/], ['pipe', 'unsupported', /not a regular file/],
    ['.', 'unsupported', /folder/], ['nothing', 'not-found', /There is no file/],
    ['cut', 'bad-input', /xz compressed file is damaged or cut off/],
    ['deep', 'unsupported', /too many times over/],
  ];
  for (const [name, code, message] of cases) {
    await assert.rejects(run(name), { code, message }, name);
  }
  assert.deepEqual(await readdir(directory), []);
});

test('an existing disk is never replaced', async () => {
  await writeFile(join(directory, 'disk.raw'), 'mine');
  for (const name of ['disk', 'disk.qcow2', 'disk.gz', 'root.tar']) {
    await assert.rejects(run(name), { code: 'exists' });
  }
  assert.equal(await readFile(join(directory, 'disk.raw'), 'utf8'), 'mine');
  assert.deepEqual(await readdir(directory), ['disk.raw']);
});

test('a tar that tries to write through a link does not get unpacked', async () => {
  await mkdir(room.file('evil/etc'), { recursive: true });
  await symlink('/tmp', room.file('evil/out'));
  await room.run('sh', '-c', 'cd evil && tar -cf ../evil.tar out && rm out && mkdir out && ' +
    'echo x > out/nymph-escape && tar -rf ../evil.tar out/nymph-escape');
  await assert.rejects(run('evil.tar'), { code: 'bad-input', message: /passes through/ });
  assert.deepEqual(await readdir(directory), []);
});

test('a copy is the same, sparse, and cancelled without a trace', async () => {
  const copy = join(directory, 'copy');
  await copySparse(room.file('disk'), copy);
  assertSame(new Uint8Array(await readFile(copy)), disk);
  assert.ok((await fileSizes(copy)).realBytes < disk.length / 4);
  await assert.rejects(copySparse(room.file('disk'), copy), { code: 'exists' });
  const signal = AbortSignal.abort();
  await assert.rejects(copySparse(room.file('disk'), join(directory, 'b'), { signal }),
    { code: 'cancelled' });
  assert.deepEqual(await readdir(directory), ['copy']);
});

test('a blank disk is all hole, and of a sensible size', async () => {
  const path = join(directory, 'blank');
  await createBlankDisk(path, 5 * 2 ** 30 + 1);
  assert.deepEqual(await fileSizes(path), { virtualBytes: 5 * 2 ** 30 + 512, realBytes: 0 });
  await assert.rejects(createBlankDisk(path, 2 ** 30), { code: 'exists' });
  for (const bytes of [0, -1, NaN, 2 ** 50]) {
    await assert.rejects(createBlankDisk(join(directory, 'c'), bytes), { code: 'usage' });
  }
});

test('what a killed import left is swept, and nothing else', async () => {
  const left = '.disk.raw.123-01234567-89ab-cdef-0123-456789abcdef.partial';
  await writeFile(join(directory, left), 'x');
  await writeFile(join(directory, '.mine.partial'), 'x');
  assert.deepEqual(await sweepPartials(directory), [left]);
  assert.deepEqual(await readdir(directory), ['.mine.partial']);
});
