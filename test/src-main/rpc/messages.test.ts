/** Messages of a stream whose first byte says something: a reader that is slow gets them whole. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Client } from '../../../src-main/rpc/client.ts';
import { Connection, type Caller } from '../../../src-main/rpc/server.ts';
import { channelPair, settled } from '../../support/channel-pair.ts';

const content = Uint8Array.from({ length: 200_000 }, (_, index) => (index * 7) % 256);
const message = (n: number) => content.subarray(n * 1000, n * 1000 + 5000 + n * 7);
const count = 150;

test('they come as they were sent, though they are more than the credit', async () => {
  const { near, far } = channelPair();
  const api = {
    call: async (_method: string, _params: unknown, { stream }: Caller) => {
      for (let n = 0; n < count; n++) await stream!.sendWhole(message(n));
      return { code: 0 };
    },
    connected: () => {},
    disconnected: () => {},
  };
  new Connection(far, api, { trusted: true });
  let taken = 0;
  const wanted = { machine: 'one', argv: ['x'] };
  const stream = new Client(near).open('machine.exec', wanted, async (bytes) => {
    await settled();
    assert.deepEqual(bytes, message(taken++));
  });
  assert.deepEqual(await stream.result, { code: 0 });
  assert.equal(taken, count);
});
