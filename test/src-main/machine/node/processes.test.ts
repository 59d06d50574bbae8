/** What is found of a machine's processes in /proc, with plain programs in their place. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  compartmentOf,
  findByArgument,
  killByArgument,
  membersOfSession,
  tryKill,
} from '../../../../src-main/machine/node/processes.ts';

test('what a process leaves behind is found in its session, and nothing else is', async () => {
  const leader = spawn('/bin/sh', ['-c', 'sleep 1000 >&- 2>&- & echo $!'], {
    detached: true,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  let said = '';
  leader.stdout.on('data', (bytes) => (said += String(bytes)));
  await once(leader, 'close');
  const left = membersOfSession(leader.pid!);
  assert.deepEqual(left, [Number(said)]);
  left.forEach(tryKill);
});

test('a program is found, and ended, by an argument that only it was given', async () => {
  const argument = `nymph-test-${process.pid}/`;
  const child = spawn('/bin/sh', ['-c', 'echo; read line', 'sh', argument], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  await once(child.stdout, 'data');
  assert.equal(findByArgument(argument), child.pid);
  assert.equal(findByArgument(argument.slice(0, -1)), undefined, 'the whole argument counts');
  const ended = once(child, 'exit');
  killByArgument(argument);
  assert.deepEqual(await ended, [null, 'SIGKILL']);
  assert.equal(findByArgument(argument), undefined);
});

test('a process without a compartment has none', () => {
  assert.equal(compartmentOf(process.pid), undefined);
  assert.equal(compartmentOf(0x7ffffffe), undefined);
});
