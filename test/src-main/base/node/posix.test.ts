/** Goal: the raw calls do what Linux says. Method: real descriptors, made and closed here. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import {
  checked, close, libc, mkfifo, pidfdGetfd, pidfdOpen, posixAvailable, PosixError, setNonblocking,
  socketpairDatagram, socketpairSeqpacket,
} from '../../../../src-main/base/node/posix.ts';

const read = (fd: number, bytes: Uint8Array): number =>
  libc('long read(int fd, void *bytes, size_t size)')(fd, bytes, bytes.length);
const write = (fd: number, text: string): number =>
  libc('long write(int fd, const void *bytes, size_t size)')(fd, Buffer.from(text), text.length);
const flagsOf = (fd: number): number =>
  parseInt(/flags:\s*(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))![1]!, 8);
const hasCode = (code: string) => (thrown: unknown) =>
  thrown instanceof PosixError && thrown.code === code;

test('koffi loads on Linux', () => {
  assert.equal(posixAvailable(), true);
});

test('mkfifo makes a pipe of that mode, and says EEXIST the second time', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'nymph-posix-'));
  t.after(() => rmSync(folder, { recursive: true }));
  mkfifo(join(folder, 'pipe'), 0o600);
  const status = statSync(join(folder, 'pipe'));
  assert.equal(status.isFIFO(), true);
  assert.equal(status.mode & 0o777, 0o600);
  assert.throws(() => mkfifo(join(folder, 'pipe'), 0o600), hasCode('EEXIST'));
});

for (const [name, make] of [['seqpacket', socketpairSeqpacket], ['datagram',
  socketpairDatagram]] as const) {
  test(`a ${name} pair keeps message boundaries, does not block and is closed on exec`, () => {
    const [near, far] = make();
    for (const fd of [near, far]) {
      assert.notEqual(flagsOf(fd) & 0o4000, 0, 'non-blocking');
      assert.notEqual(flagsOf(fd) & 0o2000000, 0, 'close on exec');
    }
    assert.equal(write(near, 'one'), 3);
    assert.equal(write(near, 'three'), 5);
    const bytes = new Uint8Array(100);
    assert.equal(read(far, bytes), 3);
    assert.equal(read(far, bytes), 5);
    assert.throws(() => checked('read', read(far, bytes)), hasCode('EAGAIN'));
    close(near);
    close(far);
  });
}

test('setNonblocking switches the flag on and off', () => {
  const [near, far] = socketpairSeqpacket();
  setNonblocking(near, false);
  assert.equal(flagsOf(near) & 0o4000, 0);
  setNonblocking(near);
  assert.notEqual(flagsOf(near) & 0o4000, 0);
  close(near);
  close(far);
});

test('closing twice says EBADF', () => {
  const [near, far] = socketpairSeqpacket();
  close(far);
  close(near);
  assert.throws(() => close(near), hasCode('EBADF'));
});

test('a socket kept only by another process comes back with pidfd_getfd', async (t) => {
  const [near, far] = socketpairSeqpacket();
  const child = spawn('sleep', ['100'], { stdio: ['ignore', 'ignore', 'ignore', near, far] });
  t.after(() => child.kill('SIGKILL'));
  await once(child, 'spawn');
  close(near);
  close(far);
  const pidfd = pidfdOpen(child.pid!);
  const a = pidfdGetfd(pidfd, 3);
  const b = pidfdGetfd(pidfd, 4);
  assert.throws(() => pidfdGetfd(pidfd, 99), hasCode('EBADF'));
  close(pidfd);
  assert.equal(write(a, 'hello'), 5);
  const bytes = new Uint8Array(100);
  assert.equal(read(b, bytes), 5);
  close(a);
  close(b);
});

test('a process that is not there says ESRCH', () => {
  assert.throws(() => pidfdOpen(0x3fffffff), hasCode('ESRCH'));
});
