/**
 * Ten machines in one portable machine: each does its work, and what becomes of one of them is
 * nothing to the others.
 */
import { after, before, suite, test } from 'node:test';
import assert from 'node:assert/strict';
import { kernelsStep } from '../support/kernels.ts';
import {
  run, spawnWorld, started, Undo, untilMachine, untilState, type World,
} from '../support/live.ts'; // prettier-ignore

const undo = new Undo();
let client: World['client'];
const names = Array.from({ length: 10 }, (_, number) => `room${number}`);
/** All boot at once, on the one processor that the outer machine has. */
const bootMs = 10 * 60_000;

before(async () => {
  ({ client } = (await spawnWorld(undo)).world);
  await kernelsStep(client, 'portable');
  await client.call('machine.create', { name: 'house', engine: 'portable', memoryMib: 1024 });
  await started(client, 'house');
});
after(() => undo.run());

const up = (name: string) => untilMachine(client, name, ({ agent }) => agent, bootMs);
const answers = async (rooms: readonly string[]) => {
  const said = await Promise.all(rooms.map((name) => run(client, name, 'hostname')));
  assert.deepEqual(said.map(({ stdout }) => stdout), rooms.map((name) => `${name}\n`));
};

suite('ten machines in a portable one', () => {
  test('all run at once', async () => {
    for (const name of names) {
      await client.call('machine.create', { name, memoryMib: 64, inside: 'house' });
    }
    await Promise.all(names.map((name) => client.call('machine.start', { machine: name })));
    await Promise.all(names.map(up));
    await answers(names);
  });

  test('one that panics, one that floods its console, one that is killed harm none', async () => {
    await run(client, 'room1', 'yes flood > /dev/hvc1 & sleep 1');
    await run(client, 'room0', 'echo c > /proc/sysrq-trigger').catch(() => {});
    const crashed = await untilState(client, 'room0', ['crashed']);
    assert.match(crashed.reason ?? '', /panicked: sysrq triggered crash/);
    await client.call('machine.kill', { machine: 'room2' });
    await untilState(client, 'room2', ['off']);
    await answers(names.slice(3));
    await answers(['house', 'room1']);
    await client.call('machine.kill', { machine: 'room1' });
  });

  test('their places are free for others', async () => {
    const ended = ['room0', 'room1', 'room2'];
    for (const machine of ended) await client.call('machine.start', { machine });
    await Promise.all(ended.map(up));
    await answers(names);
  });

  test('all end with the one around them', async () => {
    await client.call('machine.kill', { machine: 'house', children: true });
    for (const name of names) await untilState(client, name, ['off']);
  });
});
