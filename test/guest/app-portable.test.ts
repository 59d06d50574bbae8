/**
 * The portable engine through the public API: its machines do what native ones do, and both stand
 * on one LAN. Real riscv64 kernels of our recipe, translated as they run.
 */
import { after, before, suite, test } from 'node:test';
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { kernelsStep } from '../support/kernels.ts';
import {
  attach,
  clientOf,
  collect,
  patienceMs,
  run,
  spawnServer,
  spawnWorld,
  started,
  Undo,
  untilRunning,
  untilState,
  type World,
} from '../support/live.ts';

const prompt = /# (\x1b\[6n)?$/;
const undo = new Undo();
let world: World;
let server: ChildProcess;

before(async () => {
  ({ world, server } = await spawnWorld(undo));
  await kernelsStep(world.client, 'portable');
  await world.client.call('machine.create', {
    name: 'rv',
    engine: 'portable',
    memoryMib: 128,
    cpus: 2,
  });
});
after(() => undo.run());

const call: World['client']['call'] = (...words) => world.client.call(...words);
const sh = (machine: string, script: string, input?: string) =>
  run(world.client, machine, script, input);

suite('a portable machine', () => {
  test('boots Tiny Linux for riscv64, confined, in a process of its own', async () => {
    const rv = await started(world.client, 'rv');
    assert.deepEqual([rv.engine, rv.image, rv.agent], ['portable', 'tiny-riscv64', true]);
    assert.equal(rv.guest?.architecture, 'riscv64');
    assert.equal(rv.confinement, 'on');
    const line = readFileSync(`/proc/${rv.pid}/cmdline`, 'latin1').split('\0');
    assert.ok(line.includes('rv'), 'ps shows the machine’s name');
  });

  test('has the processors and the memory that it was given', async () => {
    const { stdout } = await sh('rv', 'uname -m; nproc; grep MemTotal /proc/meminfo');
    const [machine, processors, memory] = stdout.split('\n');
    assert.deepEqual([machine, processors], ['riscv64', '2']);
    const kib = Number(/(\d+) kB/.exec(memory!)![1]);
    assert.ok(kib < 128 * 1024 && kib > 100 * 1024, memory);
  });

  test('gives a command its input, two outputs and exit code', async () => {
    const ran = await sh('rv', 'cat; echo err >&2; exit 7', 'in\n');
    assert.deepEqual(ran, { code: 7, stdout: 'in\n', stderr: 'err\n' });
    const text = 'line of text\n'.repeat(20_000);
    assert.equal((await sh('rv', 'cat', text)).stdout, text);
  });

  test('has a login on its serial line and one on its second console', async () => {
    for (const index of [0, 1]) {
      const console = attach(world.client, 'rv', index);
      await console.until(/login: $/);
      console.type('root\n');
      await console.until(prompt);
      console.type('echo $((6 * 7))-answer\n');
      await console.until(/\n42-answer\r\n/);
      console.close();
    }
  });

  test('that floods a console takes no more than its window, and still answers', async () => {
    const flood = attach(world.client, 'rv', 0);
    flood.type('head -c 3000000 /dev/zero | tr "\\0" y; echo; echo do""ne\n');
    await flood.until(/\ndone\r\n/);
    flood.close();
    assert.equal((await sh('rv', 'echo here')).stdout, 'here\n');
  });
});

suite('its translator', () => {
  test('says what is hot and what it has translated', async () => {
    await sh('rv', 'i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done');
    const { hot, latest, harts, total } = await call('machine.translator', { machine: 'rv' });
    assert.equal(harts.length, 2);
    assert.ok(total.regions > 100 && total.instructions > total.regions, JSON.stringify(total));
    assert.ok(latest.some(({ kind }) => kind === 'translated'));
    const [first] = hot;
    assert.ok(first!.share > 0 && first!.share <= 1, JSON.stringify(first));
    assert.ok(hot.some(({ mode, translated }) => mode === 'U' && translated > 0.5));
  });
});

