/**
 * On a host where no kernel can run yet, the mirror's newest packaged one is fetched with the C
 * library it was built with, and a machine runs on it in its compartment. Debian's stable release
 * has an older C library, with which such a kernel does not even start.
 */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nymphPaths } from '../../src-main/app/node/paths.ts';
import { fetchPackagedKernel } from '../../src-main/kernels/node/packaged.ts';
import { launch, run, started } from '../support/live.ts';

test('a machine runs on a kernel that was fetched with its own C library', async (t) => {
  const cache = mkdtempSync(join(tmpdir(), 'nk-'));
  t.after(() => rmSync(cache, { recursive: true, force: true }));
  // The server's cache: nothing of this host's may help.
  process.env['XDG_CACHE_HOME'] = cache;
  const { kernels } = nymphPaths();

  const kernel = await fetchPackagedKernel({ cacheDirectory: kernels });
  assert.match(kernel.id, /^packaged-\d/);
  for (const { file, seenAs } of kernel.sharedLibraries) {
    assert.ok(file.startsWith(cache) && file.endsWith(seenAs) && existsSync(file), file);
  }
  assert.deepEqual(readdirSync(kernels), ['installed'], 'nothing is left of the fetching');

  const { client } = await launch(t);
  assert.equal((await started(client, 'tiny')).kernel, kernel.id);
  const { stdout } = await run(client, 'tiny', 'uname -r');
  assert.equal(stdout.trim(), kernel.version);
});
