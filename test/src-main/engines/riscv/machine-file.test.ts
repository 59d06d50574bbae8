/** What the process of a portable machine is told. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import {
  agentDevices,
  consoleDevice,
  diskPlaces,
  diskSlot,
  machineFile,
  slotDevice,
  slots,
} from '../../../../src-main/engines/riscv/machine-file.ts';
import { board } from '../../../../src-main/engines/riscv/board.ts';
import { layoutDescriptors } from '../../../../src-main/machine/descriptors.ts';
import { newSpecText, parseSpec } from '../../../../src-main/machine/spec.ts';

const spec = parseSpec(
  newSpecText({
    id: '0000abcd',
    engine: 'portable',
    cpus: 4,
    memory: '257MiB',
    rootPartition: 2,
    commandLine: 'loglevel=8  debug',
    nics: [{ id: 'nic0', slot: 1, network: 'lan', mac: '52:00:00:ab:cd:01' }],
  }),
);
const plan = {
  name: 'one',
  spec,
  kernel: { path: '/k/Image', sharedLibraries: [], seccomp: false },
  initramfs: '/b/initramfs.gz',
  disks: [{ id: 'root', index: 0, path: '/m/root.cow', backing: '/i/disk.raw' }],
  directory: '/m',
  runDirectory: '/r',
  confined: true,
};

test('the file says what the machine is made of, memory in whole pairs of MiB', () => {
  const file = machineFile(plan, layoutDescriptors(2));
  assert.equal(file.memoryMib, 256);
  assert.equal(file.cpus, 4);
  const root = { id: 'root', index: 0, path: '/m/root.cow', backing: '/i/disk.raw' };
  assert.deepEqual(file.disks, [root]);
  assert.deepEqual(file.nics, [{ slot: 1, mac: '52:00:00:ab:cd:01' }]);
  assert.equal(file.layout.consoles.length, 2);
});

test('modules of a kernel stand before the boot file system', () => {
  const kernel = { ...plan.kernel, modules: '/k/modules.cpio' };
  const { initramfs } = machineFile({ ...plan, kernel }, layoutDescriptors(2));
  assert.deepEqual(initramfs, ['/k/modules.cpio', '/b/initramfs.gz']);
  assert.deepEqual(machineFile(plan, layoutDescriptors(2)).initramfs, ['/b/initramfs.gz']);
});

test('firmware of the owner is named only where there is one', () => {
  const firmware = '/usr/lib/opensbi/fw_dynamic.bin';
  const told = machineFile({ ...plan, spec: { ...spec, firmware } }, layoutDescriptors(2));
  assert.equal(told.firmware, firmware);
  assert.ok(!('firmware' in machineFile(plan, layoutDescriptors(2))));
});

test('the command line names root, agent and host, and ends with the owner’s own words', () => {
  const { bootArguments } = machineFile(plan, layoutDescriptors(2));
  assert.match(bootArguments, /^console=ttyS0 /);
  assert.match(bootArguments, / nymph\.root=\/dev\/vda2 /);
  assert.match(bootArguments, new RegExp(` nymph.agent=${agentDevices.join()} `));
  assert.match(bootArguments, / nymph\.hostname=one /);
  assert.match(bootArguments, / loglevel=8 debug$/);
});

test('every device has a slot of its own and the board has all of them', () => {
  assert.ok(slots.port === 0 && slots.agent < slots.consoles);
  assert.equal(slots.disks - slots.consoles, 7);
  assert.equal(slots.nics - slots.disks, 8);
  assert.equal(slots.balloon - slots.nics, 4);
  assert.ok(slots.count <= board.virtioCount);
  assert.deepEqual([0, 7, 8, diskPlaces - 1].map(diskSlot), [9, 16, 29, slots.count - 1]);
  assert.ok(board.virtioIrq + board.virtioCount <= 64, 'all that the interrupt controller has');
  assert.equal(slotDevice(slots.agent), '10002000.virtio_mmio');
  assert.deepEqual([0, 1, 2].map(consoleDevice), ['/dev/ttyS0', '/dev/hvc1', '/dev/hvc2']);
});
