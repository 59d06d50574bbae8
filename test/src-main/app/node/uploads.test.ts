/** Files handed in by clients that cannot name paths: grants, and what becomes of them. */
import { suite, test, type TestContext } from 'node:test';
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { nymphPaths } from '../../../../src-main/app/node/paths.ts';
import { uploadFloorBytes, Uploads } from '../../../../src-main/app/node/uploads.ts';

async function uploadsOf(t: TestContext) {
  const home = mkdtempSync(join(tmpdir(), 'nu-'));
  t.after(() => rmSync(home, { recursive: true, force: true }));
  const paths = nymphPaths({}, home);
  const uploads = new Uploads(paths);
  await uploads.open();
  const give = (title: string, text: string) =>
    uploads.receive(title, text.length, Readable.from([Buffer.from(text)]));
  return { uploads, paths, give, home };
}

/** Deleting happens behind the caller's back; it is done when the folder says so. */
async function untilEmpty(directory: string): Promise<void> {
  while (readdirSync(directory).length > 0) await new Promise((resolve) => setImmediate(resolve));
}

suite('an upload', () => {
  test('is kept under a grant nobody can guess, and deleted when it has served', async (t) => {
    const { uploads, paths, give } = await uploadsOf(t);
    const grant = await give('../../etc/disk.img', 'content');
    assert.match(grant, /^[0-9a-f]{24}$/);
    const file = uploads.resolve({ grant }, false);
    assert.equal(file.title, '../../etc/disk.img');
    assert.ok(file.path.startsWith(`${paths.uploads}/`), 'its title names no file of ours');
    assert.equal(readFileSync(file.path, 'utf8'), 'content');
    file.done();
    assert.throws(() => uploads.resolve({ grant }, false), { code: 'not-found' });
    await untilEmpty(paths.uploads);
  });

  test('larger than the free space is refused before a byte of it', async (t) => {
    const { uploads, paths } = await uploadsOf(t);
    const body = Readable.from([Buffer.alloc(10)]);
    await assert.rejects(uploads.receive('big.img', 2 ** 60, body), { code: 'no-space' });
    assert.deepEqual(readdirSync(paths.uploads), []);
    body.destroy();
  });

  test('whose length is not told ends where the free space does', async (t) => {
    const { paths } = await uploadsOf(t);
    const uploads = new Uploads(paths, { freeBytes: async () => uploadFloorBytes + 1500 });
    const body = Readable.from([Buffer.alloc(1000), Buffer.alloc(1000)]);
    await assert.rejects(uploads.receive('big.img', undefined, body), { code: 'no-space' });
    assert.deepEqual(readdirSync(paths.uploads), []);
  });

  test('that breaks off leaves nothing', async (t) => {
    const { uploads, paths } = await uploadsOf(t);
    const body = Readable.from(
      (async function* () {
        yield Buffer.alloc(1000);
        throw new Error('the tab was closed');
      })(),
    );
    await assert.rejects(uploads.receive('disk.img', undefined, body), {
      message: 'the tab was closed',
    });
    assert.deepEqual(readdirSync(paths.uploads), []);
  });

  test('of an earlier server is swept', async (t) => {
    const { uploads, paths } = await uploadsOf(t);
    writeFileSync(join(paths.uploads, 'left'), 'x');
    await uploads.open();
    assert.deepEqual(readdirSync(paths.uploads), []);
  });

  test('makes the oldest of more than 64 go', async (t) => {
    const { uploads, give } = await uploadsOf(t);
    const grants: string[] = [];
    for (let count = 0; count < 65; count++) grants.push(await give('a', 'x'));
    assert.throws(() => uploads.resolve({ grant: grants[0]! }, false), { code: 'not-found' });
    uploads.resolve({ grant: grants[1]! }, false);
  });
});

suite('a file of the host', () => {
  test('may be named by a trusted client only, and by its full path', async (t) => {
    const { uploads, home } = await uploadsOf(t);
    const path = join(home, 'disk.img');
    assert.throws(() => uploads.resolve({ path }, false), { code: 'denied' });
    assert.throws(() => uploads.resolve({ path: 'disk.img' }, true), { code: 'usage' });
    assert.equal(uploads.resolve({ path }, true).title, 'disk.img');
  });

  test('is never deleted, by name or by a grant for it', async (t) => {
    const { uploads, home } = await uploadsOf(t);
    const path = join(home, 'disk.img');
    writeFileSync(path, 'mine');
    uploads.resolve({ path }, true).done();
    const grant = uploads.grantPath(path);
    uploads.resolve({ grant }, false).done();
    assert.ok(existsSync(path));
    assert.throws(() => uploads.resolve({ grant }, false), { code: 'not-found' });
  });

  test('is not reached by inventing a grant', async (t) => {
    const { uploads } = await uploadsOf(t);
    for (const grant of ['', '__proto__', '/etc/passwd', '0'.repeat(24)]) {
      assert.throws(() => uploads.resolve({ grant }, true), { code: 'not-found' });
    }
  });
});
