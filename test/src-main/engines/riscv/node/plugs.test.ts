/** Disks of machines inside a portable one go with its saved state, under whatever name it has. */
import { after, test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FrameSlots } from '../../../../../src-main/engines/riscv/node/frame-slots.ts';
import { Plugs } from '../../../../../src-main/engines/riscv/node/plugs.ts';

const home = mkdtempSync(join(tmpdir(), 'nymph-plugs-'));
after(() => rmSync(home, { recursive: true, force: true }));
const directory = join(home, 'outer');
mkdirSync(join(directory, 'inside', 'abc'), { recursive: true });
mkdirSync(join(directory, 'disks'));
const own = join(directory, 'disks', 'root.raw');
const inner = join(directory, 'inside', 'abc', 'boot');
for (const path of [own, inner]) writeFileSync(path, new Uint8Array(4096));

const plugs = (path: string) =>
  new Plugs({ disks: [{ id: 'root', index: 0, path }], nics: [] }, new FrameSlots([]));
const slotsOf = (of: Plugs) => of.makers().map(([slot]) => slot);

test('only those inside are named, and they come back to their places', async () => {
  const first = plugs(own);
  const request = { id: 'abc-boot', index: 8, path: inner };
  await first.verbs().get('plug-disk')!(request, new AbortController().signal);
  const saved = JSON.parse(JSON.stringify(first.inner(directory))) as unknown;
  assert.deepEqual(saved, { 8: { id: 'abc-boot', index: 8, path: 'inside/abc/boot' } });
  await first.close();
  const renamed = join(home, 'renamed');
  renameSync(directory, renamed);
  const second = plugs(join(renamed, 'disks', 'root.raw'));
  second.reopenInner(saved, renamed);
  assert.deepEqual(slotsOf(second), slotsOf(first));
  await second.close();
  renameSync(renamed, directory);
});

test('a state that names anything else is refused', async () => {
  const fresh = plugs(own);
  for (const path of ['inside/../disks/root.raw', '/etc/passwd', 'disks/root.raw', 7]) {
    const saved = { 8: { id: 'x', index: 8, path } };
    assert.throws(() => fresh.reopenInner(saved, directory), { code: 'bad-input' }, String(path));
  }
  for (const saved of [[], { 8: 3 }, { 8: { id: 'x', index: 99, path: 'inside/abc/boot' } }]) {
    assert.throws(() => fresh.reopenInner(saved, directory), { code: 'bad-input' });
  }
  await fresh.close();
});
