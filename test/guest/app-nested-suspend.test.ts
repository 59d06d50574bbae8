/**
 * A portable machine is suspended with those inside it, to the third level, and they go on with it:
 * the same programs, disks, cards and consoles, also under another name and another server.
 */
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { encodeFrame, word } from '../../src-main/machine/frames.ts';
import { kernelsStep } from '../support/kernels.ts';
import {
  attach, clientOf, run, spawnServer, spawnWorld, started, Undo, untilRunning, untilState,
  type World,
} from '../support/live.ts'; // prettier-ignore

const prompt = /# (\x1b\[6n)?$/;
const undo = new Undo();
let world: World;
let server: ChildProcess;
let outer = 'outer';
let boots: string[] = [];

before(async () => {
  ({ world, server } = await spawnWorld(undo));
  await kernelsStep(world.client, 'portable');
  await call('network.create', { name: 'lab' });
  await call('machine.create', {
    name: outer, engine: 'portable', memoryMib: 384, networks: ['lab'],
  }); // prettier-ignore
  await call('machine.create', {
    name: 'inner', memoryMib: 192, inside: outer, networks: ['lab'],
  }); // prettier-ignore
  await call('machine.create', { name: 'innermost', memoryMib: 64, inside: 'inner' });
  for (const machine of all()) await started(world.client, machine);
});
after(() => undo.run());

const all = () => [outer, 'inner', 'innermost'];
const call: World['client']['call'] = (...words) => world.client.call(...words);
const sh = (machine: string, script: string) => run(world.client, machine, script);
const said = async (machine: string, script: string) => (await sh(machine, script)).stdout.trim();
const bootIds = () =>
  Promise.all(all().map((machine) => said(machine, 'cat /proc/sys/kernel/random/boot_id')));
const states = async () =>
  Promise.all(all().map(async (machine) => (await call('machine.get', { machine })).state));
const anotherServer = async () => {
  server.kill('SIGKILL');
  server = await spawnServer(undo, world.home);
  world = { ...world, client: await clientOf(undo, world.paths) };
};
const count = async () => Number(await said('innermost', 'cat /root/count'));

test('all of them are suspended with the outermost', async () => {
  boots = await bootIds();
  const loop = 'i=0; while :; do i=$((i + 1)); echo $i > /root/count; sleep 0.1; done';
  await sh('innermost', `head -c 200000 /dev/urandom > /root/file; (${loop}) > /dev/null 2>&1 &`);
  await call('machine.suspend', { machine: outer });
  assert.deepEqual(await states(), ['suspended', 'suspended', 'suspended']);
});

test('one of them is nothing of its own meanwhile', async () => {
  const message = '“inner” is suspended with “outer”, which is around it; resume that one.';
  for (const verb of ['machine.start', 'machine.kill', 'machine.remove'] as const) {
    await assert.rejects(call(verb, { machine: 'inner' }), { code: 'wrong-state', message }, verb);
  }
  await assert.rejects(call('snapshot.create', { machine: outer }), { code: 'wrong-state' });
  assert.deepEqual(await states(), ['suspended', 'suspended', 'suspended']);
});

test('another server knows it, and another name changes nothing', async () => {
  await anotherServer();
  assert.deepEqual(await states(), ['suspended', 'suspended', 'suspended']);
  await call('machine.update', { machine: outer, changes: { name: 'around' } });
  outer = 'around';
  assert.deepEqual(await states(), ['suspended', 'suspended', 'suspended']);
});

test('they go on with it where they were', async () => {
  await started(world.client, outer);
  for (const machine of ['inner', 'innermost']) await untilRunning(world.client, machine);
  assert.deepEqual(await bootIds(), boots);
  const first = await count();
  assert.ok(first > 0);
  while ((await count()) <= first) await new Promise((resolve) => setTimeout(resolve, 100));
});

test('their disks, cards, clocks and consoles are there', async () => {
  assert.equal((await sh('innermost', 'sync && dd if=/dev/vda of=/dev/null bs=64k')).code, 0);
  assert.equal((await sh('inner', 'ping -c 1 -W 5 10.77.1.1')).code, 0);
  const meet = `for i in $(seq 20); do ping -c 1 -W 2 ${outer} && exit 0; sleep 1; done; exit 1`;
  const met = await sh('inner', meet);
  assert.equal(met.code, 0, met.stderr);
  for (const machine of all()) {
    const behindS = Date.now() / 1000 - Number(await said(machine, 'date +%s'));
    assert.ok(Math.abs(behindS) < 60, `${machine} is ${behindS} s behind`);
    const console = attach(world.client, machine);
    console.type('\n');
    await console.until(/ login: $|# (\x1b\[6n)?$/);
    console.type('root\n');
    await console.until(prompt);
    console.type('echo $((6 * 7))-answer\n');
    await console.until(/\n42-answer\r\n/);
    console.close();
  }
});

test('what is discarded is off, all of it, and starts anew', async () => {
  await call('machine.suspend', { machine: outer });
  await call('machine.kill', { machine: outer });
  assert.deepEqual(await states(), ['off', 'off', 'off']);
  await started(world.client, outer);
  await started(world.client, 'inner');
  assert.notEqual(await said('inner', 'cat /proc/sys/kernel/random/boot_id'), boots[1]);
});

test('what has started anew is what another server finds, wherever its line was cut', async () => {
  const boot = await said('inner', 'cat /proc/sys/kernel/random/boot_id');
  const { id } = await call('machine.get', { machine: 'inner' });
  const record = readFileSync(join(world.paths.run, id, 'nest.json'), 'utf8');
  const argv = ['@nest', 'attach', (JSON.parse(record) as { name: string }).name];
  // It asks for fifty answers and stays for none.
  const asks = Buffer.concat(new Array(50).fill(encodeFrame(word.stats, new Uint8Array(0))));
  for (let turn = 0; turn < 5; turn++) {
    const stream = world.client.open('machine.exec', { machine: outer, argv }, () => {});
    stream.write(asks);
    stream.end();
    await stream.result;
  }
  await anotherServer();
  for (const machine of [outer, 'inner']) await untilRunning(world.client, machine);
  assert.equal(await said('inner', 'cat /proc/sys/kernel/random/boot_id'), boot);
});

test('one that starts inside keeps it from being suspended, and goes on', async () => {
  await call('machine.start', { machine: 'innermost' });
  const { state } = await call('machine.get', { machine: 'innermost' });
  if (state === 'starting') {
    await assert.rejects(call('machine.suspend', { machine: outer }), { code: 'wrong-state' });
  }
  await untilRunning(world.client, 'innermost');
  await call('machine.stop', { machine: outer, children: true });
  for (const machine of all()) await untilState(world.client, machine, ['off']);
});
