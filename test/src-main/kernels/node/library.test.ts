/** The kernels on a machine, with tiny files in place of kernels; nothing in here is run. */
import { test, type TestContext } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openKernelLibrary } from '../../../../src-main/kernels/node/library.ts';
import { recipeMark, recipeOf } from '../../../../src-main/kernels/recipe.ts';
import { makeElf, makeKernel } from '../fake-elf.ts';

function place(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), 'kernels-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const packagedPath = join(directory, 'linux.uml');
  const file = (name: string, bytes: Uint8Array | string) => {
    writeFileSync(join(directory, name), bytes);
    return join(directory, name);
  };
  const install = (id: string, about: object, bytes: Uint8Array) => {
    mkdirSync(join(directory, 'installed', id), { recursive: true });
    file(join('installed', id, 'linux'), bytes);
    file(join('installed', id, 'kernel.json'), JSON.stringify(about));
  };
  const open = (wideState: boolean) =>
    openKernelLibrary({ cacheDirectory: directory, packagedPath, wideState });
  const library = open(false);
  return { open, directory, library, file, install };
}

test('a fresh machine has no kernel, or the packaged one', async (t) => {
  const { library, file } = place(t);
  assert.deepEqual(await library.list(), []);
  file('linux.uml', makeKernel({ version: '6.1.176' }));
  const [packaged] = await library.list();
  assert.equal(packaged?.id, 'packaged');
  assert.equal(packaged?.version, '6.1.176');
  assert.equal((await library.choose(2)).cpus, 1);
});

test('on a processor with AMX an old kernel is listed with what is in its way', async (t) => {
  const { open, file, install } = place(t);
  file('linux.uml', makeKernel({ version: '6.1.176' }));
  install('7.2-up-x', { flavour: 'up' }, makeKernel());
  const obstacles = async (wide: boolean) =>
    (await open(wide).list()).map(({ id, obstacle }) => [id, obstacle !== undefined]);
  assert.deepEqual(await obstacles(true), [['7.2-up-x', false], ['packaged', true]]);
  assert.deepEqual(await obstacles(false), [['7.2-up-x', false], ['packaged', false]]);
});

test('kernels of ours are listed newest first, before imported ones', async (t) => {
  const { library, install, file, directory } = place(t);
  const from = (version: string) => ({ flavour: 'up', source: { version } });
  install('7.2.13-1-up-bbbbbbbbbbbb', from('7.2.13-1'), makeKernel());
  install('7.2.13-1-up-aaaaaaaaaaaa', from('7.2.13-1'), makeKernel());
  utimesSync(join(directory, 'installed/7.2.13-1-up-bbbbbbbbbbbb/linux'), 1, 1);
  install('7.2.9-1-up-cccccccccccc', from('7.2.9-1'), makeKernel());
  await library.importFile(file('mine', makeKernel()));
  assert.deepEqual(
    (await library.list()).map((kernel) => [kernel.id, kernel.flavour]),
    [
      ['7.2.13-1-up-aaaaaaaaaaaa', 'up'],
      ['7.2.13-1-up-bbbbbbbbbbbb', 'up'],
      ['7.2.9-1-up-cccccccccccc', 'up'],
      ['mine', 'imported'],
    ],
  );
});

test('a half-made, broken or foreign folder is no kernel', async (t) => {
  const { library, install, directory, file } = place(t);
  install('.7.2-up.partial', { flavour: 'up' }, makeKernel());
  install('broken', { flavour: 'up' }, makeElf());
  install('odd', { flavour: 'strange' }, makeKernel());
  mkdirSync(join(directory, 'installed', 'empty'));
  file('installed/stray', 'text');
  assert.deepEqual(await library.list(), []);
});

test('a built kernel is found again by its recipe', async (t) => {
  const { library, install } = place(t);
  const recipe = recipeOf('up');
  const mark = `CONFIG_BUILD_SALT="${recipeMark(recipe.hash, ['flush'])}"`;
  assert.equal(await library.findBuilt(recipe), undefined);
  install('7.2-up-x', { flavour: 'up', recipe: recipe.hash }, makeKernel({ config: [mark] }));
  const found = await library.findBuilt(recipe);
  assert.equal(found?.id, '7.2-up-x');
  assert.equal(found?.features.flushReachesHost, true);
  assert.equal(await library.findBuilt(recipeOf('smp')), undefined);
});

test('an imported kernel is a copy under the name of its file', async (t) => {
  const { library, file } = place(t);
  const path = file('linux 7.2', makeKernel());
  const kernel = await library.importFile(path);
  rmSync(path);
  assert.equal(kernel.id, 'linux-7.2');
  assert.equal((await library.get('linux-7.2')).sizeBytes, kernel.sizeBytes);
  await assert.rejects(library.importFile(file('again', makeKernel()), 'linux-7.2'), {
    code: 'exists',
  });
});

