/**
 * Building on this host: the boot file system and Tiny Linux, their caches and refusals.
 */
import { after, before, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFile, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { cached } from '../../../../src-main/images/node/cache.ts';
import { buildInitramfs } from '../../../../src-main/images/node/initramfs.ts';
import { run } from '../../../../src-main/images/node/run.ts';
import { buildTiny } from '../../../../src-main/images/node/tiny.ts';

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nymph images ')); // a blank, on purpose
});
after(() => rm(folder, { recursive: true, force: true }));

const debugfs = (image: string, command: string) =>
  execFileSync('debugfs', ['-R', command, image], {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { ...process.env, PATH: `${process.env['PATH']}:/sbin:/usr/sbin` },
  }).toString();

describe('the boot file system', () => {
  it('is one small program, built once', async () => {
    const first = await buildInitramfs({ cache: folder });
    const archive = gunzipSync(await readFile(first.path));
    assert.ok(archive.includes('070701') && archive.includes('TRAILER!!!'));
    assert.ok((await stat(first.path)).size < 64 * 1024);
    assert.equal((await readFile(first.agentPath)).subarray(0, 4).toString('latin1'), '\x7fELF');
    const second = await buildInitramfs({ cache: folder });
    assert.deepEqual([second.path, second.reused], [first.path, true]);
  });

  it('is built anew when a source changes, and says which compiler error there was', async () => {
    const sources = await mkdtemp(join(folder, 'sources-'));
    await writeFile(join(sources, 'broken.c'), 'int main( {');
    await assert.rejects(buildInitramfs({ cache: folder, sources }), { code: 'internal' });
    assert.deepEqual((await readdir(folder)).filter((name) => name.startsWith('.making')), []);
  });
});

describe('Tiny Linux', () => {
  it('is a sound ext4 image of 1 GiB that takes a few megabytes', async () => {
    const image = await buildTiny({ cache: folder });
    assert.equal(image.virtualBytes, 2 ** 30);
    assert.ok(image.realBytes < 12 * 2 ** 20);
    await run('e2fsck', ['-fn', image.path]);
    assert.equal((await buildTiny({ cache: folder })).reused, true);
  });

  it('has files of root with the modes they need', async () => {
    const { path } = await buildTiny({ cache: folder });
    assert.match(debugfs(path, 'stat /etc/nymph/network'), /Mode: +0755[^]*User: +0 +Group: +0/);
    assert.match(debugfs(path, 'stat /tmp'), /Mode: +01777/);
    assert.match(debugfs(path, 'stat /bin/sh'), /symlink[^]*Fast link dest: "busybox"/);
    assert.equal(debugfs(path, 'cat /etc/nymph/consoles'), 'tty0\ntty1\n');
  });

  it('is the same to the last byte wherever it is made', async () => {
    const other = await mkdtemp(join(folder, 'other-'));
    const hash = (path: string) => execFileSync('sha256sum', [path]).toString().slice(0, 64);
    const options = { sizeMib: 32, consoles: ['hvc0'] };
    const first = await buildTiny({ cache: folder, ...options });
    const second = await buildTiny({ cache: other, ...options });
    assert.equal(hash(first.path), hash(second.path));
  });

  it('refuses a busybox that needs libraries, or is none', async () => {
    await assert.rejects(buildTiny({ cache: folder, busybox: '/bin/sh' }), {
      code: 'unavailable',
      message: /busybox-static/,
    });
    const text = join(folder, 'text');
    await writeFile(text, 'x'.repeat(100));
    await assert.rejects(buildTiny({ cache: folder, busybox: text }), { code: 'bad-input' });
    const cut = join(folder, 'cut');
    await copyFile('/bin/sh', cut);
    await writeFile(cut, (await readFile('/bin/sh')).subarray(0, 70));
    await assert.rejects(buildTiny({ cache: folder, busybox: cut }));
  });

  it('leaves nothing when it is cancelled', async () => {
    const cache = await mkdtemp(join(folder, 'cancel-'));
    const signal = AbortSignal.abort();
    await assert.rejects(buildTiny({ cache, signal }), { code: 'cancelled' });
    assert.deepEqual(await readdir(cache), []);
  });
});

describe('a thing that is made once', () => {
  it('is made by whoever comes first, and both get it', async () => {
    const cache = join(folder, 'once');
    const make = async (scratch: string) => writeFile(join(scratch, 'file'), 'x');
    const both = await Promise.all([cached(cache, 'it', make), cached(cache, 'it', make)]);
    assert.equal(both[0]?.path, both[1]?.path);
    assert.deepEqual(await readdir(cache), ['it']);
  });
});

describe('a program of the host', () => {
  it('that is missing is named with the command that installs it', async () => {
    await assert.rejects(run('no-such-program', [], { package: 'a-package' }), {
      code: 'unavailable',
      message: 'The program "no-such-program" is missing; install it with: ' +
        'sudo apt-get install a-package.',
    });
  });

  it('that fails is refused with what it said', async () => {
    await assert.rejects(run('sh', ['-c', 'echo "E: the reason" >&2; echo later >&2; exit 3']), {
      message: 'sh ended with 3: E: the reason.',
    });
  });

  it('is ended with all its children when the caller takes it back', async () => {
    const stop = new AbortController();
    const running = run('sh', ['-c', 'echo ready; sleep 1000 & wait'], {
      signal: stop.signal,
      onLine: () => stop.abort(),
    });
    await assert.rejects(running, { code: 'cancelled' });
  });
});
