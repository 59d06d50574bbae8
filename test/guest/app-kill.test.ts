/**
 * The server is killed fifty times at random moments, while machines are made, started, edited
 * and thrown away. After each kill the next server must find whole machines only, every
 * machine.yaml readable, and what ran still running with console and network.
 * The seed is printed; `KILL_SEED=n` runs another, `KILL_ROUNDS=n` more or fewer rounds.
 */
import { after, test } from 'node:test';
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseSpec } from '../../src-main/machine/spec.ts';
import type { Paths } from '../../src-main/app/node/paths.ts';
import type { Client } from '../../src-main/rpc/client.ts';
import {
  attach,
  clientOf,
  freshHome,
  run,
  spawnServer,
  started,
  Undo,
  untilRunning,
} from '../support/live.ts';

const seed = Number(process.env['KILL_SEED'] ?? 20261122);
const rounds = Number(process.env['KILL_ROUNDS'] ?? 50);
console.log(`kill seed ${seed}, ${rounds} rounds`);

let word = seed >>> 0;
/** A fraction from 0 to 1 that the seed decides. */
function chance(): number {
  word = (Math.imul(word, 1664525) + 1013904223) >>> 0;
  return word / 2 ** 32;
}

const undo = new Undo();
after(() => undo.run());

test('a kill at any moment loses no machine and no setting', async () => {
  const { home, paths } = freshHome(undo);
  let server = await spawnServer(undo, home);
  let client = await clientOf(undo, paths);
  await client.call('network.create', { name: 'lab' });
  for (const name of ['one', 'two']) {
    await client.call('machine.create', { name, memoryMib: 64, networks: ['lab'] });
    await started(client, name);
  }
  const pids = await pidsOf(client);
  for (let round = 0; round < rounds; round++) {
    const busy = trouble(client, round);
    await new Promise((resolve) => setTimeout(resolve, chance() * 250));
    const ended = new Promise((resolve) => server.once('exit', resolve));
    server.kill('SIGKILL');
    await ended;
    await busy;
    server = await spawnServer(undo, home);
    client = await clientOf(undo, paths);
    checkFolders(paths, round);
    const machines = await client.call('machine.list', {});
    for (const { name, fault } of machines)
      assert.equal(fault, undefined, `${name} in round ${round}`);
    assert.deepEqual(await pidsOf(client), pids, `what ran runs on, round ${round}`);
    assert.ok(machines.length >= 3);
  }
  for (const name of ['one', 'two']) await untilRunning(client, name);
  assert.equal((await run(client, 'one', 'echo here')).stdout, 'here\n');
  const ping = await run(client, 'one', 'ping -c 2 -W 5 two || ping -c 2 -W 5 two');
  assert.equal(ping.code, 0, ping.stdout + ping.stderr);
  const console0 = attach(client, 'two');
  console0.type('\n');
  await console0.until(/login: /);
  console0.close();
});

async function pidsOf(client: Client): Promise<(number | undefined)[]> {
  const views = await Promise.all(
    ['one', 'two'].map((machine) => client.call('machine.get', { machine })),
  );
  return views.map(({ pid, state }) => (state === 'running' ? pid : undefined));
}

/** Things that write: what the kill interrupts is refused, and that is all. */
async function trouble(client: Client, round: number): Promise<void> {
  const name = `m${round}`;
  const steps = [
    () => client.call('machine.create', { name, memoryMib: 64 }),
    () => client.call('machine.update', { machine: 'one', changes: { notes: `round ${round}` } }),
    () => client.call('machine.start', { machine: name }),
    () => client.call('disk.add', { machine: name, sizeBytes: 1 << 20 }),
    () => client.call('machine.update', { machine: 'two', changes: { tags: [name] } }),
    () => client.call('machine.remove', { machine: name, force: true }),
    () => client.call('machine.purge', { machine: name }),
  ];
  for (const step of steps) await step().catch(() => undefined);
}

function checkFolders(paths: Paths, round: number): void {
  for (const entry of readdirSync(paths.machines)) {
    assert.ok(!entry.startsWith('.'), `${entry} is left half made in round ${round}`);
    const directory = join(paths.machines, entry);
    const spec = parseSpec(readFileSync(join(directory, 'machine.yaml'), 'utf8'));
    for (const disk of spec.disks) {
      assert.ok(existsSync(join(directory, 'disks', disk.file)), `${entry} has lost ${disk.file}`);
    }
  }
  for (const entry of readdirSync(paths.trash)) assert.ok(!entry.startsWith('.'), entry);
}
