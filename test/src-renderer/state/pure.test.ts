/** The window's pure functions: names, routes and the tree. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forest } from '../../../src-renderer/state/forest.ts';
import { freeName, imageName } from '../../../src-renderer/state/names.ts';
import { hashOf, routeOf } from '../../../src-renderer/state/route.ts';
import { lanSample } from '../../../src-renderer/state/rates.ts';
import { machineName } from '../../../src-main/contract/machine.ts';
import { machineOf, networks } from '../../support/fake-data.ts';

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
  for (const hash of ['#/', '#/networks', '#/networks/lab', '#/machine/a%2Fb/console']) {
    assert.equal(hashOf(routeOf(hash)), hash);
  }
});

test('an address that is no place leads home', () => {
  const nowhere = ['', '#/nowhere', '#/machine/', '#/machine/%E0%A4%A/log', '#/networks/%E0'];
  for (const hash of nowhere) {
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

function lanWith(rxBytes: number, txBytes: number) {
  const port = { mac: '02:00:00:00:00:01', linkUp: true, rxFrames: 0, txFrames: 0, dropped: 0 };
  const both = ['a', 'b'].map((machine) => ({ ...port, machine, nic: 'nic0', rxBytes, txBytes }));
  return { ...networks()[0]!, ports: both };
}

test('a rate is what a port moved between two looks, as its machine sees it', () => {
  const at = { passedMs: 500, atMs: 7 };
  const { total, ports } = lanSample(lanWith(1000, 0), lanWith(2000, 300), at);
  assert.deepEqual(ports.get('a nic0'), { received: 600, sent: 2000 });
  assert.deepEqual(ports.get('b nic0'), { received: 600, sent: 2000 });
  assert.equal(total, 4000);
});

test('a counter that went back counts from nothing', () => {
  const { total } = lanSample(lanWith(9000, 9000), lanWith(10, 10), { passedMs: 1000, atMs: 0 });
  assert.equal(total, 0);
});
