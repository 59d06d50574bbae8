/**
 * What a guest has synced survives a crash of the host. Without the edits of feature `flush` it
 * does not: the kernel answers a flush without syncing the host's file.
 *
 * Method: a crash of the host cannot be had, so its page cache is played. A small library loaded
 * into the kernel's process logs every write to a disk's file and every sync of it, in order. The
 * guest writes and syncs, the kernel is killed, and a file is made with only those writes that a
 * sync came after: what a disk is sure to hold then. A second boot mounts that file.
 */
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, copyFileSync, ftruncateSync, mkdtempSync, openSync } from 'node:fs';
import { readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bootGuest, ourKernel, scratch } from './kernel-guest.ts';

const recorder = `
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* One record: kind, path, offset, length; for a write its data. Only files under DISKS count. */
static void record(const char *kind, int fd, const void *data, long length, long offset)
{
  char link[64], path[512], head[700];
  const char *disks = getenv("DISKS"), *log = getenv("DISK_LOG");
  long n;
  int out;

  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  n = readlink(link, path, sizeof path - 1);
  if (n < 0 || !disks || !log || strncmp(path, disks, strlen(disks)))
    return;
  path[n] = 0;
  n = snprintf(head, sizeof head, "%s %s %ld %ld\\n", kind, path, offset, length);
  struct iovec parts[2] = { { head, n }, { (void *) data, data ? length : 0 } };
  out = open(log, O_WRONLY | O_APPEND);
  writev(out, parts, 2);
  close(out);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off_t offset)
{
  long n = syscall(SYS_pwrite64, fd, data, length, offset);
  if (n > 0)
    record("write", fd, data, n, offset);
  return n;
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset)
{
  return pwrite64(fd, data, length, offset);
}

int fallocate64(int fd, int mode, off_t offset, off_t length)
{
  long n = syscall(SYS_fallocate, fd, mode, offset, length);
  if (n == 0)
    record("zero", fd, 0, length, offset);
  return n;
}

int fallocate(int fd, int mode, off_t offset, off_t length)
{
  return fallocate64(fd, mode, offset, length);
}

int fdatasync(int fd)
{
  long n = syscall(SYS_fdatasync, fd);
  if (n == 0)
    record("sync", fd, 0, 0, 0);
  return n;
}

int fsync(int fd)
{
  return fdatasync(fd);
}
`;

const place = mkdtempSync(join(tmpdir(), 'recorder-'));
const library = join(place, 'recorder.so');
before(() => {
  writeFileSync(join(place, 'recorder.c'), recorder);
  execFileSync('gcc', ['-shared', '-fPIC', '-O1', '-o', library, join(place, 'recorder.c')]);
});
after(() => rmSync(place, { recursive: true, force: true }));

const write = [
  'mount -t ext4 /dev/ubdb /mnt',
  'echo precious > /mnt/kept && sync',
  'dd if=/dev/zero of=/mnt/more bs=4096 count=4 conv=fsync 2>/dev/null && echo SYNCED',
  'echo late > /mnt/late; sleep 1000',
].join('\n');
const read = 'mount -t ext4 /dev/ubdb /mnt; echo "FOUND $(cat /mnt/kept) $(wc -c </mnt/more)"';

for (const kind of ['a plain disk', 'a copy-on-write overlay']) {
  for (const mode of ['ptrace', 'seccomp']) {
    test(`what was synced on ${kind} is in the host's file (${mode})`, async (t) => {
      const kernel = await ourKernel('up');
      const directory = scratch(t);
      const plain = join(directory, 'disk');
      const overlay = join(directory, 'cow');
      const seccomp = mode === 'seccomp' ? ['seccomp=on'] : [];
      makeFilesystem(plain);
      let disk = plain;
      let argument = `ubd1=${plain}`;
      if (kind !== 'a plain disk') {
        // The kernel makes the overlay itself on a first boot, which also closes it in order.
        argument = `ubd1=${overlay},${plain}`;
        disk = overlay;
        await bootGuest(t, kernel, { script: 'true', arguments: [argument] }).ended;
      }
      const initial = join(directory, 'initial');
      copyFileSync(disk, initial);
      const log = join(directory, 'log');
      writeFileSync(log, '');
      const guest = bootGuest(t, kernel, {
        script: write,
        arguments: [argument, ...seccomp],
        environment: { LD_PRELOAD: library, DISKS: directory, DISK_LOG: log },
      });
      await guest.line('SYNCED');
      guest.process.kill('SIGKILL');
      await guest.ended;

      const records = readFileSync(log);
      assert.ok(records.length > 0, 'the recorder saw no write');
      const synced = replay(records, disk, initial);
      assert.ok(synced > 0, 'no sync of the guest reached the file of its disk');
      copyFileSync(initial, disk);
      const second = bootGuest(t, kernel, { script: read, arguments: [argument, ...seccomp] });
      assert.equal(await second.line('FOUND'), 'FOUND precious 16384');
    });
  }
}

function makeFilesystem(path: string): void {
  const file = openSync(path, 'w');
  ftruncateSync(file, 16 << 20);
  closeSync(file);
  const environment = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` };
  const lazy = 'lazy_itable_init=0,lazy_journal_init=0';
  execFileSync('mkfs.ext4', ['-q', '-F', '-E', lazy, path], { env: environment });
}

/** Makes of the initial file what its disk is sure to hold; returns how many syncs there were. */
function replay(log: Buffer, disk: string, initial: string): number {
  const file = openSync(initial, 'r+');
  let pending: { offset: number; data: Buffer }[] = [];
  let syncs = 0;
  for (let at = 0; at < log.length; ) {
    const lineEnd = log.indexOf(10, at);
    const [kind, path, offset, length] = log.toString('utf8', at, lineEnd).split(' ');
    const size = Number(length);
    at = lineEnd + 1;
    const data = kind === 'write' ? log.subarray(at, at + size) : Buffer.alloc(size);
    if (kind === 'write') at += size;
    if (path !== disk) continue;
    if (kind !== 'sync') {
      pending.push({ offset: Number(offset), data });
      continue;
    }
    for (const each of pending) writeSync(file, each.data, 0, each.data.length, each.offset);
    pending = [];
    syncs += 1;
  }
  closeSync(file);
  return syncs;
}
