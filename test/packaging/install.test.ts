/**
 * The scripts that dpkg and rpm run after they have unpacked or removed a package, over a folder
 * that stands for the whole host, and the command that they put in its path.
 */
import { beforeEach, after, test } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync, existsSync, mkdirSync, mkdtempSync, readlinkSync, rmSync, symlinkSync, writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { root } from '../tidy/house.ts';

const host = mkdtempSync(join(tmpdir(), 'nymph-host-'));
after(() => rmSync(host, { recursive: true, force: true }));

const script = (name: string) => join(root, 'resources/packaging', name);

function run(name: string, ...words: string[]): void {
  const env = { PATH: process.env['PATH'], NYMPH_PACKAGE_ROOT: host };
  execFileSync('sh', [script(name), ...words], { env });
}

function put(path: string, text = ''): void {
  const file = join(host, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
}

function commands(): string[] {
  return ['nymph', 'nymph-desktop'].filter((name) => existsSync(join(host, 'usr/bin', name)));
}

beforeEach(() => {
  rmSync(host, { recursive: true, force: true });
  put('opt/Nymph/nymph-desktop');
  put('opt/Nymph/chrome-sandbox');
  put('opt/Nymph/resources/nymph/bin/nymph');
});

test('an installation puts both commands into the path', () => {
  run('after-install.sh', 'configure');
  const target = (name: string) => readlinkSync(join(host, 'usr/bin', name));
  assert.equal(target('nymph'), '/opt/Nymph/resources/nymph/bin/nymph');
  assert.equal(target('nymph-desktop'), '/opt/Nymph/nymph-desktop');
});

test('it can be run again, and does without what this host does not have', () => {
  rmSync(join(host, 'opt/Nymph/chrome-sandbox'));
  run('after-install.sh', 'configure');
  run('after-install.sh', 'configure', '0.1.0');
});

test('a removal takes away what the installation has put there, and nothing else', () => {
  run('after-install.sh', 'configure');
  put('etc/apparmor.d/nymph-desktop');
  put('etc/apparmor.d/other');
  run('after-remove.sh', 'remove');
  assert.deepEqual(commands(), []);
  assert.ok(!existsSync(join(host, 'etc/apparmor.d/nymph-desktop')));
  assert.ok(existsSync(join(host, 'etc/apparmor.d/other')));
});

test('a removal leaves a command of that name that is somebody else’s', () => {
  mkdirSync(join(host, 'usr/bin'), { recursive: true });
  symlinkSync('/usr/local/bin/other', join(host, 'usr/bin/nymph'));
  run('after-remove.sh', 'remove');
  assert.equal(readlinkSync(join(host, 'usr/bin/nymph')), '/usr/local/bin/other');
});

for (const word of ['upgrade', '1']) {
  test(`an upgrade (“${word}”) keeps everything`, () => {
    run('after-install.sh', 'configure');
    const before = readlinkSync(join(host, 'usr/bin/nymph'));
    run('after-remove.sh', word);
    assert.equal(readlinkSync(join(host, 'usr/bin/nymph')), before);
  });
}

test('the command runs the program of its own package, wherever it is called from', () => {
  put('opt/Nymph/resources/nymph/bin/node', '#!/bin/sh\nprintf "%s\\n" "$@"\n');
  const bin = join(host, 'opt/Nymph/resources/nymph/bin');
  execFileSync('cp', [script('nymph.sh'), join(bin, 'nymph')]);
  for (const name of ['node', 'nymph']) chmodSync(join(bin, name), 0o755);
  const link = join(host, 'nymph');
  symlinkSync(join(bin, 'nymph'), link);
  const said = execFileSync(link, ['run', '--', 'a b'], { encoding: 'utf8' }).trim().split('\n');
  assert.deepEqual(said.slice(1), [
    `${bin}/../program/dist/main/shells/cli/main.js`, 'run', '--', 'a b',
  ]);
});
