/**
 * The promises of the main job, kept by real kernels and seen through the public API only: one
 * server on a home of its own, a client at its unix socket.
 */
import { after, before, suite, test } from 'node:test';
import assert from 'node:assert/strict';
import { lstatSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { KernelRequest } from '../../src-main/contract/machine.ts';
import {
  attach,
  collect,
  launch,
  run,
  started,
  Undo,
  untilMachine,
  untilRunning,
  untilState,
  type World,
} from '../support/live.ts';

/** The shell asks a terminal where its cursor is; whether that has come yet does not matter. */
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

async function make(name: string, more: { networks?: string[]; memoryMib?: number } = {}) {
  await call('machine.create', { name, memoryMib: 96, ...more });
  return started(world.client, name);
}

/** An address is leased a moment after userland is up. */
function pingUntilAnswered(name: string): string {
  return `for i in $(seq 10); do ping -c 1 -W 2 ${name} && exit 0; sleep 1; done; exit 1`;
}

suite('a fresh home', () => {
  test('has a Tiny Linux machine, which boots to its userland', async () => {
    const [tiny, ...others] = await call('machine.list', {});
    assert.equal(others.length, 0);
    assert.equal(tiny!.name, 'tiny');
    assert.equal(tiny!.state, 'off');
    const running = await started(world.client, 'tiny');
    assert.ok(running.bootMs! > 0);
    assert.equal(running.guest?.hostname, 'tiny');
    assert.equal(running.agent, true);
  });

  test('shows its kernel, its process and its compartment', async () => {
    const tiny = await call('machine.get', { machine: 'tiny' });
    assert.ok(tiny.kernel.length > 0 && tiny.kernelChoice.length > 0);
    assert.ok(statSync(`/proc/${tiny.pid}`).isDirectory());
    assert.equal(tiny.confinement, 'on');
  });
});

suite('a console', () => {
  test('takes a login and answers', async () => {
    const console0 = attach(world.client, 'tiny');
    await console0.until(/login: $/);
    console0.type('root\n');
    await console0.until(prompt);
    console0.type('echo $((6 * 7))-answer\n');
    await console0.until(/\n42-answer\r\n/);
    console0.close();
  });

  test('shows a later reader what was there before', async () => {
    const later = attach(world.client, 'tiny');
    await later.until(/42-answer/);
    later.close();
  });
});

suite('a command inside', () => {
  test('ends with its exit code, its two outputs apart', async () => {
    const ran = await sh('tiny', 'echo out; echo err >&2; exit 7');
    assert.deepEqual(ran, { code: 7, stdout: 'out\n', stderr: 'err\n' });
  });

  test('gets its input and the end of it', async () => {
    const text = 'line of text\n'.repeat(20_000);
    const ran = await sh('tiny', 'wc -c', text);
    assert.deepEqual([ran.code, ran.stdout.trim()], [0, String(text.length)]);
    assert.equal((await sh('tiny', 'cat', text)).stdout, text);
  });

  test('that is killed says by which signal', async () => {
    assert.equal((await sh('tiny', 'kill -9 $$')).signal, 9);
  });

  test('that does not exist fails and is not mistaken for one that ran', async () => {
    const argv = ['/no/such/program'];
    const { client } = world;
    const trying = collect((sink) => client.open('machine.exec', { machine: 'tiny', argv }, sink));
    const code = await trying.then(
      (ran) => ran.code,
      () => 'refused',
    );
    assert.ok(code === 'refused' || code === 127 || code === 126, String(code));
  });

  test('in a throw-away machine gives its code and input, and nothing stays', async () => {
    const { client } = world;
    const argv = ['sh', '-c', 'cat; exit 5'];
    const open = (sink: (bytes: Uint8Array) => void) => client.open('machine.run', { argv }, sink);
    const ran = await collect(open as Parameters<typeof collect>[0], 'typed before it was there');
    assert.deepEqual([ran.code, ran.stdout], [5, 'typed before it was there']);
    assert.deepEqual(
      (await call('machine.list', {})).map(({ name }) => name),
      ['tiny'],
    );
    assert.deepEqual(await call('machine.trash', {}), []);
  });
});

suite('a confined guest', () => {
  test('sees its own folder of the host and nobody’s home', async () => {
    const secret = join(world.home, 'secret-of-the-host');
    writeFileSync(secret, 'secret');
    const tiny = await call('machine.get', { machine: 'tiny' });
    const looks = ['/', '/root', '/home', homedir(), world.home, join(world.home, 'data/machines')];
    const script = [
      'mkdir -p /tmp/h && mount -t hostfs none /tmp/h || exit 99',
      `cat /tmp/h${tiny.directory}/machine.yaml > /dev/null && echo own folder`,
      'cat /tmp/h/etc/passwd /tmp/h/etc/shadow 2>/dev/null',
      `cat /tmp/h${secret} 2>/dev/null`,
      `echo confinement: off >> /tmp/h${tiny.directory}/machine.yaml && echo free of it`,
      `mv /tmp/h${tiny.directory}/disks /tmp/h${tiny.directory}/away && echo moved`,
      ...looks.map((path) => `echo "== ${path}"; ls -A /tmp/h${path} 2>/dev/null`),
      'umount /tmp/h',
    ].join('\n');
    const { code, stdout } = await sh('tiny', script);
    assert.equal(code, 0, stdout);
    assert.match(stdout, /own folder/, 'its compartment is really what it looks at');
    assert.ok(!/root:|secret-of/.test(stdout), stdout);
    assert.doesNotMatch(stdout, /free of it|moved/);
    assert.ok(!stdout.includes('\nsecret\n'));
    const machines = stdout.slice(stdout.indexOf(`== ${join(world.home, 'data/machines')}`));
    assert.deepEqual(machines.trim().split('\n').slice(1), ['tiny']);
  });

  test('has no file of the host written through a link that it made', async () => {
    const secret = join(world.home, 'secret-of-the-host');
    writeFileSync(secret, 'secret');
    const { id } = await call('machine.get', { machine: 'tiny' });
    const link = join(world.paths.run, id, 'paused');
    const mounted = 'mkdir -p /tmp/h && mount -t hostfs none /tmp/h';
    const { code } = await sh('tiny', `${mounted} && ln -s ${secret} /tmp/h${link}; umount /tmp/h`);
    assert.equal(code, 0);
    assert.ok(lstatSync(link).isSymbolicLink());
    await call('machine.pause', { machine: 'tiny' });
    await call('machine.resume', { machine: 'tiny' });
    assert.equal(readFileSync(secret, 'utf8'), 'secret');
  });
});

suite('memory', () => {
  test('is never more than was given, and comes back when the guest frees it', async () => {
    await call('machine.create', { name: 'eater', memoryMib: 128 });
    await started(world.client, 'eater');
    const given = 128 * 2 ** 20;
    const held = async () => {
      await call('stats.watch', { machines: ['eater'] });
      const { id } = await call('machine.get', { machine: 'eater' });
      const sample = await new Promise<{ memoryHostBytes: number }>((resolve) => {
        const stop = world.client.on('stats', (samples) => {
          const own = samples[id];
          if (!own) return;
          stop();
          resolve(own);
        });
      });
      await call('stats.watch', { machines: [] });
      return sample.memoryHostBytes;
    };
    const fill = [
      'mkdir -p /tmp/m && mount -t tmpfs -o size=90m m /tmp/m',
      'dd if=/dev/zero of=/tmp/m/f bs=1M count=70 2>/dev/null',
    ];
    await sh('eater', fill.join(' && '));
    const full = await held();
    assert.ok(full > 70 * 2 ** 20, `${full} bytes while 70 MiB are filled`);
    assert.ok(full <= given, `${full} bytes of ${given}`);
    await sh('eater', 'rm /tmp/m/f; umount /tmp/m');
    const { freedBytes } = await call('machine.reclaim', { machine: 'eater' });
    const rest = await held();
    assert.ok(
      rest < full - 50 * 2 ** 20,
      `${rest} bytes after, ${full} before, ${freedBytes} said`,
    );
    assert.equal((await sh('eater', 'echo alive')).stdout, 'alive\n');
    await call('machine.kill', { machine: 'eater' });
    await call('machine.remove', { machine: 'eater' });
  });
});

suite('two machines on a LAN', () => {
  test('find each other by name', async () => {
    await call('network.create', { name: 'lab' });
    await Promise.all([make('alpha', { networks: ['lab'] }), make('beta', { networks: ['lab'] })]);
    const { code, stdout, stderr } = await sh('alpha', pingUntilAnswered('beta'));
    assert.equal(code, 0, stdout + stderr);
    const [lab] = await call('network.list', {});
    assert.equal(lab!.ports.length, 2);
    assert.ok(lab!.ports.every((port) => port.linkUp && port.rxFrames > 0 && port.address));
  });

  test('a card plugged into a running machine works at once, and can be pulled', async () => {
    await call('network.connect', { machine: 'tiny', network: 'lab' });
    const { code, stdout, stderr } = await sh('tiny', pingUntilAnswered('alpha'));
    assert.equal(code, 0, stdout + stderr);
    const without = await call('network.disconnect', { machine: 'tiny', network: 'lab' });
    assert.deepEqual(without.nics, []);
    assert.notEqual((await sh('tiny', 'ping -c 1 -W 1 alpha')).code, 0);
  });
});

suite('a disk', () => {
  test('plugged into a running machine can be used at once and detached', async () => {
    const added = await call('disk.add', { machine: 'tiny', sizeBytes: 16 << 20 });
    const disk = added.disks.at(-1)!;
    assert.equal(disk.virtualBytes, 16 << 20);
    const device = `/dev/${disk.device}`;
    const size = `/sys/block/${disk.device}/size`;
    const script = `yes | head -c 4194304 > ${device} && sync && cat ${size}`;
    const used = await sh('tiny', script);
    assert.deepEqual([used.code, used.stdout.trim()], [0, String((16 << 20) / 512)], used.stderr);
    const detached = await call('disk.detach', { machine: 'tiny', disk: disk.id });
    assert.equal(detached.disks.at(-1)!.attached, false);
    const deleting = call('disk.delete', { machine: 'tiny', disk: disk.id });
    await assert.rejects(deleting, { code: 'wrong-state' });
  });
});

suite('a machine’s life', () => {
  test('paused it does nothing, resumed it goes on', async () => {
    await call('machine.pause', { machine: 'beta' });
    assert.equal((await call('machine.get', { machine: 'beta' })).state, 'paused');
    await assert.rejects(call('machine.pause', { machine: 'beta' }), { code: 'wrong-state' });
    await call('machine.resume', { machine: 'beta' });
    assert.equal((await sh('beta', 'echo back')).stdout, 'back\n');
  });

  test('stopped it shuts down in order, its disk as it should be', async () => {
    await sh('beta', 'echo kept > /root/kept');
    const { state, pid } = await call('machine.stop', { machine: 'beta' });
    assert.deepEqual([state, pid], ['off', undefined]);
    await started(world.client, 'beta');
    assert.equal((await sh('beta', 'cat /root/kept')).stdout, 'kept\n');
  });

  test('its kernel answers past its programs, and ends or begins anew when told', async () => {
    const ask = (request: KernelRequest) =>
      call('machine.monitor', { machine: 'beta', request }).then(({ text }) => text);
    assert.match(await ask({ verb: 'version' }), /Linux/i);
    assert.match(await ask({ verb: 'proc', file: 'sys/kernel/ostype' }), /^Linux/);
    assert.match(await ask({ verb: 'sysrq', key: 'm' }), /Mem-Info/);
    assert.match(await ask({ verb: 'stack', pid: 1 }), /\[<[0-9a-f]+>\]|Call Trace/);
    await assert.rejects(ask({ verb: 'stack', pid: 999_999 }), { code: 'wrong-state' });
    const { startedMs } = await call('machine.get', { machine: 'beta' });
    await sh('beta', 'touch /run/before');
    await ask({ verb: 'reboot' });
    const again = 'test -e /run/before || echo anew';
    for (let said = ''; said !== 'anew\n';) {
      said = await sh('beta', again).then(({ stdout }) => stdout, () => '');
    }
    assert.equal((await call('machine.get', { machine: 'beta' })).startedMs, startedMs);
    await ask({ verb: 'halt' });
    await untilState(world.client, 'beta', ['off']);
    await started(world.client, 'beta');
  });

  test('killed it is off, and nothing of it runs on', async () => {
    const { pid } = await call('machine.get', { machine: 'beta' });
    const { state } = await call('machine.kill', { machine: 'beta' });
    assert.equal(state, 'off');
    assert.throws(() => statSync(`/proc/${pid}`), { code: 'ENOENT' });
  });

  test('panicked it is crashed, with the reason and its last words', async () => {
    const { client } = world;
    const dying = sh('alpha', 'echo c > /proc/sysrq-trigger').catch(() => undefined);
    const alpha = await untilState(client, 'alpha', ['crashed']);
    await dying;
    assert.match(alpha.reason ?? '', /panicked/);
    assert.ok(
      alpha.lastLines!.some((line) => /panic/.test(line)),
      alpha.lastLines!.join('\n'),
    );
    assert.equal((await started(client, 'alpha')).reason, undefined);
  });

  test('killed from outside it is crashed and says so', async () => {
    const { pid } = await call('machine.get', { machine: 'alpha' });
    process.kill(pid!, 'SIGKILL');
    const alpha = await untilState(world.client, 'alpha', ['crashed']);
    assert.match(alpha.reason ?? '', /killed from outside/);
  });

  test('what is not possible now is refused and changes nothing', async () => {
    await assert.rejects(call('machine.start', { machine: 'tiny' }), { code: 'wrong-state' });
    await assert.rejects(call('machine.stop', { machine: 'beta' }), { code: 'wrong-state' });
    await assert.rejects(call('machine.get', { machine: 'nobody' }), { code: 'not-found' });
    await assert.rejects(call('machine.create', { name: 'tiny' }), { code: 'exists' });
    const many = { machine: 'beta', changes: { name: 'gamma', kernel: 'x'.repeat(200) } };
    await assert.rejects(call('machine.update', many), { code: 'bad-input' });
    assert.equal((await call('machine.get', { machine: 'beta' })).state, 'off');
  });
});

suite('a machine.yaml edited by hand', () => {
  test('and broken shows the fault with its line; the last good one stays in force', async () => {
    const { directory } = await call('machine.get', { machine: 'beta' });
    const path = join(directory, 'machine.yaml');
    const good = readFileSync(path, 'utf8');
    const broken = `${good}memroy: 1GiB\n`;
    writeFileSync(path, broken);
    const beta = await untilMachine(world.client, 'beta', ({ fault }) => fault !== undefined);
    const line = broken.split('\n').indexOf('memroy: 1GiB') + 1;
    assert.match(beta.fault!, new RegExp(`line ${line}: .*did you mean “memory”`));
    assert.equal(beta.memoryMib, 96);
    await assert.rejects(call('machine.start', { machine: 'beta' }), { code: 'bad-input' });
    assert.equal(readFileSync(path, 'utf8'), broken, 'nobody touched the owner’s file');
    writeFileSync(path, good.replace('96MiB', '112MiB'));
    const isMended = ({ fault, memoryMib }: { fault?: string; memoryMib: number }) =>
      fault === undefined && memoryMib === 112;
    const mended = await untilMachine(world.client, 'beta', isMended);
    assert.equal(mended.state, 'off');
  });
});

suite('a console that floods', () => {
  test('costs us a bounded amount of memory and leaves the others quick', async () => {
    await call('machine.start', { machine: 'beta' });
    await untilRunning(world.client, 'beta');
    const flooded = attach(world.client, 'tiny', 0);
    flooded.type('\nyes nymph\n');
    await flooded.until(/(nymph\r\n){20}/);
    const before = process.memoryUsage().rss;
    const other = attach(world.client, 'beta', 0);
    await other.until(/login: $/);
    other.type('root\n');
    await other.until(prompt);
    const tookMs: number[] = [];
    const enoughBytes = 256 << 10;
    for (let round = 0; round < 20 || flooded.receivedBytes() < enoughBytes; round++) {
      const began = performance.now();
      other.type(`echo mark-$((${round} + 1000))\n`);
      await other.until(new RegExp(`\\nmark-${1000 + round}\\r`));
      tookMs.push(performance.now() - began);
    }
    const grown = process.memoryUsage().rss - before;
    assert.ok(grown < 96 * 2 ** 20, `${Math.round(grown / 2 ** 20)} MiB more`);
    assert.ok(Math.max(...tookMs) < 5000, `${Math.max(...tookMs)} ms for a line`);
    flooded.type('\x03');
    flooded.close();
    other.close();
  });
});
