/**
 * The folder of an inner machine lies where the guest around it may write. That guest is taken here
 * to have put links to the host's own files wherever it can.
 */
import { afterEach, beforeEach, suite, test } from 'node:test';
import assert from 'node:assert/strict';
import {
  existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, statSync,
  symlinkSync, truncateSync, writeFileSync,
} from 'node:fs'; // prettier-ignore
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import {
  addNestDisk, fillNestRoot, nestRoot, removeNestDisk, removeNestRoot,
} from '../../../../../src-main/engines/uml/node/nest-files.ts'; // prettier-ignore
import {
  cowHeaderBytes, makeCowHeader, parseCowHeader,
} from '../../../../../src-main/machine/cow.ts'; // prettier-ignore
import { planOf } from '../plan.ts';

let place: string, reachable: string, secret: string, root: string;
let plan: ReturnType<typeof planOf>;

beforeEach(() => {
  place = realpathSync(mkdtempSync(join(tmpdir(), 'nest-')));
  reachable = folder('machines/outer');
  secret = folder('home/of-the-user');
  file('home/of-the-user/diary', 'dear diary');
  root = nestRoot(reachable, 'feed');
  const image = file('images/disk.raw', 'an image');
  const header = { backingPath: image, backingSeconds: seconds(image), backingBytes: 1024 };
  const libc = file('libc.so.6', 'libc');
  plan = planOf({
    kernel: { path: file('linux', 'kernel'), sharedLibraries: [{ file: libc, seenAs: '/lib/c' }] },
    initramfs: file('boot', 'initramfs'),
    disks: [
      { id: 'root', index: 0, path: file('inner/root.cow', makeCowHeader(header)), backing: image },
    ],
  });
});

afterEach(() => rmSync(place, { recursive: true, force: true }));

function folder(path: string): string {
  mkdirSync(join(place, path), { recursive: true });
  return join(place, path);
}

function file(path: string, content: string | Uint8Array): string {
  mkdirSync(dirname(join(place, path)), { recursive: true });
  writeFileSync(join(place, path), content);
  return join(place, path);
}

const seconds = (path: string) => Math.floor(statSync(path).mtimeMs / 1000);
const text = (path: string) => readFileSync(join(root, path), 'utf8');

function assertSecretUntouched(): void {
  assert.deepEqual(readdirSync(secret), ['diary']);
  assert.equal(readFileSync(join(secret, 'diary'), 'utf8'), 'dear diary');
}

suite('the root of an inner kernel', () => {
  test('holds the kernel, its libraries, its disk, and a copy of the image', async () => {
    await fillNestRoot(root, plan);
    assert.equal(text('linux'), 'kernel');
    assert.equal(text('lib/c'), 'libc');
    assert.equal(text('initramfs.gz'), 'initramfs');
    assert.equal(text('images/0'), 'an image');
    const { path, backing } = plan.disks[0]!;
    assert.equal(statSync(join(root, 'disks/0')).ino, statSync(path).ino);
    assert.notEqual(statSync(join(root, 'images/0')).ino, statSync(backing!).ino);
    assert.equal(seconds(join(root, 'images/0')), seconds(backing!));
  });

  test('is made anew, and goes when it is no longer needed', async () => {
    await fillNestRoot(root, plan);
    writeFileSync(join(root, 'left-behind'), '');
    await fillNestRoot(root, plan);
    assert.ok(!existsSync(join(root, 'left-behind')));
    await removeNestRoot(root);
    assert.ok(!existsSync(root));
    assert.ok(existsSync(plan.disks[0]!.path), 'the disk itself stays');
  });

  test('its overlay names the image as the inner kernel sees it', async () => {
    await fillNestRoot(root, plan);
    const header = parseCowHeader(readFileSync(plan.disks[0]!.path).subarray(0, cowHeaderBytes));
    assert.equal(header.backingPath, '/images/0');
    assert.equal(header.backingSeconds, seconds(plan.disks[0]!.backing!));
  });

  test('an overlay that is none is left to the inner kernel to refuse', async () => {
    truncateSync(plan.disks[0]!.path, 10);
    await fillNestRoot(root, plan);
    assert.equal(statSync(plan.disks[0]!.path).size, 10);
  });
});

suite('a guest that has put a link to files of the host', () => {
  const denied = { code: 'denied' };

  test('in the place of the folder for all inner machines', async () => {
    symlinkSync(secret, join(reachable, 'inside'));
    await assert.rejects(fillNestRoot(root, plan), denied);
    await assert.rejects(removeNestRoot(root), denied);
    assertSecretUntouched();
  });

  test('in the place of the folder of the inner machine', async () => {
    mkdirSync(dirname(root));
    symlinkSync(secret, root);
    await fillNestRoot(root, plan);
    assert.equal(text('linux'), 'kernel');
    assertSecretUntouched();
  });

  test('in a folder that is removed', async () => {
    await fillNestRoot(root, plan);
    symlinkSync(secret, join(root, 'link'));
    symlinkSync(join(secret, 'diary'), join(root, 'lib-link'));
    await removeNestRoot(root);
    assert.ok(!existsSync(root));
    assertSecretUntouched();
  });

  test('where the copy of an image is made', async () => {
    await fillNestRoot(root, plan);
    const shared = join(reachable, 'inside/.images');
    const [key = ''] = readdirSync(shared);
    rmSync(join(shared, key));
    symlinkSync(join(secret, 'diary'), join(shared, key));
    await fillNestRoot(root, plan);
    assert.equal(text('images/0'), 'an image');
    assertSecretUntouched();
  });

  test('where a disk is plugged and unplugged', async () => {
    await fillNestRoot(root, plan);
    rmSync(join(root, 'disks'), { recursive: true });
    symlinkSync(secret, join(root, 'disks'));
    file('home/of-the-user/0', 'mine');
    await assert.rejects(addNestDisk(root, plan.disks[0]!), denied);
    await assert.rejects(removeNestDisk(root, 0), denied);
    assert.equal(readFileSync(join(secret, '0'), 'utf8'), 'mine');
  });

  test('in the place of the machine around the one around it', async () => {
    await fillNestRoot(root, plan);
    const innermost = nestRoot(root, 'beef');
    rmSync(root, { recursive: true });
    symlinkSync(secret, root);
    await assert.rejects(fillNestRoot(innermost, plan), denied);
    assertSecretUntouched();
  });
});
