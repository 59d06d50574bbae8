/** A qcow2 image that builds on another file: read with it, and never further than its folder. */
import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { after, before, beforeEach, test } from 'node:test';
import { importImage, openImage } from '../../../../src-main/disks/node/import.ts';
import { assertSame, makeSystemTree, mixedBytes, openRoom, type Room } from '../inputs.ts';

let room: Room;
let directory: string;

before(async () => {
  room = await openRoom();
  await makeSystemTree(room.file('tree'));
  await writeFile(room.file('tree/data'), mixedBytes(400_000, 8));
  await room.run('mke2fs', '-q', '-t', 'ext4', '-d', 'tree', 'base.raw', '24M');
  await room.run('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', 'base.raw', 'base.qcow2');
});
beforeEach(async () => {
  directory = room.file('out');
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory);
});
after(() => room.close());

/** A new image on top of `backing`, larger than it, with some clusters of its own. */
async function child(
  name: string, backing: string, format: string, ...options: string[]
): Promise<void> {
  await room.run('qemu-img', 'create', '-q', '-u', '-f', 'qcow2', ...options, '-b', backing,
    '-F', format, name, '32M');
  const edits = ['write -P 7 5M 70k', 'write -z 8M 128k', 'write -P 9 25M 3k'];
  await room.run('qemu-io', '-f', 'qcow2', ...edits.flatMap((edit) => ['-c', edit]), name);
}

async function mustMatch(name: string): Promise<string[] | undefined> {
  await room.run('qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', name, 'wanted');
  const { report, rawPath } = await importImage({
    path: room.file(name), directory, withBacking: true,
  });
  assert.equal(report.verdict.native, true);
  const wanted = new Uint8Array(await readFile(room.file('wanted')));
  assertSame(new Uint8Array(await readFile(rawPath)), wanted);
  await rm(rawPath);
  return report.backing;
}

test('with consent it is the disk that QEMU sees, over raw, qcow2 and a chain', async () => {
  await child('on-raw', 'base.raw', 'raw');
  await child('on-qcow2', './base.qcow2', 'qcow2');
  await child('old', 'base.raw', 'raw', '-o', 'compat=0.10');
  await child('sub', 'base.raw', 'raw', '-o', 'extended_l2=on,cluster_size=64k');
  await child('chain', 'on-qcow2', 'qcow2');
  for (const name of ['on-raw', 'old', 'sub']) {
    assert.deepEqual(await mustMatch(name), ['base.raw'], name);
  }
  assert.deepEqual(await mustMatch('on-qcow2'), ['./base.qcow2']);
  assert.deepEqual(await mustMatch('chain'), ['on-qcow2', './base.qcow2']);
});

test('without consent it is reported with the name of that file, which is not opened', async () => {
  await child('asks', 'not-there', 'raw').catch(() => {});
  const image = await openImage({ path: room.file('asks'), directory });
  const { backing, layers, verdict, virtualBytes } = image.report;
  assert.deepEqual([backing, layers, virtualBytes], [['not-there'], ['qcow2'], 32 * 2 ** 20]);
  assert.match(verdict.sentence, /changes to another file \("not-there"\).*agree/);
  await assert.rejects(image.save(), { code: 'unsupported', message: /changes to another file/ });
  await image.close();
  assert.deepEqual(await readdir(directory), []);
});

test('consent reaches no further than the folder of the image', async () => {
  await mkdir(room.file('inner'), { recursive: true });
  await symlink('../base.raw', room.file('inner/link'));
  const names = ['/etc/hostname', '../base.raw', 'link', room.file('base.raw'), 'x/../../base.raw'];
  for (const name of names) {
    const path = room.file('inner/child');
    await rm(path, { force: true });
    await room.run('qemu-img', 'create', '-q', '-u', '-f', 'qcow2', '-b', name, '-F', 'raw', path,
      '1M');
    await assert.rejects(importImage({ path, directory, withBacking: true }),
      { code: 'denied', message: /outside its folder/ }, name);
  }
  for (const name of ['nothing', 'nbd:host:1', 'json:{}']) {
    await room.run('qemu-img', 'create', '-q', '-u', '-f', 'qcow2', '-b', name, '-F', 'raw',
      'odd', '1M');
    await assert.rejects(importImage({ path: room.file('odd'), directory, withBacking: true }),
      { code: 'not-found', message: /which is not there/ }, name);
  }
  assert.deepEqual(await readdir(directory), []);
});

test('a chain that comes back to itself is refused', async () => {
  const create = ['create', '-q', '-u', '-f', 'qcow2', '-F', 'qcow2', '-b'];
  await room.run('qemu-img', ...create, 'two', 'one', '1M');
  await room.run('qemu-img', ...create, 'one', 'two', '1M');
  await assert.rejects(importImage({ path: room.file('one'), directory, withBacking: true }),
    { code: 'bad-input', message: /never come to an end/ });
});
