/** What a guest is told of its slots: plain shell, checked by the shell itself. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  bindScript,
  inUseCode,
  unbindScript,
} from '../../../../src-main/engines/riscv/guest-scripts.ts';

const device = '1000a000.virtio_mmio';

test('the scripts are good shell and name the slot’s device', () => {
  for (const script of [bindScript(device), unbindScript(device)]) {
    execFileSync('/bin/sh', ['-n', '-c', script]);
    assert.match(script, /1000a000\.virtio_mmio/);
  }
});

test('a slot without a driver has nothing to be unbound', () => {
  execFileSync('/bin/sh', ['-c', unbindScript('nothing.virtio_mmio')]);
});

test('a disk in use is told by a code that no shell ends with by itself', () => {
  assert.match(unbindScript(device), new RegExp(`/proc/mounts /proc/swaps && exit ${inUseCode}`));
});
