/**
 * Stream sockets between a portable machine and its host: the paths that `nymph inspect` names, a
 * real kernel's own driver, and a machine that is suspended with a connection open.
 */
import { after, before, suite, test } from 'node:test';
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { compileGuest, guestSources } from '../../src-main/images/node/compile.ts';
import { kernelsStep } from '../support/kernels.ts';
import { launch, nymph, run, started, Undo, untilState, type World } from '../support/live.ts';

const undo = new Undo();
let world: World;
let path: string;

const call: World['client']['call'] = (...words) => world.client.call(...words);
const sh = (script: string) => run(world.client, 'rv', script);
const listen = (port: number) => {
  const until = `until grep -q . /run/${port}; do sleep 0.1; done`;
  return sh(`/mnt/in/vsock-talk listen ${port} >/run/${port} 2>&1 & ${until}`);
};

before(async () => {
  world = await launch(undo);
  await kernelsStep(world.client, 'portable');
  const sources = [join(import.meta.dirname, 'vsock-talk.c'), join(guestSources, 'sys.c')];
  const folder = join(world.home, 'shared');
  mkdirSync(folder);
  const program = join(folder, 'vsock-talk');
  await compileGuest(program, [`-I${guestSources}`, ...sources], { architecture: 'riscv64' });
  await call('machine.create', { name: 'rv', engine: 'portable', memoryMib: 96 });
  const shares = [{ tag: 'in', path: folder, readOnly: true }];
  await call('machine.update', { machine: 'rv', changes: { shares } });
  await started(world.client, 'rv');
  await sh('for n in $(seq 100); do grep -q /mnt/in /proc/mounts && break; sleep 0.1; done');
  const shown = JSON.parse((await nymph(world.home, ['inspect', 'rv'])).stdout);
  path = shown.vsock;
});
after(() => undo.run());

/** What comes after the line with which the machine answers; and that line. */
async function ask(port: number, bytes: Uint8Array): Promise<{ line: string; back: Buffer }> {
  const socket = connect({ path, allowHalfOpen: true });
  socket.write(`CONNECT ${port}\n`);
  socket.end(bytes);
  const parts: Buffer[] = [];
  for await (const more of socket) parts.push(more as Buffer);
  const all = Buffer.concat(parts);
  const end = all.indexOf(10) + 1;
  return { line: all.toString('latin1', 0, end), back: all.subarray(end) };
}

suite('stream sockets', () => {
  test('lead from a program of the host to one of the guest, with all that is sent', async () => {
    await listen(1234);
    for (const size of [0, 5, 3_000_000]) {
      const bytes = randomBytes(size);
      const { line, back } = await ask(1234, bytes);
      assert.match(line, /^OK \d+\n$/);
      assert.ok(back.equals(bytes), `${back.length} of ${size} bytes came back`);
    }
  });

  test('where nobody listens the connection ends, at once and in either direction', async () => {
    assert.deepEqual(await ask(99, Buffer.alloc(0)), { line: '', back: Buffer.alloc(0) });
    assert.equal((await sh('/mnt/in/vsock-talk connect 99 < /dev/null')).code, 3);
  });

  test('lead from the guest to who listens beside that socket', async (t) => {
    const heard: number[] = [];
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      let count = 0;
      socket.on('data', (bytes) => (count += bytes.length));
      socket.on('end', () => {
        heard.push(count);
        socket.end(`${count} bytes`);
      });
    });
    await new Promise<void>((resolve) => server.listen(`${path}_52`, resolve));
    t.after(() => server.close());
    const send = 'head -c 2000000 /dev/zero | /mnt/in/vsock-talk connect 52';
    assert.deepEqual(await sh(send), { code: 0, stdout: '2000000 bytes', stderr: '' });
    const many = `for n in $(seq 20); do echo $n | /mnt/in/vsock-talk connect 52 & done; wait`;
    assert.equal((await sh(many)).code, 0);
    assert.equal(heard.length, 21);
  });

  test('of a suspended machine are cut; its listeners go on in the resumed one', async () => {
    const socket = connect(path, () => socket.write('CONNECT 1234\nhere'));
    const echo = await new Promise<string>((resolve) => {
      let text = '';
      socket.on('data', (bytes) => /here$/.test((text += String(bytes))) && resolve(text));
    });
    assert.match(echo, /^OK \d+\nhere$/);
    const over = new Promise((resolve) => socket.once('close', resolve));
    await call('machine.suspend', { machine: 'rv' });
    await untilState(world.client, 'rv', ['suspended']);
    await over;
    await started(world.client, 'rv');
    assert.equal(String((await ask(1234, Buffer.from('again'))).back), 'again');
  });
});
