/** Machines exported and imported through a store of their own; engines are not needed for it. */
import { suite, test, type TestContext } from 'node:test';
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Refusal } from '../../../../src-main/base/refusal.ts';
import { Jobs } from '../../../../src-main/app/jobs.ts';
import { Bundles } from '../../../../src-main/app/node/bundles.ts';
import type { Driver } from '../../../../src-main/app/node/driver.ts';
import { MachineStore } from '../../../../src-main/app/node/machine-store.ts';
import type { Machines } from '../../../../src-main/app/node/machines.ts';
import { nymphPaths } from '../../../../src-main/app/node/paths.ts';
import { createOverlay } from '../../../../src-main/disks/node/overlay.ts';
import { createBlankDisk } from '../../../../src-main/disks/node/sparse.ts';
import { parseSpec } from '../../../../src-main/machine/spec.ts';
import { mixedBytes, openRoom } from '../../disks/inputs.ts';

async function world(t: TestContext) {
  const room = await openRoom();
  const paths = nymphPaths({}, room.file('home'));
  let now = 1000;
  const jobs = new Jobs(() => ++now, () => {}); // prettier-ignore
  t.after(() => jobs.stopAll().then(() => room.close()));
  const store = new MachineStore(paths, () => ++now);
  await store.open();
  const image = room.file('image');
  writeFileSync(image, mixedBytes(3 * 2 ** 20));
  const driverOf = (name: string): Driver => {
    const notes: string[] = [];
    const driver = {
      name,
      alive: false,
      directory: store.directory(name),
      notes,
      note: (text: string) => void notes.push(text),
      queue: (work: () => Promise<unknown>) => work(),
    };
    return driver as unknown as Driver;
  };
  const machines = {
    freeName: (wish: string, taken: (name: string) => boolean) =>
      [wish, `${wish}-2`, `${wish}-3`].find((name) => !store.exists(name) && !taken(name))!,
    createFrom: async (name: string, text: string, fill: (at: string) => Promise<void>) => {
      await store.create(name, text, fill);
      return driverOf(name);
    },
  } as unknown as Machines;
  const bundles = new Bundles({
    jobs, store, machines,
    images: { rawPath: () => image },
    lans: { has: (network: string) => network === 'lab' },
    exports: paths.exports,
  });
  const disks = [
    { id: 'root', image: 'base', file: 'root.cow' },
    { id: 'data1', size: '2MiB', file: 'data1.raw' },
  ];
  const nics = [{ id: 'nic0', slot: 0, network: 'gone', mac: '52:01:23:45:67:00' }];
  await store.create('web', { id: '01234567', image: 'base', disks, nics }, async (directory) => {
    await createOverlay(join(directory, 'root.cow'), image);
    await createBlankDisk(join(directory, 'data1.raw'), 2 * 2 ** 20);
  });
  const path = room.file('web.nymph');
  const pack = async (driver = driverOf('web')) => {
    const ended = await jobs.wait((await bundles.export(driver, path)).id);
    assert.equal(ended.state, 'done', ended.error);
    return path;
  };
  const file = { path, title: 'web.nymph' };
  const bring = async (name?: string) => jobs.wait((await bundles.import(file, name, () => {})).id);
  const machinesHere = () => readdirSync(paths.machines).sort();
  return { room, paths, jobs, store, bundles, driverOf, pack, file, bring, machinesHere, image };
}

