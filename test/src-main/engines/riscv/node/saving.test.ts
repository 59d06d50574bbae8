/** How a machine's process is asked to be saved: it stands still exactly as long as it has to. */
import { after, test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Refusal } from '../../../../../src-main/base/refusal.ts';
import {
  askControl,
  openControlDoor,
  whileAsked,
} from '../../../../../src-main/engines/riscv/node/control-door.ts';
import { Saving } from '../../../../../src-main/engines/riscv/node/saving.ts';

const directory = mkdtempSync(join(tmpdir(), 'nymph-saving-'));
const path = join(directory, 'control');
const file = join(directory, 'state');
const said: string[] = [];
let full = false;
const { promise: ended, resolve: end } = Promise.withResolvers<void>();
const saving = new Saving(async () => end(), (folder) => `beside ${folder}`);
saving.power = {
  still: { hold: async () => void said.push('hold'), release: () => void said.push('release') },
  save: async (to, beside) => {
    assert.equal(beside, `beside ${dirname(directory)}`);
    if (full) throw new Refusal('no-space', 'The disk became full.');
    return said.push(`save ${to}`);
  },
};
const door = openControlDoor(path, saving.verbs());
after(() => {
  door.close();
  rmSync(directory, { recursive: true });
});
const ask = (words: { do: string; path?: string }) => askControl(path, words, 2000);

async function until(count: number): Promise<void> {
  while (said.length < count) await new Promise((resolve) => setTimeout(resolve, 2));
}

test('it is held while who asked keeps the connection, and saved in between', async () => {
  await whileAsked(path, { do: 'hold' }, 2000, async () => {
    await assert.rejects(ask({ do: 'hold' }), { code: 'in-use' });
    await ask({ do: 'save', path: file });
    assert.deepEqual(said, ['hold', `save ${file}`]);
  });
  await until(3);
  assert.deepEqual(said.splice(0), ['hold', `save ${file}`, 'release']);
});

test('one that is not held is not saved, for it moves', async () => {
  await assert.rejects(ask({ do: 'save', path: file }), { code: 'wrong-state' });
  assert.deepEqual(said, []);
});

test('one that cannot be written goes on', async () => {
  full = true;
  await assert.rejects(ask({ do: 'suspend', path: file }), { code: 'no-space' });
  assert.deepEqual(said.splice(0), ['hold', 'release']);
});

test('one that is suspended ends without having gone on', async () => {
  full = false;
  await ask({ do: 'suspend', path: file });
  await ended;
  assert.deepEqual(said.splice(0), ['hold', `save ${file}`]);
});

test('one that is not on refuses', async () => {
  saving.power = undefined;
  await assert.rejects(ask({ do: 'suspend', path: file }), { code: 'wrong-state' });
});
