/**
 * Suspending through the public API: a machine that is written to disk goes on where it was, with
 * its programs, its disk and its network, also under another server; from one snapshot several
 * machines go on side by side, each as itself.
 */
import { after, before, suite, test } from 'node:test';
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { kernelsStep } from '../support/kernels.ts';
import {
  attach,
  clientOf,
  nymph,
  run,
  spawnServer,
  spawnWorld,
  started,
  Undo,
  untilState,
  type World,
} from '../support/live.ts';

const undo = new Undo();
let world: World;
let server: ChildProcess;

before(async () => {
  ({ world, server } = await spawnWorld(undo));
  await kernelsStep(world.client, 'portable');
  await call('network.create', { name: 'lab' });
  const wanted = { name: 'rv', memoryMib: 96, networks: ['lab'] };
  await call('machine.create', { ...wanted, engine: 'portable' });
});
after(() => undo.run());

const call: World['client']['call'] = (...words) => world.client.call(...words);
const sh = (machine: string, script: string) => run(world.client, machine, script);
const out = async (machine: string, script: string) => (await sh(machine, script)).stdout.trim();
const directoryOf = async (machine: string) => (await call('machine.get', { machine })).directory;
const shown = 'ip -4 addr show eth0';
const leased = `for i in $(seq 40); do ${shown} | grep -q inet && break; sleep 1; done`;
const address = `${leased}; ${shown} | sed -n 's/.*inet \\([0-9.]*\\).*/\\1/p'`;