suite('an exported machine', () => {
  test('comes back as another of the same content, under the next free name', async (t) => {
    const { pack, bring, store, machinesHere, image, jobs } = await world(t);
    await pack();
    const ended = await bring();
    assert.deepEqual([ended.state, ended.outcome], ['done', 'web-2']);
    assert.deepEqual(machinesHere(), ['web', 'web-2']);
    const spec = parseSpec(await store.readSpec('web-2'));
    assert.notEqual(spec.id, '01234567');
    assert.equal(spec.image, undefined);
    const root = join(store.directory('web-2'), 'disks', 'root.raw');
    assert.deepEqual(readFileSync(root), readFileSync(image));
    assert.equal(statSync(join(store.directory('web-2'), 'disks', 'data1.raw')).size, 2 ** 21);
    assert.match(jobs.log(ended.id), /no network “gone” here/);
  });

  test('is shown before it is imported', async (t) => {
    const { pack, bundles, file, image } = await world(t);
    await pack();
    const report = (await bundles.inspect(file))!;
    assert.deepEqual([report.kind, report.engine], ['machine', 'native']);
    assert.match(report.sentence, /“web”: 1 CPU, 256 MiB of memory, 2 disks; runs on the native/);
    assert.deepEqual(report.machine!.leftOut, ['There is no network “gone” here.']);
    assert.equal(await bundles.inspect({ path: image, title: 'image' }), undefined);
  });

  test('goes where downloads go when no place was named, never over a file', async (t) => {
    const { bundles, driverOf, jobs, paths, pack } = await world(t);
    for (const wanted of ['web.nymph', 'web-2.nymph']) {
      const { outcome } = await jobs.wait((await bundles.export(driverOf('web'), undefined)).id);
      assert.equal(outcome, join(paths.exports, wanted));
    }
    const path = await pack();
    await assert.rejects(bundles.export(driverOf('web'), path), { code: 'exists' });
    await assert.rejects(bundles.export(driverOf('web'), 'web.nymph'), { code: 'usage' });
    await assert.rejects(bundles.export(driverOf('web'), '/no/such/place'), { code: 'not-found' });
  });

  test('is held while it is written: nothing that changes it gets through', async (t) => {
    const { bundles, driverOf, jobs, room } = await world(t);
    const driver = driverOf('web');
    const job = await bundles.export(driver, room.file('held.nymph'));
    const held = { code: 'in-use', message: /being exported/ };
    assert.throws(() => bundles.refuseHeld('machine.start', driver), held);
    assert.throws(() => bundles.refuseHeld('disk.delete', driver), held);
    await assert.rejects(bundles.export(driver, room.file('other.nymph')), held);
    bundles.refuseHeld('machine.get', driver);
    bundles.refuseHeld('machine.start', driverOf('other'));
    await jobs.wait(job.id);
    bundles.refuseHeld('machine.start', driver);
  });

  test('that was started just before is not exported', async (t) => {
    const { bundles, driverOf, jobs, room } = await world(t);
    const driver = Object.assign(driverOf('web'), { alive: true });
    const ended = await jobs.wait((await bundles.export(driver, room.file('x.nymph'))).id);
    assert.deepEqual([ended.state, existsSync(room.file('x.nymph'))], ['failed', false]);
  });

  test('and cancelled leaves no file', async (t) => {
    const { bundles, driverOf, jobs, room } = await world(t);
    const job = await bundles.export(driverOf('web'), room.file('x.nymph'));
    jobs.cancel(job.id);
    assert.equal((await jobs.wait(job.id)).state, 'cancelled');
    assert.ok(!readdirSync(room.path).some((name) => name.includes('x.nymph')));
  });
});

suite('an import', () => {
  test('takes the name it is given, or refuses it', async (t) => {
    const { pack, bring, machinesHere, bundles, file } = await world(t);
    await pack();
    assert.equal((await bring('mail')).outcome, 'mail');
    await assert.rejects(bring('web'), { code: 'exists' });
    await assert.rejects(bring('Web'), { code: 'usage' });
    const first = bundles.import(file, 'twin', () => {});
    await assert.rejects(async () => {
      await first;
      await bundles.import(file, 'twin', () => {});
    }, { code: 'exists' }); // prettier-ignore
    assert.deepEqual(machinesHere().filter((name) => !/twin/.test(name)), ['mail', 'web']);
  });

  test('of what is no bundle, or a broken one, changes nothing', async (t) => {
    const { pack, bring, machinesHere, file } = await world(t);
    await pack();
    const whole = readFileSync(file.path);
    whole[whole.length - 300]! ^= 1;
    writeFileSync(file.path, whole);
    const ended = await bring();
    assert.equal(ended.state, 'failed');
    assert.match(ended.error!, /damaged/);
    writeFileSync(file.path, 'hello');
    await assert.rejects(bring(), (thrown: Refusal) => thrown.code === 'unsupported');
    assert.deepEqual(machinesHere(), ['web']);
  });

  test('that is cancelled leaves no machine', async (t) => {
    const { pack, bundles, file, jobs, machinesHere } = await world(t);
    await pack();
    let done = false;
    const job = await bundles.import(file, undefined, () => (done = true));
    jobs.cancel(job.id);
    assert.equal((await jobs.wait(job.id)).state, 'cancelled');
    assert.deepEqual([machinesHere(), done], [['web'], true]);
  });
});