suite('its memory', () => {
  const heldBytes = async () => {
    const { pid } = await call('machine.get', { machine: 'rv' });
    return Number(readFileSync(`/proc/${pid}/statm`, 'latin1').split(' ')[1]) * 4096;
  };
  const mount = 'mkdir -p /tmp/m && mount -t tmpfs -o size=80m m /tmp/m';
  const fill = `${mount} && dd if=/dev/urandom of=/tmp/m/f bs=1M count=64 2>/dev/null`;
  const mostOf64MiB = 48 << 20;

  test('goes back to the host by itself when the guest frees it', async () => {
    await sh('rv', fill);
    const full = await heldBytes();
    await sh('rv', 'umount /tmp/m');
    let rest = full;
    for (const end = Date.now() + patienceMs; Date.now() < end && rest > full - mostOf64MiB;) {
      await new Promise((resolve) => setTimeout(resolve, 200));
      rest = await heldBytes();
    }
    assert.ok(rest <= full - mostOf64MiB, `${rest} bytes after, ${full} before`);
  });

  test('and at once when it is asked for; the guest lives on with all of it', async () => {
    await sh('rv', fill);
    const full = await heldBytes();
    await sh('rv', 'umount /tmp/m');
    const { freedBytes } = await call('machine.reclaim', { machine: 'rv' });
    const rest = await heldBytes();
    // An eighth of what is free stays, and the translator may grow meanwhile.
    const said = `${rest} bytes after, ${full} before, ${freedBytes} said`;
    assert.ok(rest <= full - (32 << 20), said);
    assert.equal((await sh('rv', `${fill} && sha256sum /tmp/m/f && umount /tmp/m`)).code, 0);
  });
});

suite('its disk', () => {
  test('keeps over a restart what was written and synced', async () => {
    await sh('rv', 'echo kept > /root/note; dd if=/dev/urandom of=/root/big bs=1M count=8; sync');
    const before = (await sh('rv', 'sha256sum /root/big')).stdout;
    await call('machine.kill', { machine: 'rv' });
    await started(world.client, 'rv');
    assert.equal((await sh('rv', 'cat /root/note')).stdout, 'kept\n');
    assert.equal((await sh('rv', 'sha256sum /root/big')).stdout, before);
  });
});

suite('on a LAN', () => {
  test('a native and a portable machine find each other by name', async () => {
    await call('machine.stop', { machine: 'rv' });
    await untilState(world.client, 'rv', ['off']);
    await call('network.create', { name: 'both' });
    await call('network.connect', { machine: 'rv', network: 'both' });
    await call('machine.create', { name: 'uml', memoryMib: 96, networks: ['both'] });
    await Promise.all([started(world.client, 'rv'), started(world.client, 'uml')]);
    for (const [from, to] of [
      ['rv', 'uml'],
      ['uml', 'rv'],
    ] as const) {
      const script = `for i in $(seq 15); do ping -c 1 -W 2 ${to} && exit 0; sleep 1; done; exit 1`;
      assert.equal((await sh(from, script)).code, 0, `${from} reaches ${to}`);
    }
    await sh('rv', 'head -c 4000000 /dev/urandom > /var/www/data; httpd -h /var/www');
    const sum = (await sh('rv', 'sha256sum < /var/www/data')).stdout;
    assert.equal((await sh('uml', 'wget -qO- http://rv/data | sha256sum')).stdout, sum);
  });
});

suite('a native machine', () => {
  test('has no translator to speak of', async () => {
    await assert.rejects(call('machine.translator', { machine: 'uml' }), {
      code: 'unsupported',
      message: /runs natively/,
    });
  });
});

