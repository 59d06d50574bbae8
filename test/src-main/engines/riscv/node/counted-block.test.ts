/** A disk's file is let go of only when nothing is under way. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { CountedBlock } from '../../../../../src-main/engines/riscv/node/counted-block.ts';

function slowDisk() {
  const said: string[] = [];
  const gate = Promise.withResolvers<void>();
  const block = new CountedBlock({
    sectorCount: 8,
    readOnly: false,
    read: () => gate.promise.then(() => void said.push('read')),
    write: () => Promise.reject(new Error('no')),
    flush: () => void said.push('flush'),
    discard: () => {
      throw new Error('no');
    },
    close: () => void said.push('close'),
  });
  return { block, said, open: gate.resolve };
}

test('closing waits for what is under way, whether it ends well or not', async () => {
  const { block, said, open } = slowDisk();
  const reading = block.read(0, new Uint8Array(512));
  await assert.rejects(async () => block.write(0, new Uint8Array(512)));
  await assert.rejects(async () => block.discard(0, 1));
  await block.flush();
  const closing = block.close();
  assert.deepEqual(said, ['flush']);
  open();
  await Promise.all([reading, closing]);
  assert.deepEqual(said, ['flush', 'read', 'close']);
});

test('a closed disk fails requests, and is closed once', async () => {
  const { block, said } = slowDisk();
  await block.close();
  await block.close();
  await assert.rejects(async () => block.flush());
  assert.deepEqual(said, ['close']);
});
