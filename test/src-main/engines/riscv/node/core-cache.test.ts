/** The compiled processor is kept for processes that have a cache, and made where it is not. */
import assert from 'node:assert/strict';
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { compileCore } from '../../../../../src-main/engines/riscv/cpu/core.ts';
import {
  keepCore, keptCore,
} from '../../../../../src-main/engines/riscv/node/core-cache.ts'; // prettier-ignore

const compiled = compileCore();
const directory = await mkdtemp(join(tmpdir(), 'nymph-core-'));
after(() => rmSync(directory, { recursive: true }));

test('without a cache it is compiled', () => {
  delete process.env['NODE_COMPILE_CACHE'];
  assert.deepEqual(keptCore(), compiled);
});

test('what is kept is what is compiled', async () => {
  process.env['NODE_COMPILE_CACHE'] = directory;
  assert.deepEqual(keptCore(), compiled, 'nothing is kept yet');
  assert.deepEqual(readdirSync(directory), [], 'reading keeps nothing');
  await keepCore();
  assert.equal(readdirSync(directory).length, 1);
  assert.deepEqual(keptCore(), compiled);
});

test('a kept one that is damaged is compiled anew', () => {
  const [name] = readdirSync(directory);
  writeFileSync(join(directory, name!), 'no processor');
  assert.deepEqual(keptCore(), compiled);
});
