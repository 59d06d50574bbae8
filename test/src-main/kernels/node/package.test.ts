/** A kernel out of a Debian package, made here with dpkg-deb; nothing of it is run. */
import { test, type TestContext } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { openKernelLibrary } from '../../../../src-main/kernels/node/library.ts';
import { imageBanner, imageWith } from '../fake-image.ts';

function room(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), 'kernel-package-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const tree = join(directory, 'tree');
  const put = (path: string, content: Uint8Array | string) => {
    mkdirSync(dirname(join(tree, path)), { recursive: true });
    writeFileSync(join(tree, path), content);
    return join(tree, path);
  };
  put('DEBIAN/control', 'Package: k\nVersion: 1\nArchitecture: riscv64\nMaintainer: a <a@b>\n' +
    'Description: k\n'); // prettier-ignore
  const build = (part = 'image') => {
    const deb = join(directory, `linux-${part}-7.3-riscv64_7.3-1_riscv64.deb`);
    execFileSync('dpkg-deb', ['-Znone', '--build', tree, deb], { stdio: 'ignore' });
    return deb;
  };
  const library = openKernelLibrary({ cacheDirectory: directory, packagedPath: '/none' });
  return { tree, put, build, library };
}

test('the boot image is a kernel, its modules an archive in the order of their need', async (t) => {
  const { put, build, library } = room(t);
  put('boot/vmlinux-7.3-riscv64', imageWith(imageBanner));
  const drivers = 'usr/lib/modules/7.3-riscv64/kernel/drivers';
  put(`${drivers}/virtio_mmio.ko`, '\0depends=\0');
  execFileSync('xz', [put(`${drivers}/virtio_blk.ko`, '\0depends=early\0')]);
  put(`${drivers}/early.ko`, '\0depends=\0');
  put(`${drivers}/sound.ko`, '\0depends=\0');
  const kernel = await library.importFile(build());
  assert.equal(kernel.id, 'linux-7.3-riscv64');
  assert.equal(kernel.engine, 'portable');
  const archive = readFileSync(kernel.modules!, 'latin1');
  assert.match(archive, /virtio_mmio\.ko\nearly\.ko\nvirtio_blk\.ko\n/);
  assert.doesNotMatch(archive, /sound/);
});

test('parts that are packages of their own are found beside it', async (t) => {
  const { tree, put, build, library } = room(t);
  put('usr/lib/modules/7.3-riscv64/vmlinuz', imageWith(imageBanner));
  build('binary');
  rmSync(join(tree, 'usr'), { recursive: true });
  put('usr/lib/modules/7.3-riscv64/kernel/drivers/virtio_mmio.ko', '\0depends=\0');
  build('modules');
  rmSync(join(tree, 'usr'), { recursive: true });
  const kernel = await library.importFile(build());
  assert.equal(kernel.version, '7.3.4-nymph');
  assert.match(readFileSync(kernel.modules!, 'latin1'), /virtio_mmio\.ko\n/);
});

test('a package without kernel or modules, and links in place of them, are refused', async (t) => {
  const { put, tree, build, library } = room(t);
  const refused = (message: RegExp) =>
    assert.rejects(library.importFile(build()), { code: 'bad-input', message });
  await refused(/no kernel in this/);
  mkdirSync(join(tree, 'boot'));
  symlinkSync('/etc/passwd', join(tree, 'boot/vmlinux-7.3'));
  await refused(/no kernel in this/);
  rmSync(join(tree, 'boot/vmlinux-7.3'));
  put('boot/vmlinux-7.3', imageWith(imageBanner));
  await refused(/no modules in this/);
  assert.deepEqual(await library.list(), []);
});
