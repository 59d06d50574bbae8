/** Which modules of a packaged kernel go along, and in which order. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { dependsOf, loadOrder, moduleName } from '../../../src-main/kernels/modules.ts';

test('a module is known by its name, however its file is written', () => {
  assert.equal(moduleName('virtio-rng.ko.xz'), 'virtio_rng');
  assert.equal(moduleName('ext4.ko'), 'ext4');
  assert.equal(moduleName('modules.order'), undefined);
});

test('what it depends on is read from what it says of itself', () => {
  const module = (info: string) => new TextEncoder().encode(`\x7fELF\0license=GPL\0${info}`);
  assert.deepEqual(dependsOf(module('depends=jbd2,net-failover\0name=x\0')), [
    'jbd2', 'net_failover',
  ]);
  assert.deepEqual(dependsOf(module('depends=\0')), []);
  for (const broken of ['', 'depends=jbd2', `depends=${'x'.repeat(5000)}\0`]) {
    assert.deepEqual(dependsOf(module(broken)), [], broken.slice(0, 20));
  }
});

test('each comes after what it needs, once; what is not there is left out', () => {
  const needs: Record<string, string[]> = {
    ext4: ['jbd2', 'crc16'], jbd2: ['crc16'], crc16: [], loop: ['pool'], pool: ['loop'],
  };
  const order = loadOrder(['ext4', 'virtio_blk', 'loop'], (name) => needs[name]);
  assert.deepEqual(order, ['crc16', 'jbd2', 'ext4', 'pool', 'loop']);
});
