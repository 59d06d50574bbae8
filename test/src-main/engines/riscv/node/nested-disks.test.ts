/** Which disk a machine inside a portable one has where, kept for a new server. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { disksMax } from '../../../../../src-main/engines/riscv/machine-file.ts';
import { NestedDisks } from '../../../../../src-main/engines/riscv/node/nested-disks.ts';

test('a disk gets the place it wishes for or the first free one, while there is one', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'nymph-disks-'));
  t.after(() => rmSync(directory, { recursive: true }));
  assert.deepEqual((await NestedDisks.found(directory)).all(), []);
  const disks = await NestedDisks.begin(directory, [{ id: 'root', place: 0, serial: 'm-0' }]);
  assert.equal(disks.freePlace('data', 7), 7);
  assert.equal(disks.freePlace('data', 0), 1);
  assert.equal(disks.freePlace('data', 1000), 1);
  assert.throws(() => disks.freePlace('root', 3), { code: 'exists' });
  for (let place = 1; place < disksMax; place++) {
    await disks.add({ id: `d${place}`, place, serial: `m-${place}` });
  }
  assert.throws(() => disks.freePlace('data', 1), { code: 'no-space' });
  await disks.remove('d4');
  const found = await NestedDisks.found(directory);
  assert.equal(found.freePlace('data', 0), 4);
  assert.equal(found.of('d5').serial, 'm-5');
  assert.throws(() => found.of('d4'), { code: 'not-found' });
});
