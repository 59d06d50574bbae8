/**
 * Our kernels, from the command line up: they boot to userland and have what the recipe promises.
 */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { bootGuest, ourKernel, scratch } from './kernel-guest.ts';

test('the kernel for one processor boots to userland and powers off', async (t) => {
  const kernel = await ourKernel('up');
  const guest = bootGuest(t, kernel, { script: 'echo USERLAND $(uname -r) $(nproc)' });
  assert.equal(await guest.line('USERLAND'), `USERLAND ${kernel.version} 1`);
  await guest.ended;
  assert.equal(guest.process.exitCode, 0);
});

test('the kernel for several processors gives a guest two of them', async (t) => {
  const guest = bootGuest(t, await ourKernel('smp'), {
    script: 'echo COUNT=$(nproc) $(grep -c ^processor /proc/cpuinfo)',
    arguments: ['ncpus=2', 'seccomp=on'],
  });
  assert.equal(await guest.line('COUNT='), 'COUNT=2 2');
});

test('initial RAM disks in every packing are read', async (t) => {
  const kernel = await ourKernel('up');
  const xz = (input: Uint8Array) =>
    execFileSync('xz', ['--check=crc32', '-0', '-c'], { input, maxBuffer: 64 << 20 });
  for (const pack of [gzipSync, zstdCompressSync, xz]) {
    const guest = bootGuest(t, kernel, { script: 'echo UNPACKED', pack: (bytes) => pack(bytes) });
    await guest.line('UNPACKED');
    await guest.ended;
  }
});

test('what systemd asks of a kernel is there', async (t) => {
  const guest = bootGuest(t, await ourKernel('up'), {
    script: [
      'mkdir /tmp/cg && mount -t cgroup2 none /tmp/cg && cat /tmp/cg/cgroup.controllers',
      'ls -d /proc/sys/kernel/hostname /proc/pressure /proc/self/ns/* | tr "\\n" " "; echo',
      'ls /proc/self/ns | wc -l | sed s/^/NAMESPACES=/',
      'cut -f2 /proc/filesystems | tr "\\n" " "',
      'grep -c Seccomp_filters /proc/self/status | sed s/^/FILTERS=/',
      'head -c 16 /dev/random | wc -c | sed s/^/RANDOM=/',
      'mkdir /tmp/x; mount -t tmpfs -o mode=700 none /tmp/x && echo TMPFS',
      'echo DONE',
    ].join('\n'),
  });
  await guest.line('DONE');
  const output = guest.output();
  for (const wanted of ['memory', 'pids', 'cpu', '/proc/sys/kernel/hostname', '/proc/pressure']) {
    assert.ok(output.includes(wanted), wanted);
  }
  const systems = 'autofs overlay fuse ext4 ext2 vfat iso9660 hostfs tmpfs';
  for (const wanted of systems.split(' ')) {
    assert.match(output, new RegExp(`\\b${wanted}\\b`));
  }
  for (const wanted of ['FILTERS=1', 'RANDOM=16', 'TMPFS']) {
    assert.ok(output.includes(wanted), wanted);
  }
});

test('bridges, VLANs, pairs and tunnels can be made in a guest', async (t) => {
  const guest = bootGuest(t, await ourKernel('up'), {
    script: [
      'FIRST=$(echo $(ls /sys/class/net))',
      'ip link add br0 type bridge && ip link add v0 type veth && ip link set v0 master br0',
      'ip link add link v0 name v0.5 type vlan id 5 && ip link set br0 up',
      'ls -l /dev/net/tun && echo BEFORE=$FIRST && echo LINKS $(ls /sys/class/net | tr "\\n" " ")',
    ].join('\n'),
  });
  // A guest that was given no network sees none.
  assert.equal(await guest.line('BEFORE='), 'BEFORE=lo');
  const links = await guest.line('LINKS');
  for (const name of ['br0', 'v0', 'v0.5']) {
    assert.ok(links.split(' ').includes(name), `${name} in ${links}`);
  }
});

test('a partition of a disk is seen', async (t) => {
  const directory = scratch(t);
  const disk = Buffer.alloc(1 << 20);
  disk[446 + 4] = 0x83;
  disk.writeUInt32LE(64, 446 + 8);
  disk.writeUInt32LE(128, 446 + 12);
  disk.writeUInt16LE(0xaa55, 510);
  writeFileSync(join(directory, 'mbr'), disk);
  const guest = bootGuest(t, await ourKernel('up'), {
    script: 'cat /sys/class/block/ubdb1/size | sed s/^/PARTITION=/; ls -l /dev/ubdb1',
    arguments: [`ubd1=${join(directory, 'mbr')}`],
  });
  assert.equal(await guest.line('PARTITION='), 'PARTITION=128');
});
