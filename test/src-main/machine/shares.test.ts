/** Folders of the host in machine.yaml and in the guest. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { mountAt, sharedFolders } from '../../../src-main/machine/shares.ts';
import { parseSpec } from '../../../src-main/machine/spec.ts';

const yaml = (shares: string) => `id: 0123abcd\nshares:\n${shares}`;

test('a folder is shared for reading unless it is said otherwise', () => {
  const two = '  - {tag: a, path: /home/me}\n  - {tag: b, path: /w, readOnly: false}';
  const spec = parseSpec(yaml(two));
  assert.deepEqual(sharedFolders(spec, { readOnly: true }), ['/home/me']);
  assert.deepEqual(sharedFolders(spec, { readOnly: false }), ['/w']);
  assert.deepEqual(parseSpec('id: 0123abcd').shares, []);
});

test('what is no plain absolute path, or leads elsewhere, is refused with its line', () => {
  for (const path of ['/', 'home', '/a/../b', '/a/.', '/a//b', '/a b', '/a,b', '/a;b', '/$x']) {
    assert.throws(() => parseSpec(yaml(`  - {tag: a, path: '${path}'}`)), { code: 'bad-input' });
  }
  assert.throws(() => parseSpec(yaml('  - {tag: ../a, path: /a}')), /line 3/);
  const twice = '  - {tag: a, path: /a}\n  - {tag: a, path: /b}';
  assert.throws(() => parseSpec(yaml(twice)), /same tag/);
  assert.throws(() => parseSpec(yaml('  - {tag: a, path: /a, readonly: true}')), /“readOnly”/);
});

test('a guest mounts it once', () => {
  const script = mountAt('a', '-t 9p a');
  assert.match(script, /^grep -q " \/mnt\/a " \/proc\/mounts \|\| /);
  assert.match(script, /mount -t 9p a \/mnt\/a; }$/);
});
