/** A process is its number and its start time together. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { identify, isSameProcess, readStat } from '../../../../src-main/base/node/process.ts';

test('a process is itself as long as it runs', async () => {
  const child = spawn('sleep', ['100']);
  await once(child, 'spawn');
  const identity = identify(child.pid!)!;
  assert.ok(isSameProcess(identity));
  assert.equal(readStat(child.pid!)?.parent, process.pid);
  child.kill('SIGKILL');
  await once(child, 'exit');
  assert.ok(!isSameProcess(identity));
});

test('another process with the same number is another process', () => {
  const { pid, startTicks } = identify(process.pid)!;
  assert.ok(!isSameProcess({ pid, startTicks: startTicks - 1 }));
  assert.equal(identify(2 ** 30), undefined);
});
