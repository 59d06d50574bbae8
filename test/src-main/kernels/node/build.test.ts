/** What a build checks before it begins, and how it edits a tree; building itself is test/guest. */
import { test, type TestContext } from 'node:test';
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { buildKernel, missingBuildPackages } from '../../../../src-main/kernels/node/build.ts';
import { editTree } from '../../../../src-main/kernels/node/source.ts';
import { acquireLock } from '../../../../src-main/kernels/node/lock.ts';
import { kernelEdits } from '../../../../src-main/kernels/edits.ts';
import { recipeMark, recipeOf } from '../../../../src-main/kernels/recipe.ts';
import { makeKernel } from '../fake-elf.ts';

function place(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'build-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

test('packages that are missing are named', () => {
  const missing = missingBuildPackages('/nowhere');
  for (const name of ['gcc', 'make', 'flex', 'bison', 'bc']) assert.ok(missing.includes(name));
});

test('a missing program is refused with the one line that installs it', async (t) => {
  const path = process.env.PATH;
  process.env.PATH = '/nowhere';
  t.after(() => (process.env.PATH = path));
  await assert.rejects(buildKernel({ cacheDirectory: place(t), flavour: 'up' }), {
    code: 'unavailable',
    message: /sudo apt-get install --yes gcc .*make flex bison bc/,
  });
});

test('a kernel of the recipe that is there already is not built again', async (t) => {
  const cacheDirectory = place(t);
  const recipe = recipeOf('up');
  const home = join(cacheDirectory, 'installed', 'it');
  mkdirSync(home, { recursive: true });
  const mark = `CONFIG_BUILD_SALT="${recipeMark(recipe.hash, [])}"`;
  writeFileSync(join(home, 'linux'), makeKernel({ config: [mark] }));
  writeFileSync(join(home, 'kernel.json'), JSON.stringify({ flavour: 'up', recipe: recipe.hash }));
  assert.equal((await buildKernel({ cacheDirectory, flavour: 'up' })).id, 'it');
});

test('two builders do not meet', async (t) => {
  const cacheDirectory = place(t);
  const lock = await acquireLock(join(cacheDirectory, 'build.lock'), '');
  await assert.rejects(buildKernel({ cacheDirectory, flavour: 'up' }), {
    code: 'in-use',
    message: 'A kernel is being built already.',
  });
  await lock.release();
});

test('a build that is cancelled before it begins leaves no lock', async (t) => {
  const cacheDirectory = place(t);
  const signal = AbortSignal.abort();
  await assert.rejects(buildKernel({ cacheDirectory, flavour: 'up', signal }), {
    code: 'cancelled',
  });
  await (await acquireLock(join(cacheDirectory, 'build.lock'), 'Busy.')).release();
});

test('all edits are made in a tree, and a tree that does not fit is refused', async (t) => {
  const tree = place(t);
  const anchors = new Map<string, string>();
  for (const { file, find } of kernelEdits) {
    anchors.set(file, `${anchors.get(file) ?? ''}\t${find};\n`);
  }
  for (const [file, text] of anchors) {
    mkdirSync(dirname(join(tree, file)), { recursive: true });
    writeFileSync(join(tree, file), text);
  }
  await editTree(tree, recipeOf('up'));
  assert.match(readFileSync(join(tree, 'kernel/seccomp.c'), 'utf8'), /instruction_pointer/);
  await assert.rejects(editTree(tree, recipeOf('up')), { code: 'unsupported' });
  await assert.rejects(editTree(join(tree, 'none'), recipeOf('up')), { code: 'unsupported' });
});
