/** What is recognised, what is reported of it, and the sentences for what is no image of ours. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { inspect, type ImageReport } from '../../../src-main/disks/detect.ts';
import { codecs } from '../../../src-main/disks/node/codecs.ts';
import { MemorySource } from '../../../src-main/disks/source.ts';
import { makeSystemTree, mixedBytes, openRoom, type Room } from './inputs.ts';

let room: Room;
before(async () => {
  room = await openRoom();
  for (const [name, machine] of [['x86', 62], ['riscv', 243], ['arm', 183]] as const) {
    await makeSystemTree(room.file(`${name}.tree`), machine);
    await room.run('mke2fs', '-q', '-t', 'ext4', '-L', name, '-d', `${name}.tree`, name, '4M');
  }
});
after(() => room.close());

const bytesOf = async (name: string) => new Uint8Array(await readFile(room.file(name)));
const inspectBytes = async (bytes: Uint8Array): Promise<ImageReport> =>
  (await inspect(new MemorySource(bytes), { codecs })).report;

async function gptDisk(root: string): Promise<Uint8Array> {
  await room.run('rm', '-f', 'gpt');
  await room.run('truncate', '-s', '8M', 'gpt');
  await room.run('sgdisk', '-n', '1:2048:4095', '-t', '1:ef00', '-n', '2:4096:12287', 'gpt');
  const disk = await bytesOf('gpt');
  disk.set(await bytesOf(root), 4096 * 512);
  return disk;
}

test('a file system that fills the disk is the root', async () => {
  const report = await inspectBytes(await bytesOf('x86'));
  assert.deepEqual(report.layers, ['raw']);
  assert.equal(report.partitionTable, 'none');
  const { uuid, ...root } = report.root!;
  assert.match(uuid!, /^[0-9a-f-]{36}$/);
  assert.deepEqual(root, {
    partition: 0, filesystem: 'ext4', label: 'x86', osName: 'Test Linux 1 (tiny)', osId: 'test',
    architecture: 'x86_64', init: '/sbin/init', hasSystemd: true,
  });
  assert.deepEqual(report.verdict, {
    native: true, portable: false,
    sentence: 'Test Linux 1 (tiny) for x86-64: boots on the native engine.',
  });
});

test('the root partition of a GPT disk is found, also inside qcow2', async () => {
  const disk = await gptDisk('riscv');
  const { writeFile } = await import('node:fs/promises');
  await writeFile(room.file('disk'), disk);
  await room.run('qemu-img', 'convert', '-c', '-f', 'raw', '-O', 'qcow2', 'disk', 'disk.qcow2');
  for (const [layer, bytes] of [['raw', disk], ['qcow2', await bytesOf('disk.qcow2')]] as const) {
    const report = await inspectBytes(bytes);
    assert.deepEqual(report.layers, [layer]);
    assert.equal(report.virtualBytes, disk.length);
    assert.equal(report.storedBytes, bytes.length);
    assert.deepEqual(report.partitions.map((part) => [part.index, part.filesystem]),
      [[1, undefined], [2, 'ext4']]);
    assert.equal(report.root?.partition, 2);
    assert.deepEqual([report.verdict.native, report.verdict.portable], [false, true]);
  }
});

test('a system for another processor is reported and not booted', async () => {
  const { verdict } = await inspectBytes(await bytesOf('arm'));
  assert.deepEqual([verdict.native, verdict.portable], [false, false]);
  assert.match(verdict.sentence, /made for aarch64 processors/);
});

test('a disk without a system says what it holds', async () => {
  const disk = await gptDisk('x86');
  disk.fill(0, 4096 * 512, 4096 * 512 + 2 ** 20);
  assert.match((await inspectBytes(disk)).verdict.sentence, /No Linux root file system/);
  assert.match((await inspectBytes(new Uint8Array(2 ** 20))).verdict.sentence, /nothing boots/);
});

test('a damaged partition does not hide a good one', async () => {
  const disk = await gptDisk('x86');
  const broken = (await bytesOf('arm')).subarray(0, 2 ** 20);
  disk.set(broken, 2048 * 512); // cut off in the first partition
  const report = await inspectBytes(disk);
  assert.equal(report.root?.partition, 2);
  assert.equal(report.verdict.native, true);
});

test('a file system that is cut off is refused', async () => {
  await assert.rejects(inspectBytes((await bytesOf('x86')).subarray(0, 2 ** 20)),
    { code: 'bad-input', message: /cut off: its file system has 4 MiB, and only 1 MiB/ });
});

/** Marks of other formats, at their places, and a word of the sentence that they deserve. */
const strangers: [string, number, string, RegExp][] = [
  ['VMDK', 0, 'KDMV', /VMware.*qemu-img convert -f vmdk/],
  ['VMDK description', 0, '# Disk DescriptorFile', /description of a VMware disk/],
  ['VDI', 0x40, '\u007f\u0010\u00da\u00be', /VirtualBox/],
  ['VHD', 0, 'conectix', /VHD/],
  ['fixed VHD', 0x20000 - 512, 'conectix', /VHD/],
  ['VHDX', 0, 'vhdxfile', /VHDX/],
  ['ISO 9660', 0x8001, 'CD001', /CD or DVD/],
  ['squashfs', 0, 'hsqs', /read-only squashfs/],
  ['cpio', 0, '070701', /cpio archive/],
  ['a kernel', 0, '\u007fELF', /nymph kernel import/],
  ['bzImage', 0x202, 'HdrS', /Linux kernel for PC hardware/],
  ['btrfs', 0x10040, '_BHRfS_M', /btrfs file system/],
  ['xfs', 0, 'XFSB', /xfs file system/],
  ['ntfs', 3, 'NTFS    ', /ntfs file system, as Windows/],
  ['LUKS', 0, 'LUKS\u00ba\u00be', /encrypted/],
  ['an overlay', 0, 'OOOM', /User Mode Linux overlay/],
  ['zip', 0, 'PK\u0003\u0004', /zip archive/],
  ['lz4', 0, '\u0004\u0022\u004d\u0018', /lz4 -d/],
  ['PDF', 0, '%PDF', /document or picture/],
];

