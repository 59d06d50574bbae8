/**
 * Machines inside a portable machine, by the hypervisor extension: the outer guest's own KVM runs
 * the same kernel, whose KVM runs it once more, and to its owner each is a machine like any other.
 */
import { after, before, suite, test } from 'node:test';
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import type { StatsSample } from '../../src-main/contract/machine.ts';
import { kernelsStep } from '../support/kernels.ts';
import {
  attach, clientOf, patienceMs, run, spawnServer, spawnWorld, started, Undo, untilRunning,
  untilState, type World,
} from '../support/live.ts'; // prettier-ignore

const prompt = /# (\x1b\[6n)?$/;
const undo = new Undo();
let world: World;
let server: ChildProcess;

before(async () => {
  ({ world, server } = await spawnWorld(undo));
  await kernelsStep(world.client, 'portable');
  const outer = { name: 'outer', engine: 'portable', memoryMib: 384 } as const;
  await world.client.call('network.create', { name: 'lab' });
  await world.client.call('machine.create', { ...outer, networks: ['lab'] });
  await world.client.call('machine.create', {
    name: 'inner', memoryMib: 192, cpus: 2, inside: 'outer', networks: ['lab'],
  }); // prettier-ignore
  await world.client.call('machine.create', { name: 'innermost', memoryMib: 64, inside: 'inner' });
  await started(world.client, 'outer');
});
after(() => undo.run());

const call: World['client']['call'] = (...words) => world.client.call(...words);
const sh = (machine: string, script: string, input?: string) =>
  run(world.client, machine, script, input);

type Samples = Record<string, StatsSample>;

/** The first samples that are good; a machine's own come some seconds after the first look. */
async function samplesOf(machines: string[], good: (samples: Samples) => boolean) {
  let last: Samples = {};
  let timer: NodeJS.Timeout | undefined;
  const found = new Promise<Samples>((resolve, reject) => {
    world.client.on('stats', (samples) => {
      last = samples;
      if (good(samples)) resolve(samples);
    });
    const late = () => reject(new Error(`the figures stay at ${JSON.stringify(last)}`));
    timer = setTimeout(late, patienceMs);
  });
  await call('stats.watch', { machines });
  try {
    return await found;
  } finally {
    clearTimeout(timer);
    await call('stats.watch', { machines: [] });
  }
}

