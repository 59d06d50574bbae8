/**
 * Nothing of a machine is left when it has ended, whichever way it ended. Its kernel takes along
 * the processes of its guest's programs, but for one that it was just making; since that moment
 * cannot be aimed at, a process of the same fate is put into the compartment: an orphan, which
 * the compartment's first process would wait for.
 */
import { test, type TestContext } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readlinkSync } from 'node:fs';
import type { Client } from '../../src-main/rpc/client.ts';
import {
  clientOf, freshHome, launch, patienceMs, spawnServer, started, untilState,
} from '../support/live.ts'; // prettier-ignore

function namespaceOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`);
  } catch {
    return undefined;
  }
}

/** Starts the machine, leaves an orphan in its compartment, and tells both. */
async function withOrphan(t: TestContext, client: Client) {
  const { pid } = await started(client, 'tiny');
  const namespace = namespaceOf(pid!)!;
  assert.notEqual(namespace, namespaceOf(process.pid), 'it is in a compartment');
  const enter = ['--target', String(pid), '--user', '--preserve-credentials', '--pid'];
  execFileSync('nsenter', [...enter, 'sh', '-c', 'sleep 1000 > /dev/null 2>&1 &']);
  t.after(() => membersOf(namespace).forEach((left) => process.kill(left, 'SIGKILL')));
  return { pid: pid!, namespace };
}

function membersOf(namespace: string): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && namespaceOf(pid) === namespace);
}

async function assertNothingLeft(namespace: string): Promise<void> {
  for (const end = Date.now() + patienceMs; Date.now() < end;) {
    if (membersOf(namespace).length === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.deepEqual(membersOf(namespace), [], 'processes of its compartment are left');
}

test('a machine that is killed leaves nothing', async (t) => {
  const { client } = await launch(t);
  const { namespace } = await withOrphan(t, client);
  await client.call('machine.kill', { machine: 'tiny' });
  await assertNothingLeft(namespace);
});

test('a machine whose kernel dies leaves nothing', async (t) => {
  const { client } = await launch(t);
  const { pid, namespace } = await withOrphan(t, client);
  process.kill(pid, 'SIGKILL');
  await untilState(client, 'tiny', ['crashed']);
  await assertNothingLeft(namespace);
});

test('a machine that a later server found leaves nothing when it is killed', async (t) => {
  const { home, paths } = freshHome(t);
  const first = await spawnServer(t, home);
  const { namespace } = await withOrphan(t, await clientOf(t, paths));
  first.kill('SIGKILL');
  await new Promise((resolve) => first.once('exit', resolve));
  await spawnServer(t, home);
  await (await clientOf(t, paths)).call('machine.kill', { machine: 'tiny' });
  await assertNothingLeft(namespace);
});

test('a machine that died while no server ran leaves nothing to the next one', async (t) => {
  const { home, paths } = freshHome(t);
  const first = await spawnServer(t, home);
  const { pid, namespace } = await withOrphan(t, await clientOf(t, paths));
  first.kill('SIGKILL');
  await new Promise((resolve) => first.once('exit', resolve));
  process.kill(pid, 'SIGKILL');
  await spawnServer(t, home);
  await assertNothingLeft(namespace);
});
