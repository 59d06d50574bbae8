/** Parts of a machine’s folder replaced as one: all of them or none, wherever it is cut off. */
import { afterEach, beforeEach, suite, test } from 'node:test';
import assert from 'node:assert/strict';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exchange, finishExchange } from '../../../../src-main/app/node/exchange.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'nymph-exchange-'));
  mkdirSync(join(directory, 'suspended'));
  mkdirSync(join(directory, 'disks'));
  for (const name of ['suspended/state', 'disks/root', 'disks/added', 'machine.yaml', 'mine']) {
    writeFileSync(join(directory, name), 'now');
  }
});
afterEach(() => rmSync(directory, { recursive: true }));

const before = {
  'disks/added': 'now',
  'disks/root': 'now',
  'machine.yaml': 'now',
  mine: 'now',
  'suspended/state': 'now',
};
const after = { 'disks/root': 'then', 'machine.yaml': 'then', mine: 'now' };

async function fill(aside: string): Promise<void> {
  for (const name of ['disks/root', 'machine.yaml']) writeFileSync(join(aside, name), 'then');
}

/** Every file below the folder. */
function found(): Record<string, string> {
  const entries = readdirSync(directory, { withFileTypes: true, recursive: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) =>
    join(entry.parentPath, entry.name).slice(directory.length + 1)); // prettier-ignore
  return Object.fromEntries(
    paths.sort().map((path) => [path, readFileSync(join(directory, path), 'utf8')]),
  );
}

suite('an exchange of parts', () => {
  test('puts in what was made, takes out what was not, and leaves all else', async () => {
    await exchange(directory, fill);
    assert.deepEqual(found(), after);
  });

  test('whose parts cannot be made changes nothing', async () => {
    const full = exchange(directory, async (aside) => {
      await fill(aside);
      throw Object.assign(new Error('full'), { code: 'ENOSPC' });
    });
    await assert.rejects(full, { code: 'no-space' });
    assert.deepEqual(found(), before);
  });

  test('that is cut off while they are made is none', async () => {
    mkdirSync(join(directory, '.new-parts', 'disks'), { recursive: true });
    writeFileSync(join(directory, '.new-parts', 'disks', 'root'), 'half');
    await finishExchange(directory);
    assert.deepEqual(found(), before);
  });

  test('that is cut off at any move goes on from there', async () => {
    const parts = join(directory, '.parts');
    const kept = mkdtempSync(join(tmpdir(), 'nymph-exchange-'));
    try {
      mkdirSync(join(parts, 'disks'), { recursive: true });
      mkdirSync(join(parts, 'suspended'));
      await fill(parts);
      cpSync(directory, kept, { recursive: true });
      const moves = readdirSync(parts).flatMap((name) => [
        [join(directory, name), join(parts, `.old-${name}`)],
        [join(parts, name), join(directory, name)],
      ]) as [string, string][];
      for (let count = 0; count <= moves.length; count++) {
        rmSync(directory, { recursive: true });
        cpSync(kept, directory, { recursive: true });
        for (const [from, to] of moves.slice(0, count)) renameSync(from, to);
        await finishExchange(directory);
        assert.deepEqual(found(), after, `after ${count} moves`);
      }
    } finally {
      rmSync(kept, { recursive: true });
    }
  });
});
