/** A machine goes into one file, and comes out of it as another that boots with the same disk. */
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { launch, nymph, run, started, Undo, untilState, type World } from '../support/live.ts';

const undo = new Undo();
let world: World;
let bundle: string;

before(async () => {
  world = await launch(undo);
  bundle = join(world.home, 'first.nymph');
});
after(() => undo.run());

const call: World['client']['call'] = (...words) => world.client.call(...words);

test('a machine that was written to is exported once it is off', async () => {
  await call('machine.create', { name: 'first', memoryMib: 96 });
  await call('disk.add', { machine: 'first', sizeBytes: 64 * 2 ** 20 });
  await started(world.client, 'first');
  const wrote = await run(world.client, 'first',
    'echo kept > /root/note; echo raw > /dev/ubdb; sync'); // prettier-ignore
  assert.equal(wrote.code, 0, wrote.stderr);
  const early = await nymph(world.home, ['export', 'first', bundle]);
  assert.equal(early.code, 4);
  assert.match(early.stderr, /running: export is not possible/);
  await call('machine.stop', { machine: 'first' });
  await untilState(world.client, 'first', ['off']);
  const { code, stdout, stderr } = await nymph(world.home, ['export', 'first', world.home]);
  assert.deepEqual([code, stdout], [0, `${bundle}\n`], stderr);
});

test('and imported it boots, and what was written is there', async () => {
  const { code, stdout, stderr } = await nymph(world.home, ['import', bundle]);
  assert.deepEqual([code, stdout], [0, 'first-2\n'], stderr);
  assert.match(stderr, /The machine “first”: 1 CPU, 96 MiB of memory, 2 disks/);
  await started(world.client, 'first-2');
  const script = 'cat /root/note; head -c 3 /dev/ubdb';
  const { stdout: read } = await run(world.client, 'first-2', script);
  assert.equal(read, 'kept\nraw');
  await call('machine.kill', { machine: 'first-2' });
  const [first, second] = await Promise.all(
    ['first', 'first-2'].map((machine) => call('machine.get', { machine })),
  );
  assert.notEqual(first!.id, second!.id);
});

test('a name that is taken, and a file that is none, are refused and change nothing', async () => {
  const taken = await nymph(world.home, ['import', bundle, '--name', 'first']);
  assert.deepEqual([taken.code, taken.stdout], [1, '']);
  assert.match(taken.stderr, /There is a machine “first” already/);
  const missing = await nymph(world.home, ['import', join(world.home, 'nothing.nymph')]);
  assert.equal(missing.code, 3);
  const machines = readdirSync(world.paths.machines).sort();
  assert.deepEqual(machines, ['first', 'first-2', 'tiny']);
});