test('what is no kernel is refused with a sentence and leaves nothing behind', async (t) => {
  const { library, file, directory } = place(t);
  execFileSync('mkfifo', [join(directory, 'pipe')]);
  const cases: [string, string, RegExp][] = [
    [join(directory, 'none'), 'not-found', /no such file/],
    [directory, 'bad-input', /not a regular file/],
    [join(directory, 'pipe'), 'bad-input', /not a regular file/],
    [file('script', '#!/bin/sh\n'), 'bad-input', /not a program/],
    [file('program', makeElf()), 'bad-input', /not a User Mode Linux kernel/],
    [file('cut', makeKernel().slice(0, 300)), 'bad-input', /damaged/],
    [file('libs', makeKernel({ needed: ['libnone.so.9'] })), 'unavailable', /libnone\.so\.9/],
    [file('loader', makeKernel({ interpreter: '/none/ld.so' })), 'unavailable', /\/none\/ld\.so/],
    [
      file('newer', makeKernel({ needed: ['libc.so.6'], asks: { 'libc.so.6': ['GLIBC_9.99'] } })),
      'unavailable',
      /GLIBC_9\.99 of libc\.so\.6/,
    ],
  ];
  for (const [path, code, message] of cases) {
    await assert.rejects(library.importFile(path), { code, message });
  }
  await assert.rejects(library.importFile(file('k', makeKernel()), '../up'), { code: 'usage' });
  await assert.rejects(library.importFile(file('k', makeKernel()), 'packaged'), { code: 'usage' });
  assert.ok(!readdirSync(directory).includes('installed'));
});

test('a kernel is removed with its being the default; the packaged one is not ours', async (t) => {
  const { library, file, directory } = place(t);
  file('linux.uml', makeKernel());
  await library.importFile(file('mine', makeKernel()));
  await library.setDefault('mine');
  assert.equal((await library.get('mine')).default, true);
  await library.remove('mine');
  assert.deepEqual(readdirSync(join(directory, 'installed')), []);
  assert.ok((await library.list()).every((kernel) => !kernel.default));
  await assert.rejects(library.remove('mine'), { code: 'not-found' });
  await assert.rejects(library.remove('packaged'), { code: 'unsupported' });
  await assert.rejects(library.remove('../installed'), { code: 'not-found' });
});

test('a default can be set, must exist, and can be taken back', async (t) => {
  const { library, file } = place(t);
  await library.importFile(file('mine', makeKernel()));
  await assert.rejects(library.setDefault('gone'), { code: 'not-found' });
  await library.setDefault('mine');
  assert.equal((await library.choose(1)).kernel.id, 'mine');
  await library.setDefault(undefined);
  assert.equal((await library.get('mine')).default, false);
});

test('the libraries of a program are found by reading, loader first', async (t) => {
  const { library, file } = place(t);
  const interpreter = '/lib64/ld-linux-x86-64.so.2';
  const kernel = await library.importFile(
    file('mine', makeKernel({ interpreter, needed: ['libc.so.6'] })),
  );
  const [loader, own] = kernel.sharedLibraries;
  assert.deepEqual(loader, { file: interpreter, seenAs: interpreter });
  assert.match(own?.seenAs ?? '', /^\/.*\/libc\.so\.6$/);
  assert.equal(own?.file, own?.seenAs, 'the host’s own');
  assert.match(kernel.sharedLibraries.at(-1)?.seenAs ?? '', /\/libgcc_s\.so\.1$/);
});

test('a packaged kernel that was fetched is seen with the libraries it brought', async (t) => {
  const { library, install, file, directory } = place(t);
  const home = join(directory, 'installed/packaged-7.2um1');
  const interpreter = '/lib64/ld-linux-x86-64.so.2';
  const bytes = makeKernel({ interpreter, needed: ['libown.so.6'] });
  install('packaged-7.2um1', { flavour: 'packaged', source: { version: '7.2um1' } }, bytes);
  assert.deepEqual(await library.list(), [], 'the host has no such library');
  for (const name of ['lib64', 'lib/x86_64-linux-gnu']) {
    mkdirSync(join(home, 'libraries', name), { recursive: true });
  }
  file('installed/packaged-7.2um1/libraries/lib/x86_64-linux-gnu/libown.so.6', makeElf());
  file(`installed/packaged-7.2um1/libraries${interpreter}`, makeElf());
  const [kernel] = await library.list();
  assert.deepEqual(kernel?.sharedLibraries, [
    { file: join(home, 'libraries', interpreter), seenAs: interpreter },
    {
      file: join(home, 'libraries/lib/x86_64-linux-gnu/libown.so.6'),
      seenAs: '/lib/x86_64-linux-gnu/libown.so.6',
    },
  ]);
  file('linux.uml', makeKernel({ version: '6.1.176' }));
  const { kernel: chosen } = await library.choose(1);
  assert.equal(chosen.id, 'packaged-7.2um1', 'before the one that is installed');
  await library.remove('packaged-7.2um1');
  assert.deepEqual((await library.list()).map(({ id }) => id), ['packaged']);
});
