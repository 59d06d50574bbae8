/** An open disk is handed from thread to thread: each has a port of it, one works at a time. */
import { after, test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { makeOverlay } from '../../../../../src-main/app/node/disk-makers.ts';
import { diskPort, openDisk } from '../../../../../src-main/engines/riscv/node/disk-port.ts';

const directory = mkdtempSync(join(tmpdir(), 'nymph-disk-'));
after(() => rmSync(directory, { recursive: true, force: true }));
const modulePath = join(
  import.meta.dirname, '../../../../../src-main/engines/riscv/node/disk-port.ts',
); // prettier-ignore

const rounds = 400;
/** Adds one to a number in the disk's first sector, `rounds` times. */
const adding = `
  const { parentPort, workerData } = require('node:worker_threads');
  import(workerData.modulePath).then(({ diskPort }) => {
    const port = diskPort(workerData.disk);
    const sector = new Uint8Array(512);
    for (let n = 0; n < ${rounds}; n++) port.alone(() => {
      port.read(0, [sector]);
      const view = new DataView(sector.buffer);
      view.setUint32(0, view.getUint32(0) + 1);
      port.write(0, [sector]);
    });
    parentPort.postMessage('done');
  });`;

/** A raw one and an overlay. */
async function disks(name: string) {
  const [raw, backing, path] = ['raw', 'backing', 'overlay'].map((kind) =>
    join(directory, `${name}.${kind}`)) as [string, string, string];
  for (const image of [raw, backing]) writeFileSync(image, new Uint8Array(64 * 512));
  await makeOverlay(path, backing);
  return [openDisk({ path: raw }), openDisk({ path, backing })];
}

test('two threads that work for one disk lose nothing of each other', async () => {
  for (const disk of await disks('adding')) {
    const workerData = { disk, modulePath };
    const workers = [1, 2].map(() => new Worker(adding, { eval: true, workerData }));
    await Promise.all(workers.map((worker) => new Promise((resolve, reject) => {
      worker.once('exit', resolve);
      worker.once('error', reject);
    })));
    const sector = new Uint8Array(512);
    const port = diskPort(disk);
    port.read(0, [sector]);
    assert.equal(new DataView(sector.buffer).getUint32(0), 2 * rounds);
    port.close();
  }
});

test('closed by one thread it is closed for all', async () => {
  for (const disk of await disks('closing')) {
    const [one, other] = [diskPort(disk), diskPort(disk)];
    assert.equal(other.alone(() => 7), 7);
    one.close();
    assert.throws(() => other.alone(() => 7), /closed/);
    assert.throws(() => one.close(), /closed/);
  }
});
