/**
 * Folders of the host that a guest sees, in machines of both engines, in their compartments: the
 * same folder under the same name, by hostfs in one and by 9P in the other.
 */
import { after, before, suite, test } from 'node:test';
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { kernelsStep } from '../support/kernels.ts';
import { launch, run, started, Undo, type World } from '../support/live.ts';

const undo = new Undo();
let world: World;
let shared: string;

before(async () => {
  world = await launch(undo);
  shared = join(world.home, 'shared');
  mkdirSync(join(shared, 'out'), { recursive: true });
  writeFileSync(join(world.home, 'secret'), 'secret');
  writeFileSync(join(shared, 'note'), 'from the host');
  symlinkSync(join(world.home, 'secret'), join(shared, 'link'));
});
after(() => undo.run());

for (const engine of ['native', 'portable'] as const) {
  suite(`a ${engine} machine`, () => {
    const sh = (script: string) => run(world.client, engine, script);
    const mounted = 'grep -q /mnt/out /proc/mounts';
    const until = `for n in $(seq 100); do ${mounted} && break; sleep 0.1; done`;

    before(async () => {
      await kernelsStep(world.client, engine);
      await world.client.call('machine.create', { name: engine, engine, memoryMib: 96 });
      const shares = [
        { tag: 'in', path: shared, readOnly: true },
        { tag: 'out', path: join(shared, 'out'), readOnly: false },
      ];
      await world.client.call('machine.update', { machine: engine, changes: { shares } });
      await started(world.client, engine);
    });

    test('reads a folder of the host, and writes to one that is shared for it', async () => {
      assert.equal((await sh(`${until}; cat /mnt/in/note`)).stdout, 'from the host');
      const make = 'mkdir d && echo made > d/f && sync && ls d';
      assert.equal((await sh(`cd /mnt/out && ${make}`)).stdout, 'f\n');
      assert.equal(readFileSync(join(shared, 'out/d/f'), 'utf8'), 'made\n');
      assert.equal((await sh('cd /mnt/out && mv d/f g && rmdir d')).code, 0);
      assert.equal(readFileSync(join(shared, 'out/g'), 'utf8'), 'made\n');
    });

    test('takes a large file through the folder as it is', async () => {
      writeFileSync(join(shared, 'large'), randomBytes(3_000_000));
      const copy = 'cp /mnt/in/large /mnt/out/copy && sync && ls /mnt/in';
      assert.match((await sh(copy)).stdout, /^large$/m);
      assert.ok(readFileSync(join(shared, 'out/copy')).equals(readFileSync(join(shared, 'large'))));
    });

    test('changes nothing in a folder for reading, and gets nowhere by its links', async () => {
      assert.notEqual((await sh('echo x > /mnt/in/note')).code, 0);
      assert.equal(readFileSync(join(shared, 'note'), 'utf8'), 'from the host');
      const { stdout } = await sh('cat /mnt/in/link /mnt/in/../secret /mnt/in/../../secret 2>&1');
      assert.doesNotMatch(stdout, /^secret/m);
    });
  });
}

test('a folder that is not there is refused before anything starts', async () => {
  const shares = [{ tag: 'gone', path: join(world.home, 'gone'), readOnly: true }];
  await world.client.call('machine.create', { name: 'late', memoryMib: 96 });
  await world.client.call('machine.update', { machine: 'late', changes: { shares } });
  const starting = world.client.call('machine.start', { machine: 'late' });
  await assert.rejects(starting, { code: 'not-found', message: /is to be shared is not there/ });
});
