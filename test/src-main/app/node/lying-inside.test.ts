/** What finds a machine again that was suspended as a part of the one around it. */
import { after, test } from 'node:test';
import assert from 'node:assert/strict';
import {
  existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync,
} from 'node:fs'; // prettier-ignore
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  laidDownMs, layDown, layOut, standUp,
} from '../../../../src-main/app/node/lying-inside.ts'; // prettier-ignore

const home = mkdtempSync(join(tmpdir(), 'nymph-lying-'));
after(() => rmSync(home, { recursive: true, force: true }));
const directory = join(home, 'machine');
const run = join(home, 'run');
mkdirSync(directory);
mkdirSync(run);
writeFileSync(join(run, 'nest.json'), '{"name":"a"}');
symlinkSync('/etc/hostname', join(run, 'link'));

test('its run directory is there again, plain files only, when the host has lost it', async () => {
  assert.equal(laidDownMs(directory), undefined);
  await layDown(directory, run, 1234);
  assert.equal(laidDownMs(directory), 1234);
  rmSync(run, { recursive: true });
  await layOut(directory, run);
  assert.equal(readFileSync(join(run, 'nest.json'), 'utf8'), '{"name":"a"}');
  assert.equal(existsSync(join(run, 'link')), false);
});

test('one that is laid down again belongs to the newer state', async () => {
  await layDown(directory, run, 5678);
  assert.equal(laidDownMs(directory), 5678);
});

test('one that has stood up belongs to none', async () => {
  await standUp(directory);
  assert.equal(laidDownMs(directory), undefined);
  await standUp(directory);
});

test('what says nonsense belongs to none', async () => {
  await layDown(directory, run, 1);
  writeFileSync(join(directory, 'suspended-inside', 'saved.json'), '{"savedMs":"x"}');
  assert.equal(laidDownMs(directory), undefined);
});