suite('what is plugged while it runs', () => {
  const disks = async () => (await call('machine.get', { machine: 'rv' })).disks;

  test('a disk appears at once, takes a file system, and stays while it is mounted', async () => {
    await call('disk.add', { machine: 'rv', sizeBytes: 32 << 20 });
    assert.equal((await sh('rv', 'cat /sys/block/vdb/size')).stdout, `${(32 << 20) / 512}\n`);
    const made = 'mkdir -p /mnt && mke2fs /dev/vdb >/dev/null && mount /dev/vdb /mnt';
    assert.equal((await sh('rv', `${made} && echo data > /mnt/note`)).code, 0);
    const busy = call('disk.detach', { machine: 'rv', disk: 'data1' });
    await assert.rejects(busy, { code: 'in-use', message: /unmount it there first/ });
    assert.equal((await sh('rv', 'cat /mnt/note && umount /mnt')).stdout, 'data\n');
  });

  test('an unmounted one goes, and its place takes the next', async () => {
    await call('disk.detach', { machine: 'rv', disk: 'data1' });
    assert.notEqual((await sh('rv', 'ls /sys/block/vdb')).code, 0);
    const attached = (await disks()).map((disk) => disk.attached);
    assert.deepEqual(attached, [true, false]);
    await call('disk.add', { machine: 'rv', image: 'tiny-riscv64' });
    const shown = await sh('rv', 'mount -r /dev/vdb /mnt && ls /mnt/sbin/init; umount /mnt');
    assert.equal(shown.stdout, '/mnt/sbin/init\n');
  });

  test('a card in a slot that was empty at the start joins its LAN, and leaves it', async () => {
    await call('network.create', { name: 'later' });
    await call('network.connect', { machine: 'rv', network: 'later' });
    await call('network.connect', { machine: 'uml', network: 'later' });
    const card =
      'ip link set eth1 up; for i in $(seq 15); do udhcpc -i eth1 -n -q >/dev/null 2>&1; ' +
      'ip -4 addr show eth1 | grep inet && exit; sleep 1; done';
    assert.match((await sh('rv', card)).stdout, /inet \d+\./);
    await call('network.disconnect', { machine: 'rv', network: 'later' });
    assert.notEqual((await sh('rv', 'ls -d /sys/class/net/eth1')).code, 0);
    assert.equal((await sh('rv', 'ls -d /sys/class/net/eth0')).code, 0);
    await call('network.connect', { machine: 'rv', network: 'later' });
    assert.match((await sh('rv', card)).stdout, /inet \d+\./);
  });
});

suite('its life', () => {
  test('a paused one stands still, a resumed one goes on', async () => {
    await call('machine.pause', { machine: 'rv' });
    const state = readFileSync(
      `/proc/${(await call('machine.get', { machine: 'rv' })).pid}/stat`,
      'latin1',
    );
    assert.match(state, /\) T /);
    await call('machine.resume', { machine: 'rv' });
    assert.equal((await sh('rv', 'echo on')).stdout, 'on\n');
  });

  test('it outlives its server, and the next one finds it with console and network', async () => {
    const { pid } = await call('machine.get', { machine: 'rv' });
    server.kill('SIGKILL');
    server = await spawnServer(undo, world.home);
    world = { ...world, client: await clientOf(undo, world.paths) };
    const found = await untilRunning(world.client, 'rv');
    assert.equal(found.pid, pid);
    assert.equal((await sh('rv', 'echo again')).stdout, 'again\n');
    assert.equal((await sh('rv', 'ping -c 1 -W 5 uml')).code, 0);
  });

  test('a guest that restarts itself goes on in the same process', async () => {
    const { pid } = await call('machine.get', { machine: 'rv' });
    await sh('rv', 'echo reborn > /run/gone; reboot').catch(() => {});
    const again = await untilRunning(world.client, 'rv');
    assert.equal(again.pid, pid);
    const console = attach(world.client, 'rv');
    // Prompts of before may stand there twice as well.
    await console.until(/Restarting system[\s\S]*login: $/);
    console.close();
    assert.notEqual((await sh('rv', 'cat /run/gone')).code, 0);
    const plugged = await sh('rv', 'ls -d /sys/class/net/eth1 /sys/block/vdb');
    assert.equal(plugged.code, 0, 'what was plugged later is there again');
  });

  test('a panic is a crash with its reason', async () => {
    await sh('rv', 'echo c > /proc/sysrq-trigger').catch(() => {});
    const crashed = await untilState(world.client, 'rv', ['crashed']);
    assert.match(crashed.reason ?? '', /panicked: sysrq triggered crash/);
  });

  test('a command in a throw-away machine has the processors it asks for', async () => {
    const { client } = world;
    const wanted = { engine: 'portable' as const, cpus: 4, argv: ['nproc'] };
    const ran = await collect((sink) => client.open('machine.run', wanted, sink));
    assert.deepEqual([ran.code, ran.stdout], [0, '4\n']);
  });

  test('an image of another processor is refused in a sentence', async () => {
    const wrong = call('machine.create', { name: 'no', image: 'tiny-riscv64', engine: 'native' });
    await assert.rejects(wrong, {
      code: 'unsupported',
      message: /for riscv64; it runs on the portable/,
    });
  });
});
