/** A home on a disk that is really full: nothing is lost, and all is told in a plain sentence. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { bubblewrap } from '../../src-main/machine/node/child.ts';

const scenario = join(import.meta.dirname, '../support/on-full-disk.ts');

test('on a full disk everything is refused whole or done whole', async () => {
  const disk = '/var/tmp';
  const child = spawn(bubblewrap, [
    ...['--bind', '/', '/', '--dev-bind', '/dev', '/dev'],
    ...['--size', String(160 << 20), '--tmpfs', disk],
    ...['--setenv', 'TMPDIR', disk],
    ...['--', process.execPath, scenario],
  ]);
  let said = '';
  child.stdout.on('data', (bytes) => (said += String(bytes)));
  child.stderr.on('data', (bytes) => (said += String(bytes)));
  const [code] = await once(child, 'close');
  assert.equal(code, 0, said);
  assert.match(said, /^an image: .*space/m);
  assert.match(said, /^settings: .*full/m);
});
