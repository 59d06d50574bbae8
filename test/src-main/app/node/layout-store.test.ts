/** Where machines stand on the canvas: kept in a file, told to every window. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { LayoutStore, placesMax } from '../../../../src-main/app/node/layout-store.ts';
import type { CanvasLayout } from '../../../../src-main/contract/things.ts';
import { Refusal } from '../../../../src-main/base/refusal.ts';

let data: string;
let machines: Set<string>;
let told: CanvasLayout[];

before(async () => {
  data = await mkdtemp(join(tmpdir(), 'nymph-layout-'));
});
after(() => rm(data, { recursive: true, force: true }));
beforeEach(async () => {
  await rm(join(data, 'layout.json'), { force: true });
  machines = new Set(['a', 'b']);
  told = [];
});

async function opened(): Promise<LayoutStore> {
  const store = new LayoutStore({
    paths: { data },
    isKnown: (machine) => machines.has(machine),
    announce: (places) => told.push(places),
  });
  await store.open();
  return store;
}

test('places are added one by one, told to everybody and there after a restart', async () => {
  const store = await opened();
  await store.set({ a: { x: 1, y: 2 } });
  await store.set({ b: { x: 3, y: 4 } });
  const both = { a: { x: 1, y: 2 }, b: { x: 3, y: 4 } };
  assert.deepEqual(told.at(-1), both);
  assert.deepEqual((await opened()).get(), both);
});

test('a machine that is gone is forgotten with the next move', async () => {
  const store = await opened();
  await store.set({ a: { x: 1, y: 2 }, b: { x: 3, y: 4 } });
  machines.delete('a');
  await store.set({ b: { x: 5, y: 6 } });
  assert.deepEqual(store.get(), { b: { x: 5, y: 6 } });
});

test('a file that cannot be read is begun anew, not a reason to stop', async () => {
  for (const text of ['{', '[]', '{"a":{"x":"left"}}', '{"a":{"x":1e300,"y":0}}']) {
    await writeFile(join(data, 'layout.json'), text);
    const store = await opened();
    assert.deepEqual(store.get(), {});
  }
});

test('more places than anybody has machines are refused, and nothing changes', async () => {
  const store = await opened();
  await store.set({ a: { x: 1, y: 2 } });
  const many = Array.from({ length: placesMax }, (_, index) => `m${index}`);
  for (const machine of many) machines.add(machine);
  const places = Object.fromEntries(many.map((machine) => [machine, { x: 0, y: 0 }]));
  await assert.rejects(store.set(places), (thrown) => {
    return thrown instanceof Refusal && thrown.code === 'no-space';
  });
  assert.deepEqual(store.get(), { a: { x: 1, y: 2 } });
});

test('moves in a row leave a whole file with the last of them', async () => {
  const store = await opened();
  await Promise.all([1, 2, 3, 4].map((x) => store.set({ a: { x, y: 0 } })));
  const kept = JSON.parse(await readFile(join(data, 'layout.json'), 'utf8')) as unknown;
  assert.deepEqual(kept, { a: { x: 4, y: 0 } });
});
