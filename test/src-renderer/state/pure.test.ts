/** The window's pure functions: names, routes and the tree. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forest } from '../../../src-renderer/state/forest.ts';
import { freeName, imageName } from '../../../src-renderer/state/names.ts';
import { hashOf, routeOf } from '../../../src-renderer/state/route.ts';
import { machineName } from '../../../src-main/contract/machine.ts';
import { machineOf } from '../../support/fake-data.ts';

test('an image is named after its file without the wrappings', () => {
  assert.equal(imageName('Debian 13 (trixie).qcow2.xz'), 'debian-13-trixie');
  assert.equal(imageName('rootfs.tar.zst'), 'rootfs');
  assert.equal(imageName('../../etc/passwd'), 'etc-passwd');
  assert.equal(imageName('.img'), 'image');
});

test('a suggested machine name is always one the contract takes', () => {
  for (const wish of ['', '---', '9p', 'Ünïcode', 'a'.repeat(200), 'web_1', '-x-', 'tiny']) {
    const name = freeName(wish, new Set(['tiny', 'machine']));
    assert.ok(machineName.safeParse(name).success, `${wish} became ${name}`);
    assert.ok(!['tiny', 'machine'].includes(name));
  }
});

test('a route survives its way through the address', () => {
  for (const hash of ['#/', '#/networks', '#/machine/a%2Fb/console']) {
    assert.equal(hashOf(routeOf(hash)), hash);
  }
});

test('an address that is no place leads home', () => {
  for (const hash of ['', '#/nowhere', '#/machine/', '#/machine/%E0%A4%A/log']) {
    assert.deepEqual(routeOf(hash), { at: 'home' });
  }
});

test('machines nest under their parent, by name or id, however deep', () => {
  const roots = forest([
    machineOf({ name: 'a' }, 0),
    machineOf({ name: 'b', parent: 'a' }, 0),
    machineOf({ name: 'c', parent: 'm-b' }, 0),
    machineOf({ name: 'd', parent: 'gone' }, 0),
  ]);
  assert.deepEqual(roots.map(({ machine }) => machine.name), ['a', 'd']);
  assert.equal(roots[0]?.children[0]?.children[0]?.depth, 2);
});

test('a ring of parents hides nobody', () => {
  const roots = forest([
    machineOf({ name: 'a', parent: 'b' }, 0),
    machineOf({ name: 'b', parent: 'a' }, 0),
    machineOf({ name: 'c', parent: 'c' }, 0),
  ]);
  assert.deepEqual(roots.map(({ machine }) => machine.name), ['a', 'b', 'c']);
});
