/** What a package brings along: out of one cache, through the package, into another's. */
import { afterEach, beforeEach, test } from 'node:test';
import assert from 'node:assert/strict';
import {
  chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nymphPaths, type Paths } from '../../../../src-main/app/node/paths.ts';
import {
  seedStaged, stagedBusybox, stagedFile, type Staged,
} from '../../../../src-main/app/node/staged.ts';
import { stageThing } from '../../../../src-main/app/node/staging.ts';

const disk = Buffer.alloc(3 << 20);
disk.write('at the end', disk.length - 10);
const program = Buffer.from('#!/bin/sh\n');

let place: string;
let packed: string;
let paths: Paths;

beforeEach(async () => {
  place = mkdtempSync(join(tmpdir(), 'nymph-staged-'));
  packed = join(place, 'package');
  paths = { ...nymphPaths({}, join(place, 'home')), kernels: join(place, 'home/kernels') };
  const kernel = source('7.2-up-x', { linux: program, 'kernel.json': Buffer.from('{}') });
  chmodSync(join(kernel, 'linux'), 0o755);
  const tiny = source('tiny-1', { 'tiny.ext4': disk });
  await stage([
    { kind: 'kernel', directory: kernel },
    { kind: 'built', directory: tiny },
  ]);
});
afterEach(() => rmSync(place, { recursive: true, force: true }));

function source(name: string, files: Record<string, Buffer>): string {
  const directory = join(place, 'made', name);
  mkdirSync(directory, { recursive: true });
  for (const [file, bytes] of Object.entries(files)) writeFileSync(join(directory, file), bytes);
  return directory;
}

async function stage(things: { kind: 'kernel' | 'built'; directory: string }[]): Promise<void> {
  const rows: Staged['things'] = [];
  for (const thing of things) rows.push(await stageThing({ ...thing, about: '' }, packed));
  const staged: Staged = { format: 'nymph-staged-1', things: rows };
  writeFileSync(join(packed, stagedFile), JSON.stringify(staged));
}

const kernelFile = (name: string) => join(paths.kernels, 'installed/7.2-up-x', name);
const tinyFile = () => join(paths.cache, 'built/tiny-1/tiny.ext4');

test('everything comes out as it went in: bytes, holes, what may be run', async () => {
  assert.deepEqual(await seedStaged(paths, packed), []);
  assert.deepEqual(readFileSync(kernelFile('linux')), program);
  assert.equal(statSync(kernelFile('linux')).mode & 0o777, 0o755);
  assert.equal(statSync(kernelFile('kernel.json')).mode & 0o111, 0);
  assert.deepEqual(readFileSync(tinyFile()), disk);
  assert.ok(statSync(tinyFile()).blocks * 512 < disk.length / 2, 'the zeros take no room');
});

test('what is large lies packed in the package', () => {
  assert.ok(statSync(join(packed, 'built/tiny-1/tiny.ext4')).size < disk.length / 100);
});

test('what is there already is not touched', async () => {
  await seedStaged(paths, packed);
  writeFileSync(kernelFile('linux'), 'mine');
  await seedStaged(paths, packed);
  assert.equal(readFileSync(kernelFile('linux'), 'utf8'), 'mine');
});

test('a kernel that its user has removed stays away; what is only a cache comes back', async () => {
  await seedStaged(paths, packed);
  rmSync(join(paths.kernels, 'installed/7.2-up-x'), { recursive: true });
  rmSync(join(paths.cache, 'built/tiny-1'), { recursive: true });
  await seedStaged(paths, packed);
  assert.ok(!existsSync(kernelFile('linux')));
  assert.ok(existsSync(tinyFile()));
});

test('a damaged file is told of, and nothing of it is put there', async () => {
  for (const [file, bytes] of [
    ['kernel/7.2-up-x/linux', Buffer.from('#!/bin/no\n')],
    ['built/tiny-1/tiny.ext4', Buffer.from('not packed')],
  ] as const) {
    writeFileSync(join(packed, file), bytes);
  }
  const complaints = await seedStaged(paths, packed);
  assert.equal(complaints.length, 2, complaints.join('\n'));
  assert.match(complaints[0]!, /7\.2-up-x.*damaged/);
  assert.ok(!existsSync(kernelFile('linux')) && !existsSync(tinyFile()));
  assert.deepEqual(namesIn(join(paths.kernels, 'installed')), []);
});

test('a list that names a file elsewhere is refused whole', async () => {
  const path = join(packed, stagedFile);
  const staged = JSON.parse(readFileSync(path, 'utf8')) as Staged;
  for (const name of ['../escape', '/etc/x', '.hidden', 'a/b']) {
    const things = [{ ...staged.things[0]!, name }];
    writeFileSync(path, JSON.stringify({ ...staged, things }));
    await assert.rejects(seedStaged(paths, packed), Error, name);
  }
});

test('a checkout brings nothing along', async () => {
  assert.deepEqual(await seedStaged(paths, undefined), []);
  assert.equal(stagedBusybox(place), undefined);
});

function namesIn(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory) : [];
}