suite('a machine inside a portable one', () => {
  test('boots the same kernel under the KVM of the outer one', async () => {
    const inner = await started(world.client, 'inner');
    assert.deepEqual([inner.engine, inner.agent, inner.parent], ['portable', true, 'outer']);
    const { stdout } = await sh('inner', 'uname -m; hostname');
    assert.equal(stdout, 'riscv64\ninner\n');
    for (const host of ['outer', 'inner']) {
      assert.match((await sh(host, 'dmesg')).stdout, /kvm.*hypervisor extension available/, host);
    }
  });

  test('has two processors, and its devices serve both', async () => {
    const read = 'dd if=/dev/vda of=/dev/null bs=64k count=99';
    const both = `taskset 1 ${read} & one=$!; taskset 2 ${read} & wait $one && wait $!`;
    const { code, stdout } = await sh('inner', `${both} && nproc`);
    assert.deepEqual([code, stdout], [0, '2\n']);
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

});

suite('a machine inside that one', () => {
  test('boots the same kernel once more, which is a host no further', async () => {
    const innermost = await started(world.client, 'innermost');
    assert.deepEqual([innermost.agent, innermost.parent], [true, 'inner']);
    const { stdout } = await sh('innermost', 'hostname; grep -c imafdch /proc/cpuinfo');
    assert.equal(stdout, 'innermost\n0\n');
    const fourth = { name: 'fourth', memoryMib: 32, inside: 'innermost' };
    await assert.rejects(call('machine.create', fourth), {
      code: 'unsupported',
      message: 'Machines of the portable engine are nested at most 3 deep.',
    });
  });

  test('all three have consoles, typed into side by side', async () => {
    const names = ['outer', 'inner', 'innermost'];
    const consoles = names.map((name) => [name, attach(world.client, name)] as const);
    for (const [name, console] of consoles) {
      console.type('\n');
      await console.until(new RegExp(`${name} login: $|# (\\x1b\\[6n)?$`));
      console.type('root\n');
      await console.until(prompt);
    }
    for (const [, console] of consoles) console.type('echo $((6 * 7))-of-$(hostname)\n');
    for (const [name, console] of consoles) {
      await console.until(new RegExp(`\\n42-of-${name}\\r\\n`));
      console.close();
    }
  });

  test('is plugged into a LAN while it runs, over which a file goes to the outermost', async () => {
    await call('network.connect', { machine: 'innermost', network: 'lab' });
    const serve = 'head -c 300000 /dev/urandom > /root/file; md5sum < /root/file; httpd -h /root';
    const served = await sh('innermost', serve);
    const reach = 'for i in $(seq 15); do ping -c 1 -W 2 innermost && break; sleep 1; done >&2';
    const fetched = await sh('outer', `${reach}; wget -O- innermost/file | md5sum`);
    assert.equal(fetched.stdout, served.stdout, fetched.stderr);
  });

  test('all three have graphs, and those around show what is used inside', async () => {
    const machines = ['outer', 'inner', 'innermost'];
    const views = await Promise.all(machines.map((machine) => call('machine.get', { machine })));
    const [outer, inner, innermost] = views.map(({ id }) => id) as [string, string, string];
    const some = (bytes = 0) => bytes > 4 << 20;
    const samples = await samplesOf(machines, (seen) =>
      [outer, inner, innermost].every((id) => some(seen[id]?.memoryGuestBytes)) &&
      [outer, inner].every((id) => some(seen[id]?.insideMemoryBytes)));
    assert.equal(samples[innermost]!.insideMemoryBytes, undefined);
  });

  test('is found by a new server, and runs on when the one around it is busy', async () => {
    server.kill('SIGKILL');
    server = await spawnServer(undo, world.home);
    world = { ...world, client: await clientOf(undo, world.paths) };
    await untilRunning(world.client, 'innermost');
    const [busy, inside] = await Promise.all([
      sh('inner', 'for i in $(seq 300); do /bin/true; done; echo done'),
      sh('innermost', 'for i in $(seq 300); do /bin/true; done; sync; echo done'),
    ]);
    assert.deepEqual([busy.stdout, inside.stdout], ['done\n', 'done\n']);
  });

  test('one that panics takes nobody with it, and its disks leave those around', async () => {
    const disks = async () => {
      const [inner, outer] = await Promise.all(
        ['inner', 'outer'].map((machine) => sh(machine, 'ls /sys/block | grep -c ^vd')),
      );
      return [inner!.stdout, outer!.stdout];
    };
    assert.deepEqual(await disks(), ['3\n', '5\n']);
    const argv = ['/bin/sh', '-c', 'echo c > /proc/sysrq-trigger'];
    const crash = { machine: 'innermost', argv };
    world.client.open('machine.exec', crash, () => {}).result.catch(() => {});
    await untilState(world.client, 'innermost', ['crashed']);
    assert.deepEqual(await disks(), ['1\n', '3\n']);
    await started(world.client, 'innermost');
    assert.equal((await sh('innermost', 'md5sum < /root/file')).code, 0);
  });
});

suite('their end', () => {
  test('ends with the one around it, which is not stopped unasked, nor cloned', async () => {
    for (const verb of ['machine.stop', 'snapshot.create'] as const) {
      await assert.rejects(call(verb, { machine: 'outer' }), { code: 'wrong-state' }, verb);
    }
    await call('machine.stop', { machine: 'outer', children: true });
    for (const machine of ['innermost', 'inner', 'outer']) {
      await untilState(world.client, machine, ['off']);
    }
  });
});