suite('a machine that is suspended', () => {
  test('has no process, keeps its state on disk, and goes on under another server', async () => {
    await started(world.client, 'rv');
    const console = attach(world.client, 'rv');
    await console.until(/login: $/);
    console.type('root\n');
    await console.until(/# (\x1b\[6n)?$/);
    // A loop of the shell on the serial line, whose count is nowhere but in memory.
    console.type('n=0; while sleep 0.2; do n=$((n+1)); echo $n > /run/count; done &\n');
    console.type('echo kept > /root/note; kept=in-the-shell\n');
    console.close();
    await sh('rv', 'while ! [ -s /run/count ]; do sleep 0.1; done');
    const before = Number(await out('rv', 'cat /run/count'));
    const suspended = await call('machine.suspend', { machine: 'rv' });
    assert.deepEqual([suspended.state, suspended.pid], ['suspended', undefined]);

    server.kill('SIGKILL');
    server = await spawnServer(undo, world.home);
    world = { ...world, client: await clientOf(undo, world.paths) };
    await untilState(world.client, 'rv', ['suspended']);
    const resumed = await call('machine.start', { machine: 'rv' });
    assert.equal(resumed.state, 'running');
    assert.ok(!existsSync(join(resumed.directory, 'suspended', 'state')), 'it is used up');

    const again = attach(world.client, 'rv');
    again.type('\necho shell-$kept\n');
    await again.until(/\nshell-in-the-shell/);
    again.close();
    await sh('rv', `while [ $(cat /run/count) -le ${before} ]; do sleep 0.1; done`);
    const counted = Number(await out('rv', 'cat /run/count'));
    assert.ok(counted > before, `${before}, then ${counted}`);
  });

  test('finds its disk, its network and the time as they should be', async () => {
    assert.equal(await out('rv', 'cat /root/note; echo more >> /root/note; sync'), 'kept');
    assert.equal((await sh('rv', 'ping -c 1 -W 5 10.77.1.1')).code, 0);
    const asked = Date.now() / 1000;
    const told = Number(await out('rv', 'date +%s'));
    const answered = Date.now() / 1000;
    assert.ok(told > asked - 30 && told < answered + 30, `${asked} ${told} ${answered}`);
  });

  test('is refused a cable, a disk and a second start of what is used up', async () => {
    await call('machine.suspend', { machine: 'rv' });
    const refused = { code: 'wrong-state' };
    await assert.rejects(call('disk.add', { machine: 'rv', sizeBytes: 1 << 20 }), refused);
    await assert.rejects(call('network.disconnect', { machine: 'rv', network: 'lab' }), refused);
    await assert.rejects(call('machine.suspend', { machine: 'rv' }), refused);
  });

  test('whose state is broken says so, stays as it is, and starts afresh when told', async () => {
    const directory = await directoryOf('rv');
    await call('snapshot.create', { machine: 'rv', snapshot: 'whole' });
    const clone = await call('machine.clone', { machine: 'rv', snapshot: 'whole', name: 'cut' });
    const path = join(clone.directory, 'suspended', 'state');
    const bytes = readFileSync(path);
    // Under that name a file of its own: the other one is the snapshot's.
    rmSync(path);
    writeFileSync(path, bytes.subarray(0, 5000));
    await assert.rejects(call('machine.start', { machine: 'cut' }), { message: /cut off|damaged/ });
    const { state, reason } = await call('machine.get', { machine: 'cut' });
    assert.equal(state, 'suspended');
    assert.match(reason ?? '', /saved state/);
    assert.equal((await call('machine.kill', { machine: 'cut', children: false })).state, 'off');
    assert.ok(existsSync(join(directory, 'suspended', 'state')), 'that of another is untouched');
  });
});

suite('a snapshot', () => {
  test('of a running machine is the start of clones that live side by side', async () => {
    await call('machine.start', { machine: 'rv' });
    await sh('rv', 'echo before > /run/when');
    const taken = await nymph(world.home, ['snapshot', 'create', 'rv', 'ready', '--json']);
    assert.equal(JSON.parse(taken.stdout).name, 'ready', taken.stderr);
    await sh('rv', 'echo after > /run/when; echo after > /root/note; sync');
    const words = ['clone', 'rv@ready', 'twin', '--count', '2', '--start'];
    const cloned = await nymph(world.home, words);
    assert.equal(cloned.code, 0, cloned.stderr);

    const names = ['rv', 'twin-1', 'twin-2'];
    assert.deepEqual(await Promise.all(names.map((name) => out(name, 'hostname'))), names);
    const when = await Promise.all(names.map((name) => out(name, 'cat /run/when /root/note')));
    const then = 'before\nkept\nmore';
    assert.deepEqual(when, ['after\nafter', then, then], 'each has memory and disk of its own');
    const card = 'cat /sys/class/net/eth0/address';
    const macs = await Promise.all(names.map((name) => out(name, card)));
    assert.equal(new Set(macs).size, 3, macs.join());
    const addresses = await Promise.all(names.map((name) => out(name, address)));
    assert.equal(new Set(addresses).size, 3, addresses.join());
    const meet = 'for i in $(seq 20); do ping -c 1 -W 2 twin-2 && exit 0; sleep 1; done; exit 1';
    assert.equal((await sh('twin-1', meet)).code, 0, 'they find each other by name');
  });

  test('is listed, deleted, and its clones stay', async () => {
    const listed = await nymph(world.home, ['snapshot', 'ls', 'rv', '--json']);
    const names = (JSON.parse(listed.stdout) as { name: string }[]).map(({ name }) => name);
    assert.deepEqual(names, ['ready', 'whole']);
    assert.equal((await nymph(world.home, ['snapshot', 'rm', 'rv', 'ready'])).code, 0);
    assert.deepEqual((await call('machine.get', { machine: 'rv' })).snapshots.length, 1);
    assert.equal(await out('twin-1', 'cat /run/when'), 'before');
  });
});

test('a native machine is refused in a sentence', async () => {
  await call('machine.create', { name: 'uml', memoryMib: 64 });
  await started(world.client, 'uml');
  await assert.rejects(call('machine.suspend', { machine: 'uml' }), {
    code: 'unsupported',
    message: /only machines of the portable engine/,
  });
});
