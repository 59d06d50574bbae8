/** What a machine inside a portable one boots from, and what its outer guest is asked. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { bootSerial, diskSerial, innerBoot } from '../../../../src-main/engines/riscv/nest.ts';
import { slotDevice } from '../../../../src-main/engines/riscv/machine-file.ts';
import { newSpecText, parseSpec } from '../../../../src-main/machine/spec.ts';

const id = '0000abcd';
const mib = 2 ** 20;
const files = {
  kernel: new Uint8Array(5000).fill(1),
  initramfs: new Uint8Array(100).fill(2),
  seed: new Uint8Array(32),
};

function planOf(memory: string) {
  const nics = [{ id: 'nic0', slot: 1, network: 'lan', mac: '52:00:00:ab:cd:01' }];
  const spec = parseSpec(
    newSpecText({ id, engine: 'portable', memory, consoles: 2, cpus: 3, nics }),
  );
  return { name: 'in', spec, disks: [{ id: 'root', index: 0, path: '/m/root.raw' }] };
}

test('its disk holds kernel, boot file system and tree, each from a page on', () => {
  const { disk } = innerBoot('in-1', planOf('128MiB'), files, 4, false);
  assert.deepEqual([disk[0], disk[4999], disk[5000]], [1, 1, 0]);
  assert.deepEqual([disk[8192], disk[8291], disk[8292]], [2, 2, 0]);
  const magic = new DataView(disk.buffer).getUint32(12_288);
  assert.equal(magic, 0xd00dfeed);
  assert.equal(disk.length % 4096, 0);
});

const treeOf = (hosts: boolean) =>
  Buffer.from(innerBoot('in-1', planOf('128MiB'), files, 4, hosts).disk.subarray(12_288)).toString(
    'latin1',
  );

test('its tree has memory, PLIC, clock and virtio, and no serial line', () => {
  const text = treeOf(false);
  for (const there of ['cpu@2', 'rv64imafdc_', 'plic-1.0.0', 'goldfish-rtc']) {
    assert.ok(text.includes(there), there);
  }
  // A place for a disk and one for a card, of which there is none yet.
  for (const slot of [16, 20]) assert.ok(text.includes(slotDevice(slot).split('.')[0]!));
  for (const absent of ['cpu@3', 'imafdch', 'ns16550a', 'syscon']) {
    assert.ok(!text.includes(absent), absent);
  }
  assert.match(text, /console=hvc1 .*nymph.agent=\/dev\/hvc0 /);
});

test('it has the hypervisor extension where it may hold a machine itself', () => {
  assert.ok(treeOf(true).includes('rv64imafdch_'));
});

test('the words name sizes, addresses, disks by serial and cards', () => {
  const { words } = innerBoot('in-1', planOf('128MiB'), files, 4, false);
  const top = 0x8000_0000 + 128 * mib;
  const [tree, initramfsAt, treeAt] = words.slice(10, 13).map(Number);
  const first = ['@nest', 'start', 'in-1', 'kvm', '2', '4', '128', '3', '5000', '100'];
  assert.deepEqual(words.slice(0, 10), first);
  assert.ok(tree! > 1000 && initramfsAt! + 100 <= top - 2 * mib && treeAt === top - mib);
  assert.deepEqual(words.slice(13), [`${id}-boot`, `disk=0:${id}-0`, 'nic=1:520000abcd01']);
  for (const serial of [bootSerial(id), diskSerial(id, 7)]) assert.ok(serial.length <= 20);
});

test('too little memory for the kernel is refused', () => {
  const large = { ...files, kernel: new Uint8Array(20 * mib) };
  const code = { code: 'no-space' };
  assert.throws(() => innerBoot('in-1', planOf('32MiB'), large, 4, false), code);
});
