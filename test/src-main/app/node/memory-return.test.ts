/** Who is asked for free memory, and when: pretended machines, one look at a time. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { MemoryReturn } from '../../../../src-main/app/node/memory-return.ts';
import type { Driver } from '../../../../src-main/app/node/driver.ts';

function machineOf(returnsFreeMemory?: true) {
  const machine = { heldBytes: 64 << 20, asked: 0 };
  const running = {
    ...(returnsFreeMemory && { returnsFreeMemory }),
    sample: () => ({ cpuSeconds: 0, memoryHostBytes: machine.heldBytes }),
  };
  const driver = {
    state: 'running',
    running,
    returnMemory: () => Promise.resolve(void machine.asked++),
    note: () => {},
  };
  return { machine, driver: driver as unknown as Driver };
}

test('a machine is asked when the host holds more for it than at the last look', async () => {
  const { machine, driver } = machineOf();
  const memory = new MemoryReturn(() => [driver]);
  await memory.look();
  await memory.look();
  assert.equal(machine.asked, 1);
  machine.heldBytes += 32 << 20;
  await memory.look();
  assert.equal(machine.asked, 2);
});

test('one whose guest reports by itself what it frees is never asked', async () => {
  const { machine, driver } = machineOf(true);
  await new MemoryReturn(() => [driver]).look();
  assert.equal(machine.asked, 0);
});
