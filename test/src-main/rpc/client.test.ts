/** The client as a writer: what it keeps while nobody takes it, and what its caller is told. */
import { suite, test } from 'node:test';
import assert from 'node:assert/strict';
import { Client, waitingBytesMax } from '../../../src-main/rpc/client.ts';
import { Connection, type Caller } from '../../../src-main/rpc/server.ts';
import { creditBytes } from '../../../src-main/rpc/wire.ts';
import { channelPair, settled } from '../../support/channel-pair.ts';

function joined(call: (caller: Caller) => Promise<unknown>): Client {
  const { near, far } = channelPair();
  const api = {
    call: (_method: string, _params: unknown, caller: Caller) => call(caller),
    connected() {},
    disconnected() {},
  };
  new Connection(far, api, { trusted: true });
  return new Client(near);
}

const console0 = { machine: 'web' };
const forever = () => new Promise<never>(() => {});

suite('bytes that are written', () => {
  test('that nobody takes hold their writer back, and are never kept without limit', async () => {
    const client = joined(forever);
    const stream = client.open('console.attach', console0, () => {});
    stream.result.catch(() => {});
    await stream.write(new Uint8Array(creditBytes));
    let gone = false;
    const waiting = stream.write(new Uint8Array(waitingBytesMax)).then(() => (gone = true));
    await settled();
    assert.equal(gone, false);
    assert.throws(() => stream.write(new Uint8Array(1)), { code: 'no-space' });
    client.close();
    await waiting;
  });

  test('tell their writer when they are on their way, one after another', async () => {
    const takers: (() => void)[] = [];
    const client = joined(({ stream }) => {
      stream!.onBytes = () => new Promise<void>((taken) => takers.push(taken));
      return forever();
    });
    const stream = client.open('console.attach', console0, () => {});
    stream.result.catch(() => {});
    const order: number[] = [];
    for (const write of [0, 1, 2]) {
      void stream.write(new Uint8Array(creditBytes)).then(() => order.push(write));
    }
    await settled();
    assert.deepEqual(order, [0]);
    takers.splice(0).forEach((taken) => taken());
    await settled();
    assert.deepEqual(order, [0, 1]);
    client.close();
  });
});
