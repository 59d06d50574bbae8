/** The ext reader against file systems that mke2fs made, of every kind that is still met. */
import assert from 'node:assert/strict';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { openExt4, type Ext4 } from '../../../src-main/disks/ext4.ts';
import { MemorySource } from '../../../src-main/disks/source.ts';
import {
  assertSame, makeSystemTree, mixedBytes, openRoom, osRelease, type Room,
} from './inputs.ts';

const big = mixedBytes(700_000, 5);
let room: Room;

before(async () => {
  room = await openRoom();
  await makeSystemTree(room.file('tree'));
  await writeFile(room.file('tree/big'), big);
  await writeFile(room.file('tree/inline'), 'i'.repeat(100));
  await writeFile(room.file('tree/holes'), '');
  await room.run('truncate', '-s', '300000', 'tree/holes');
  await symlink('loop-b', room.file('tree/loop-a'));
  await symlink('loop-a', room.file('tree/loop-b'));
  await symlink('../../../../../../etc/os-release', room.file('tree/above'));
  await symlink(`${'./'.repeat(60)}usr/lib/os-release`, room.file('tree/long'));
  await mkdir(room.file('tree/many'));
  for (let i = 0; i < 600; i++) await writeFile(room.file(`tree/many/file-number-${i}`), '');
});
after(() => room.close());

async function make(name: string, size: string, ...options: string[]): Promise<Ext4> {
  await room.run('truncate', '-s', size, name);
  await room.run('mke2fs', '-q', '-F', '-L', 'label', '-U', '01234567-89ab-cdef-0123-456789abcdef',
    '-d', 'tree', ...options, name);
  return openExt4(new MemorySource(new Uint8Array(await readFile(room.file(name)))));
}

/** The options of one file system each; all must look the same from outside. */
const kinds: Record<string, string[]> = {
  'ext2 with blocks of 1024 bytes': ['-t', 'ext2', '-b', '1024'],
  'ext2 with inodes of 128 bytes': ['-t', 'ext2', '-I', '128', '-b', '1024'],
  'ext3': ['-t', 'ext3', '-b', '1024'],
  'ext4 as it is made today': ['-t', 'ext4'],
  'ext4 without 64bit and checksums': ['-t', 'ext4', '-O', '^64bit,^metadata_csum'],
  'ext4 with inline data': ['-t', 'ext4', '-O', 'inline_data', '-I', '512'],
  'ext4 with meta block groups': ['-t', 'ext4', '-b', '1024', '-O', 'meta_bg,^resize_inode',
    '-g', '256', '-N', '2048'],
  'ext4 with blocks of 64 KiB': ['-t', 'ext4', '-b', '65536', '-O', '^has_journal'],
};

for (const [kind, options] of Object.entries(kinds)) {
  test(`${kind} is read`, async () => {
    const size = options.includes('65536') ? '64M' : '16M';
    const ext4 = await make(kind.replaceAll(' ', '-'), size, ...options);
    assert.equal(ext4.label, 'label');
    assert.equal(ext4.uuid, '01234567-89ab-cdef-0123-456789abcdef');
    assert.equal(ext4.sizeBytes, parseInt(size, 10) * 2 ** 20);
    const names = await ext4.list('/');
    assert.deepEqual(names?.filter((name) => name !== 'lost+found').sort(),
      ['above', 'big', 'bin', 'etc', 'holes', 'inline', 'lib', 'long', 'loop-a', 'loop-b', 'many',
        'sbin', 'usr']);
    assert.equal((await ext4.list('/many'))?.length, 600);
    assertSame(await ext4.readFile('/big', 2 ** 20), big);
    assertSame(await ext4.readFile('/big', 5000), big.subarray(0, 5000));
    assert.equal(Buffer.from((await ext4.readFile('/inline', 999))!).toString(), 'i'.repeat(100));
    assertSame(await ext4.readFile('/holes', 2 ** 20), new Uint8Array(300_000));
    for (const path of ['/etc/os-release', '/above', '/long', 'usr/../etc//./os-release']) {
      assert.equal(Buffer.from((await ext4.readFile(path, 4096))!).toString(), osRelease, path);
    }
  });
}

test('stat tells kinds and modes, and follows links', async () => {
  const ext4 = await make('stat', '16M', '-t', 'ext4');
  assert.deepEqual(await ext4.stat('/sbin/init'), { kind: 'file', sizeBytes: 64, mode: 0o755 });
  assert.equal((await ext4.stat('/bin'))?.kind, 'directory');
});

test('what is not there, and links in a ring, are nothing', async () => {
  const ext4 = await make('none', '16M', '-t', 'ext4');
  for (const path of ['/nothing', '/loop-a', '/big/below', '/bin/nothing']) {
    assert.equal(await ext4.stat(path), undefined, path);
  }
  assert.equal(await ext4.readFile('/usr', 10), undefined);
  assert.equal(await ext4.list('/big'), undefined);
});

test('a damaged or foreign superblock is refused', async () => {
  await make('sb', '16M', '-t', 'ext4');
  const good = new Uint8Array(await readFile(room.file('sb')));
  const changed = (at: number, value: number): Promise<Ext4> => {
    const bytes = good.slice(0, 8192);
    new DataView(bytes.buffer).setUint32(1024 + at, value, true);
    return openExt4(new MemorySource(bytes));
  };
  await assert.rejects(openExt4(new MemorySource(good.subarray(0, 1500))), { code: 'bad-input' });
  await assert.rejects(changed(24, 40), { code: 'bad-input' }, 'block size');
  await assert.rejects(changed(40, 0), { code: 'bad-input' }, 'no inodes in a group');
  await assert.rejects(changed(96, 0x8000_0000), { code: 'unsupported' }, 'unknown feature');
  await assert.rejects(changed(96, 8), { code: 'unsupported' }, 'a journal device');
});
