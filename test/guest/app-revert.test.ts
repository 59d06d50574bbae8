/**
 * Going back to snapshots through the public API: of a machine that runs, that is suspended and
 * that is off, on both engines. What it was comes back, memory and disks; what the snapshot does
 * not know of is kept.
 */
import { after, before, suite, test } from 'node:test';
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { kernelsStep } from '../support/kernels.ts';
import { launch, nymph, run, started, Undo, untilState, type World } from '../support/live.ts';

const undo = new Undo();
let world: World;

before(async () => {
  world = await launch(undo);
  await kernelsStep(world.client, 'portable');
  await call('network.create', { name: 'lab' });
  const wanted = { name: 'rv', memoryMib: 96, networks: ['lab'] };
  await call('machine.create', { ...wanted, engine: 'portable' });
});
after(() => undo.run());

const call: World['client']['call'] = (...words) => world.client.call(...words);
const sh = (machine: string, script: string) => run(world.client, machine, script);
const out = async (machine: string, script: string) => (await sh(machine, script)).stdout.trim();
const view = (machine: string) => call('machine.get', { machine });
const revert = (machine: string, snapshot: string) =>
  call('snapshot.revert', { machine, snapshot });
/** In memory, and on the disk. */
const said = (machine: string) => out(machine, 'cat /run/said /root/said');
const say = (machine: string, word: string) =>
  sh(machine, `echo ${word} > /run/said; echo ${word} > /root/said; sync`);

suite('a portable machine goes back', () => {
  test('while it runs, and goes on from there at once', async () => {
    await started(world.client, 'rv');
    await say('rv', 'before');
    await call('snapshot.create', { machine: 'rv', snapshot: 'ready' });
    await say('rv', 'after');
    await call('disk.add', { machine: 'rv', sizeBytes: 1 << 20 });
    await call('network.disconnect', { machine: 'rv', network: 'lab' });
    const { pid } = await view('rv');
    const told = await nymph(world.home, ['snapshot', 'revert', 'rv', 'ready']);
    assert.equal(told.code, 0, told.stderr);
    const now = await view('rv');
    assert.equal(now.state, 'running');
    assert.notEqual(now.pid, pid, 'it is another process');
    assert.equal(await said('rv'), 'before\nbefore');
    assert.equal((await sh('rv', 'ping -c 1 -W 20 10.77.1.1')).code, 0, 'its cable is in again');
  });

  test('without the disks that it was given since, which are kept', async () => {
    const { disks, directory } = await view('rv');
    assert.deepEqual(
      disks.map(({ id, attached }) => [id, attached]),
      [['root', true], ['data1', false]],
    ); // prettier-ignore
    assert.ok(existsSync(join(directory, 'disks', 'data1.raw')));
  });

  test('as often as it likes, while it is suspended too', async () => {
    await say('rv', 'later');
    await call('machine.suspend', { machine: 'rv' });
    assert.equal((await revert('rv', 'ready')).state, 'suspended');
    await call('machine.start', { machine: 'rv' });
    assert.equal(await said('rv'), 'before\nbefore');
  });

  test('not at all to what is not there', async () => {
    const { pid } = await view('rv');
    await assert.rejects(revert('rv', 'never'), { code: 'not-found' });
    assert.equal((await view('rv')).pid, pid);
  });

  test('to what it was when it was off: only its disks were kept', async () => {
    await call('machine.kill', { machine: 'rv' });
    const taken = await call('snapshot.create', { machine: 'rv', snapshot: 'off' });
    assert.equal(taken.memory, false);
    await started(world.client, 'rv');
    await say('rv', 'later');
    assert.equal((await revert('rv', 'off')).state, 'off', 'it ran, and is off as it was then');
    await started(world.client, 'rv');
    assert.equal(await out('rv', 'cat /root/said; ls /run/said'), 'before');
    await call('machine.kill', { machine: 'rv' });
    assert.equal((await revert('rv', 'ready')).state, 'suspended', 'it was off, and may go on');
  });
});

suite('a native machine', () => {
  test('is kept and goes back while it is off', async () => {
    await call('machine.create', { name: 'uml', memoryMib: 64 });
    await started(world.client, 'uml');
    await say('uml', 'before');
    await assert.rejects(call('snapshot.create', { machine: 'uml' }), { code: 'unsupported' });
    await call('machine.stop', { machine: 'uml' });
    await call('snapshot.create', { machine: 'uml', snapshot: 'tidy' });
    await started(world.client, 'uml');
    await say('uml', 'after');
    assert.equal((await revert('uml', 'tidy')).state, 'off');
    await started(world.client, 'uml');
    assert.equal(await out('uml', 'cat /root/said'), 'before');
  });

  test('has clones of its snapshots, which boot', async () => {
    const words = { machine: 'uml', snapshot: 'tidy', name: 'twin' };
    assert.equal((await call('machine.clone', words)).state, 'off');
    await started(world.client, 'twin');
    await untilState(world.client, 'uml', ['running']);
    assert.equal(await out('twin', 'hostname; cat /root/said'), 'twin\nbefore');
  });
});