for (const [name, at, mark, sentence] of strangers) {
  test(`${name} is recognised and refused politely`, async () => {
    const bytes = new Uint8Array(0x20000);
    for (let i = 0; i < mark.length; i++) bytes[at + i] = mark.charCodeAt(i);
    await assert.rejects(inspectBytes(bytes), { code: 'unsupported', message: sentence });
  });
}

test('vfat, OVA, rubbish and emptiness are refused politely', async () => {
  await room.run('mkfs.vfat', '-C', 'fat', '2048');
  await room.run('sh', '-c', 'echo x > a.ovf; tar -cf ova a.ovf');
  const unsupported = async (bytes: Uint8Array, message: RegExp): Promise<void> =>
    assert.rejects(inspectBytes(bytes), { code: 'unsupported', message });
  await unsupported(await bytesOf('fat'), /vfat file system, as Windows and USB sticks/);
  await unsupported(await bytesOf('ova'), /OVA appliance/);
  await unsupported(mixedBytes(100_000, 9), /not a disk image/);
  await unsupported(new TextEncoder().encode('hello\n'), /not a disk image/);
  await assert.rejects(inspectBytes(new Uint8Array(0)), { code: 'bad-input', message: /empty/ });
});

test('a tar of a root file system is reported as one, another tar is refused', async () => {
  await room.run('tar', '-C', 'x86.tree', '-cf', 'root.tar', '.');
  const report = await inspectBytes(await bytesOf('root.tar'));
  assert.equal(report.kind, 'rootfs-tar');
  assert.equal(report.root?.osId, 'test');
  assert.equal(report.verdict.native, true);
  await room.run('tar', '-cf', 'other.tar', 'a.ovf', '--transform', 's/ovf/txt/');
  await assert.rejects(inspectBytes(await bytesOf('other.tar')),
    { code: 'unsupported', message: /no root file system/ });
});
