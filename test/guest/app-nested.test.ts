/**
 * Machines inside machines on the native engine, by real kernels and through the public API only:
 * one inside another is a machine like any other to its owner, and harms nobody but itself.
 */
import { after, before, suite, test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { attach, launch, run, started, Undo, untilState, type World } from '../support/live.ts';

const prompt = /# (\x1b\[6n)?$/;

const undo = new Undo();
let world: World;

before(async () => {
  world = await launch(undo);
});
after(() => undo.run());

const call: World['client']['call'] = (...words) => world.client.call(...words);
const sh = (machine: string, script: string, input?: string) =>
  run(world.client, machine, script, input);

async function make(name: string, memoryMib: number, inside?: string) {
  await call('machine.create', { name, memoryMib, ...(inside ? { inside } : {}) });
  return started(world.client, name);
}

suite('a machine inside another', () => {
  test('starts only while that one runs', async () => {
    await call('machine.create', { name: 'outer', memoryMib: 512 });
    await call('machine.create', { name: 'inner', memoryMib: 128, inside: 'outer' });
    await assert.rejects(call('machine.start', { machine: 'inner' }), {
      code: 'wrong-state',
      message: 'It runs inside “outer”, which is off; start that one first.',
    });
    assert.equal((await call('machine.get', { machine: 'inner' })).parent, 'outer');
    assert.deepEqual((await call('machine.get', { machine: 'outer' })).children, ['inner']);
  });

  test('is made in the place of a link that the guest around it has put there', async () => {
    const home = join(world.home, 'of-the-user');
    mkdirSync(home);
    writeFileSync(join(home, 'kept'), '');
    const { directory } = await started(world.client, 'outer');
    const { id } = await call('machine.get', { machine: 'inner' });
    const link = `/tmp/h${directory}/inside/${id}`;
    const mounted = 'mkdir -p /tmp/h && mount -t hostfs none /tmp/h';
    assert.equal((await sh('outer', `${mounted} && ln -s ${home} ${link}`)).code, 0);
    await started(world.client, 'inner');
    assert.deepEqual(readdirSync(home), ['kept']);
    await call('machine.kill', { machine: 'inner' });
    assert.equal((await sh('outer', 'umount /tmp/h')).code, 0);
  });

  test('boots to its userland and runs commands', async () => {
    const inner = await started(world.client, 'inner');
    assert.equal(inner.guest?.hostname, 'inner');
    const said = await sh('inner', 'hostname; cat; exit 7', 'words in\n');
    assert.deepEqual(said, { code: 7, stdout: 'inner\nwords in\n', stderr: '' });
  });

  test('is told of its disk by the name that it has in there', async () => {
    const log = await sh('inner', 'dmesg');
    assert.match(log.stdout, /Linux version/);
    assert.doesNotMatch(log.stdout, /Couldn't stat/);
  });

  test('has a console of its own, to log in at', async () => {
    const console = attach(world.client, 'inner');
    await console.until(/inner login: /);
    console.type('root\n');
    await console.until(prompt);
    console.type('echo $((6*7))-of-$(hostname)\n');
    await console.until(/42-of-inner/);
    console.close();
  });
});

suite('its life', () => {
  test('a paused one stands still, a resumed one goes on', async () => {
    const console = attach(world.client, 'inner');
    console.type('while sleep 0.05; do echo tick; done\n');
    await console.until(/tick\r\ntick/);
    await call('machine.pause', { machine: 'inner' });
    await aWhile();
    const before = console.receivedBytes();
    await aWhile();
    assert.equal(console.receivedBytes(), before);
    console.clear();
    await call('machine.resume', { machine: 'inner' });
    await console.until(/tick\r\ntick/);
    console.type('\x03');
    console.close();
  });

  test('is stopped orderly, and keeps on its disk what was written', async () => {
    await sh('inner', 'echo kept > /root/note && sync');
    await call('machine.stop', { machine: 'inner' });
    assert.equal((await call('machine.get', { machine: 'inner' })).state, 'off');
    await started(world.client, 'inner');
    assert.equal((await sh('inner', 'cat /root/note')).stdout, 'kept\n');
  });

  test('one that panics is a crash with its reason, and harms nobody else', async () => {
    const [machine, argv] = ['inner', ['/bin/sh', '-c', 'echo c > /proc/sysrq-trigger']];
    world.client.open('machine.exec', { machine, argv }, () => {}).result.catch(() => {});
    const crashed = await untilState(world.client, 'inner', ['crashed']);
    assert.match(crashed.reason!, /The kernel panicked: sysrq triggered crash/);
    assert.equal((await sh('outer', 'echo well')).stdout, 'well\n');
  });

  test('one that is killed is off, and starts again', async () => {
    await started(world.client, 'inner');
    await call('machine.kill', { machine: 'inner' });
    assert.equal((await call('machine.get', { machine: 'inner' })).state, 'off');
    await started(world.client, 'inner');
  });

  test('one that floods its console slows no other, and still answers', async () => {
    const console = attach(world.client, 'inner', 1);
    await console.until(/login: /);
    console.type('root\n');
    await console.until(prompt);
    console.type('yes\n');
    await console.until(/y\r\ny\r\ny\r\n/);
    assert.equal((await sh('outer', 'echo well')).stdout, 'well\n');
    assert.equal((await sh('inner', 'echo well')).stdout, 'well\n');
    console.type('\x03');
    console.close();
  });
});

suite('on a LAN', () => {
  test('an inner and an outer machine find each other by name', async () => {
    await call('network.create', { name: 'lab' });
    await call('network.connect', { machine: 'outer', network: 'lab' });
    await call('network.connect', { machine: 'inner', network: 'lab' });
    const [forth, back] = await Promise.all([
      sh('inner', pingUntilAnswered('outer')),
      sh('outer', pingUntilAnswered('inner')),
    ]);
    assert.equal(forth.code, 0, forth.stdout + forth.stderr);
    assert.equal(back.code, 0, back.stdout + back.stderr);
  });
});

suite('processors', () => {
  test('are one, however many are asked for, and the machine says why', async () => {
    await call('machine.create', { name: 'wide', memoryMib: 64, cpus: 2, inside: 'outer' });
    const { kernelChoice } = await started(world.client, 'wide');
    assert.match(kernelChoice, /one processor, not 2: inside a machine/);
    assert.equal((await sh('wide', 'nproc')).stdout, '1\n');
    await call('machine.kill', { machine: 'wide' });
    await call('machine.remove', { machine: 'wide' });
  });
});

suite('three levels', () => {
  test('a machine inside the inner one computes and copies a file to the outermost', async () => {
    await make('innermost', 64, 'inner');
    await call('network.connect', { machine: 'innermost', network: 'lab' });
    const serve = 'head -c 300000 /dev/urandom > /root/file; md5sum < /root/file; httpd -h /root';
    const served = await sh('innermost', serve);
    const answers = pingUntilAnswered('innermost', 'break');
    const fetched = await sh('outer', `${answers} >&2; wget -O- innermost/file | md5sum`);
    assert.equal(fetched.stdout, served.stdout, fetched.stderr);
  });

  test('the outer one shows how much of it is used inside', async () => {
    const samples = new Promise<Record<string, { insideMemoryBytes?: number }>>((resolve) => {
      world.client.on('stats', resolve);
    });
    const { id } = await call('machine.get', { machine: 'outer' });
    await call('stats.watch', { machines: ['outer'] });
    await samples;
    const next = new Promise<Record<string, { insideMemoryBytes?: number }>>((resolve) => {
      world.client.on('stats', resolve);
    });
    assert.ok((await next)[id]!.insideMemoryBytes! > 8 << 20);
    await call('stats.watch', { machines: [] });
  });

  test('stopping the outermost is refused while others run inside', async () => {
    await assert.rejects(call('machine.stop', { machine: 'outer' }), {
      code: 'wrong-state',
      message:
        '“innermost” and “inner” run inside “outer”; stop them first, or all together.',
    });
    await assert.rejects(call('machine.remove', { machine: 'outer', force: true }), {
      code: 'in-use',
    });
  });

  test('stopped together they end innermost first, all of them off', async () => {
    await call('machine.stop', { machine: 'outer', children: true });
    for (const machine of ['innermost', 'inner', 'outer']) {
      assert.equal((await call('machine.get', { machine })).state, 'off', machine);
    }
  });
});

function aWhile(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 300));
}

/** An address is leased a moment after userland is up. */
function pingUntilAnswered(name: string, then = 'exit 0'): string {
  return `for i in $(seq 15); do ping -c 1 -W 2 ${name} && ${then}; sleep 1; done`;
}
