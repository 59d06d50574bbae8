/** A disk's file is let go of only when nothing is under way. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { CountedBlock } from '../../../../../src-main/engines/riscv/node/counted-block.ts';

function slowDisk() {
  const said: string[] = [];
  const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let flushes = 0;
  const block = new CountedBlock({
    sectorCount: 8,
    readOnly: false,
    read: () => void said.push('read'),
    write: () => {
      throw new Error('no');
    },
    flush: () => gates[flushes++]!.promise.finally(() => void said.push('flush')),
    discard: () => {
      throw new Error('no');
    },
    alone: (work) => work(),
    close: () => void said.push('close'),
  });
  return { block, said, gates };
}

test('closing waits for what is under way, whether it ends well or not', async () => {
  const { block, said, gates } = slowDisk();
  block.read(0, [new Uint8Array(512)]);
  assert.throws(() => block.write(0, [new Uint8Array(512)]));
  assert.throws(() => block.discard(0, 1));
  const flushes = [block.flush(), block.flush()] as Promise<void>[];
  const ended = Promise.allSettled(flushes);
  const closing = block.close();
  assert.deepEqual(said, ['read']);
  gates[0]!.resolve();
  await flushes[0];
  assert.deepEqual(said, ['read', 'flush']);
  gates[1]!.reject(new Error('no'));
  await closing;
  assert.deepEqual(said, ['read', 'flush', 'flush', 'close']);
  assert.deepEqual((await ended).map(({ status }) => status), ['fulfilled', 'rejected']);
});

test('a closed disk fails requests, and is closed once', async () => {
  const { block, said } = slowDisk();
  await block.close();
  await block.close();
  assert.throws(() => block.read(0, [new Uint8Array(512)]));
  assert.throws(() => block.flush());
  assert.deepEqual(said, ['close']);
});
