/** Which Node runs our other processes, and where it finds our files. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { nodeProgram, outsideArchive } from '../../../../src-main/base/node/program.ts';

test('under plain Node it is this one, and our files are where they are', () => {
  assert.equal(nodeProgram(), process.execPath);
  assert.equal(outsideArchive('/checkout/src-main/x.ts'), '/checkout/src-main/x.ts');
});

test('in a package a file of the archive has its double beside the archive', () => {
  const resources = '/opt/Nymph/resources';
  assert.equal(
    outsideArchive(`${resources}/app.asar/dist/main/x.js`, resources),
    `${resources}/nymph/program/dist/main/x.js`,
  );
  for (const path of ['/elsewhere/app.asar/x', `${resources}/app.asar.unpacked/x`]) {
    assert.equal(outsideArchive(path, resources), path);
  }
});
