/**
 * A machine inside a portable machine, by the hypervisor extension: the outer guest's own KVM runs
 * the same kernel, and to its owner the inner machine is one like any other.
 */
import { after, before, suite, test } from 'node:test';
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { kernelsStep } from '../support/kernels.ts';
import {
  attach, clientOf, run, spawnServer, spawnWorld, started, Undo, untilState, type World,
} from '../support/live.ts'; // prettier-ignore

const prompt = /# (\x1b\[6n)?$/;
const undo = new Undo();
let world: World;
let server: ChildProcess;

before(async () => {
  ({ world, server } = await spawnWorld(undo));
  await kernelsStep(world.client, 'portable');
  const outer = { name: 'outer', engine: 'portable', memoryMib: 256 } as const;
  await world.client.call('network.create', { name: 'lab' });
  await world.client.call('machine.create', { ...outer, networks: ['lab'] });
  await world.client.call('machine.create', {
    name: 'inner', memoryMib: 96, inside: 'outer', networks: ['lab'],
  }); // prettier-ignore
  await started(world.client, 'outer');
});
after(() => undo.run());

const call: World['client']['call'] = (...words) => world.client.call(...words);
const sh = (machine: string, script: string, input?: string) =>
  run(world.client, machine, script, input);

suite('a machine inside a portable one', () => {
  test('boots the same kernel under the KVM of the outer one', async () => {
    const inner = await started(world.client, 'inner');
    assert.deepEqual([inner.engine, inner.agent, inner.parent], ['portable', true, 'outer']);
    const { stdout } = await sh('inner', 'uname -m; hostname; grep -c imafdch /proc/cpuinfo');
    assert.equal(stdout, 'riscv64\ninner\n0\n', 'and it has no hypervisor extension itself');
    assert.match((await sh('outer', 'dmesg')).stdout, /kvm.*hypervisor extension available/);
  });

  test('runs commands with input, two outputs and an exit code', async () => {
    const said = await sh('inner', 'cat; echo err >&2; exit 7', 'in\n');
    assert.deepEqual(said, { code: 7, stdout: 'in\n', stderr: 'err\n' });
    const text = 'line of text\n'.repeat(2000);
    assert.equal((await sh('inner', 'cat', text)).stdout, text);
  });

  test('has a console of its own', async () => {
    const console = attach(world.client, 'inner');
    await console.until(/inner login: $/);
    console.type('root\n');
    await console.until(prompt);
    console.type('echo $((6 * 7))-answer\n');
    await console.until(/\n42-answer\r\n/);
    console.close();
  });

  test('is on a LAN with the one around it', async () => {
    const { stdout } = await sh('inner', 'ping -c 1 outer');
    assert.match(stdout, / 0% packet loss/);
  });

  test('keeps its disk over a restart, and is found by a new server', async () => {
    await sh('inner', 'head -c 300000 /dev/urandom > /root/file && sync');
    const sum = 'sha256sum /root/file';
    const before = (await sh('inner', sum)).stdout;
    await call('machine.stop', { machine: 'inner' });
    await untilState(world.client, 'inner', ['off']);
    await started(world.client, 'inner');
    assert.equal((await sh('inner', sum)).stdout, before);
    server.kill('SIGKILL');
    server = await spawnServer(undo, world.home);
    world = { ...world, client: await clientOf(undo, world.paths) };
    assert.equal((await call('machine.get', { machine: 'inner' })).state, 'running');
    const read = 'dd if=/dev/vda of=/dev/null bs=64k count=16';
    assert.equal((await sh('inner', `${sum} && ${read}`)).code, 0);
  });

  test('ends with the one around it, which is neither stopped nor saved unasked', async () => {
    for (const verb of ['machine.stop', 'machine.suspend', 'snapshot.create'] as const) {
      await assert.rejects(call(verb, { machine: 'outer' }), { code: 'wrong-state' }, verb);
    }
    await call('machine.stop', { machine: 'outer', children: true });
    await untilState(world.client, 'inner', ['off']);
    await untilState(world.client, 'outer', ['off']);
  });
});
