/**
 * Client and server over one channel: calls, refusals, streams within their credit both ways, and
 * what becomes of either side when the other breaks the protocol or goes away.
 */
import { suite, test } from 'node:test';
import assert from 'node:assert/strict';
import { Refusal } from '../../../src-main/base/refusal.ts';
import type { MethodName } from '../../../src-main/contract/methods.ts';
import { Client } from '../../../src-main/rpc/client.ts';
import { Connection, type Api, type Caller } from '../../../src-main/rpc/server.ts';
import { creditBytes, packBytes, unpackBytes } from '../../../src-main/rpc/wire.ts';
import { channelPair, settled, type MemoryChannel } from '../../support/channel-pair.ts';

type Handler = (params: Record<string, unknown>, caller: Caller) => unknown;

class TableApi implements Api {
  readonly calls: { method: MethodName; params: unknown }[] = [];
  readonly gone: Connection[] = [];
  private readonly handlers: Partial<Record<MethodName, Handler>>;

  constructor(handlers: Partial<Record<MethodName, Handler>>) {
    this.handlers = handlers;
  }

  async call(method: MethodName, params: unknown, caller: Caller): Promise<unknown> {
    this.calls.push({ method, params });
    return this.handlers[method]?.(params as Record<string, unknown>, caller);
  }

  connected(): void {}

  disconnected(connection: Connection): void {
    this.gone.push(connection);
  }
}

function joined(handlers: Partial<Record<MethodName, Handler>> = {}) {
  const { near, far } = channelPair();
  const api = new TableApi(handlers);
  const connection = new Connection(far, api, { trusted: true });
  return { client: new Client(near), near, far, api, connection };
}

/** A server with a hand-written client: `say` sends, `heard` is every control answer. */
function bare(handlers: Partial<Record<MethodName, Handler>> = {}) {
  const { near, far } = channelPair();
  const api = new TableApi(handlers);
  new Connection(far, api, { trusted: false });
  const heard: Record<string, unknown>[] = [];
  near.onMessage = (message) => {
    if (typeof message === 'string') heard.push(JSON.parse(message) as Record<string, unknown>);
  };
  const say = async (message: unknown) => {
    near.send(message instanceof Uint8Array ? message : JSON.stringify(message));
    await settled();
  };
  return { near, api, heard, say };
}

const console0 = { machine: 'web' };
const forever = () => new Promise<never>(() => {});

suite('a call', () => {
  test('arrives with its defaults filled in and its answer comes back', async () => {
    const { client, api } = joined({
      'machine.remove': () => null,
      'host.info': () => ({ cpus: 2 }),
    });
    assert.equal(await client.call('machine.remove', { machine: 'web' }), null);
    assert.deepEqual(api.calls, [
      { method: 'machine.remove', params: { machine: 'web', force: false, children: false } },
    ]);
    assert.deepEqual(await client.call('host.info', {}), { cpus: 2 });
  });

  test('that is refused rejects with the same code, sentence and place', async () => {
    const { client } = joined({
      'machine.setConfig': () => {
        throw new Refusal('bad-input', 'Line 3 is odd.', { line: 3, column: 7 });
      },
    });
    await assert.rejects(
      client.call('machine.setConfig', { machine: 'a', text: '' }),
      (refusal) => {
        assert.ok(refusal instanceof Refusal);
        const { code, message, at } = refusal;
        assert.deepEqual(
          { code, message, at },
          {
            code: 'bad-input',
            message: 'Line 3 is odd.',
            at: { line: 3, column: 7 },
          },
        );
        return true;
      },
    );
  });

  test('that meets a defect says `internal`, and the connection goes on', async () => {
    const { client } = joined({
      'host.info': () => {
        throw new TypeError('x is not a function');
      },
      'machine.list': () => [],
    });
    await assert.rejects(client.call('host.info', {}), { code: 'internal' });
    assert.deepEqual(await client.call('machine.list', {}), []);
  });

  test('many at once are answered each with its own, in any order', async () => {
    const waiting: (() => void)[] = [];
    const { client } = joined({
      'machine.config': ({ machine }) =>
        new Promise((resolve) => waiting.push(() => resolve({ text: machine }))),
    });
    const answers = ['a', 'b', 'c'].map((machine) => client.call('machine.config', { machine }));
    await settled();
    for (const answer of waiting.reverse()) answer();
    assert.deepEqual(
      (await Promise.all(answers)).map(({ text }) => text),
      ['a', 'b', 'c'],
    );
  });

  test('to a method that does not exist, or with wrong parameters, is `usage`', async () => {
    const { client, api } = joined();
    await assert.rejects(client.call('machine.fly' as 'machine.list', {}), {
      code: 'usage',
      message: 'There is no method “machine.fly”.',
    });
    for (const name of ['constructor', '__proto__', 'toString']) {
      await assert.rejects(client.call(name as 'machine.list', {}), { code: 'usage' });
    }
    await assert.rejects(client.call('machine.get', {} as { machine: string }), (refusal) => {
      assert.equal((refusal as Refusal).code, 'usage');
      assert.match((refusal as Refusal).message, /^machine: /);
      return true;
    });
    const extra = { machine: 'a', colour: 'red' } as { machine: string };
    await assert.rejects(client.call('machine.get', extra), { code: 'usage' });
    assert.deepEqual(api.calls, [], 'nothing of it reached the api');
  });

  test('can be taken back', async () => {
    const { client } = joined({
      'job.wait': (_, { signal }) =>
        new Promise((_resolve, reject) =>
          signal.addEventListener('abort', () => reject(new Refusal('cancelled', 'Cancelled.'))),
        ),
    });
    const late = new AbortController();
    const answer = client.call('job.wait', { job: 'job-1' }, late.signal);
    await settled();
    late.abort();
    await assert.rejects(answer, { code: 'cancelled' });
    await assert.rejects(client.call('job.wait', { job: 'job-1' }, AbortSignal.abort()), {
      code: 'cancelled',
    });
  });
});

suite('events', () => {
  test('reach whoever listens until he stops', async () => {
    const { client, connection } = joined();
    const heard: string[] = [];
    const stop = client.on('machine.removed', ({ id }) => heard.push(id));
    connection.emit('machine.removed', { id: 'a' });
    await settled();
    stop();
    connection.emit('machine.removed', { id: 'b' });
    await settled();
    assert.deepEqual(heard, ['a']);
  });

  test('cut off a client that reads none of them, before they fill the memory', async () => {
    const { connection, far, api } = joined();
    connection.emit('machine.removed', { id: 'one' });
    assert.equal(far.log.length, 1);
    Object.defineProperty(far, 'pendingBytes', { value: 33 << 20 });
    connection.emit('machine.removed', { id: 'two' });
    assert.equal(far.log.length, 1);
    assert.deepEqual(api.gone, [connection]);
  });
});

suite('a client that breaks the protocol is told once and cut off', () => {
  const wrong: [string, unknown][] = [
    ['something that is not JSON', '{'],
    ['JSON that is no message', '[1, 2]'],
    ['a number beyond its range', JSON.stringify({ id: -1, method: 'host.info', params: {} })],
    ['a message with words too many', JSON.stringify({ cancel: 1, please: true })],
    ['negative credit', JSON.stringify({ credit: 1, bytes: -5 })],
    ['a binary message without its number', new Uint8Array([1, 2])],
  ];
  for (const [what, message] of wrong) {
    test(what, async () => {
      const { near, api, heard } = bare({ 'host.info': () => 1 });
      near.send(message as string);
      // Whatever comes behind it is not looked at any more.
      near.send(JSON.stringify({ id: 7, method: 'host.info', params: {} }));
      await settled();
      assert.equal(heard.length, 1);
      assert.equal((heard[0]!['error'] as { code: string }).code, 'bad-input');
      assert.ok(near.closed);
      assert.equal(api.gone.length, 1);
      assert.deepEqual(api.calls, []);
    });
  }

  test('one number for two calls', async () => {
    const { near, say } = bare({ 'host.info': forever });
    await say({ id: 1, method: 'host.info', params: {} });
    await say({ id: 1, method: 'host.info', params: {} });
    assert.ok(near.closed);
  });

  test('more calls at once than anybody needs', async () => {
    const { near, api } = bare({ 'host.info': forever });
    for (let id = 1; id <= 1025; id++) {
      near.send(JSON.stringify({ id, method: 'host.info', params: {} }));
    }
    await settled();
    assert.ok(near.closed);
    assert.equal(api.calls.length, 1024);
  });

  test('more bytes on a stream than it was granted', async () => {
    const { near, say } = bare({
      'console.attach': (_, { stream }) => {
        stream!.onBytes = forever;
        return forever();
      },
    });
    await say({ id: 1, method: 'console.attach', params: console0 });
    await say(packBytes(1, new Uint8Array(creditBytes)));
    assert.ok(!near.closed, 'all of the credit may be used');
    await say(packBytes(1, new Uint8Array(1)));
    assert.ok(near.closed);
  });

  test('but credit, cancel and bytes for a call that has ended are simply late', async () => {
    const { near, say, heard } = bare({ 'host.info': () => 5 });
    await say({ cancel: 9 });
    await say({ credit: 9, bytes: 10 });
    await say({ end: 9 });
    await say(packBytes(9, new Uint8Array(10)));
    await say({ id: 9, method: 'host.info', params: {} });
    assert.ok(!near.closed);
    assert.deepEqual(heard, [{ id: 9, result: 5 }]);
  });
});

/** The most bytes of one stream that were ever under way, from what an end sent and was granted. */
function underWayMax(sender: MemoryChannel, receiver: MemoryChannel, granted: number): number {
  let most = 0;
  let sent = 0;
  let taken = 0;
  const tap = (channel: MemoryChannel, see: (message: string | Uint8Array) => void) => {
    const send = channel.send.bind(channel);
    channel.send = (message) => {
      see(message);
      send(message);
    };
  };
  tap(sender, (message) => {
    if (typeof message !== 'string') sent += unpackBytes(message).payload.length;
    most = Math.max(most, sent - taken);
    assert.ok(sent - taken <= granted, `${sent - taken} bytes under way`);
  });
  tap(receiver, (message) => {
    if (typeof message !== 'string' || !message.startsWith('{"credit"')) return;
    const { bytes } = JSON.parse(message) as { bytes: number };
    if (bytes !== granted || sent > 0) taken += bytes;
  });
  return most;
}

suite('the bytes of a stream', () => {
  const total = 3 * creditBytes + 12_345;
  const content = Uint8Array.from({ length: total }, (_, index) => (index * 7) % 256);

  test('come down whole and in order, never more under way than the credit', async () => {
    const { client, near, far } = joined({
      'console.log': (_, { stream }) => stream!.sendAll(content).then(() => null),
    });
    underWayMax(far, near, creditBytes);
    const parts: Uint8Array[] = [];
    const stream = client.open('console.log', console0, async (bytes) => {
      await settled();
      parts.push(bytes);
    });
    assert.equal(await stream.result, null);
    assert.deepEqual(new Uint8Array(Buffer.concat(parts)), content, 'the result came after them');
  });

  test('go up whole and in order, never more under way than the credit', async () => {
    const parts: Uint8Array[] = [];
    const { client, near, far } = joined({
      'console.attach': (_, { stream }) => {
        stream!.onBytes = async (bytes) => {
          await settled();
          parts.push(bytes);
        };
        return new Promise((resolve) => (stream!.onEnd = () => resolve(null)));
      },
    });
    underWayMax(near, far, creditBytes);
    const stream = client.open('console.attach', console0, () => {});
    for (let at = 0; at < total; at += 50_000) stream.write(content.subarray(at, at + 50_000));
    stream.end();
    await stream.result;
    await settled();
    assert.deepEqual(new Uint8Array(Buffer.concat(parts)), content);
  });

  test('a server that sends beyond its credit is stopped by its own port', async () => {
    const { client } = joined({
      'console.log': (_, { stream }) => stream!.send(new Uint8Array(creditBytes + 1)),
    });
    const { result } = client.open('console.log', console0, () => {});
    await assert.rejects(result, { code: 'internal' });
  });

  test('a reader that takes nothing holds its own sender and no other', async () => {
    let reached = 0;
    const { client } = joined({
      'console.log': async ({ machine }, { stream }) => {
        await stream!.sendAll(content);
        if (machine === 'stuck') reached++;
        return null;
      },
    });
    const stuck = client.open('console.log', { machine: 'stuck' }, forever);
    stuck.result.catch(() => {});
    await client.open('console.log', { machine: 'quick' }, () => {}).result;
    assert.equal(reached, 0);
    client.close();
  });

  test('that come before the server listens wait for it, and so does their end', async () => {
    const heard: string[] = [];
    let listen = () => {};
    const { client } = joined({
      'machine.run': async (_, { stream }) => {
        await new Promise<void>((resolve) => (listen = resolve));
        return new Promise((resolve) => {
          stream!.onBytes = (bytes) => void heard.push(new TextDecoder().decode(bytes));
          stream!.onEnd = () => resolve({ code: heard.length });
        });
      },
    });
    const stream = client.open('machine.run', { argv: ['cat'] }, () => {});
    stream.write(new TextEncoder().encode('one '));
    stream.write(new TextEncoder().encode('two'));
    stream.end();
    await settled();
    assert.deepEqual(heard, []);
    listen();
    assert.deepEqual(await stream.result, { code: 2 });
    assert.equal(heard.join(''), 'one two');
  });

  test('that the server cannot take end that call alone', async () => {
    const { client } = joined({
      'console.attach': (_, { stream, signal }) => {
        stream!.onBytes = () => Promise.reject(new Error('broken pipe'));
        return new Promise((resolve) => signal.addEventListener('abort', () => resolve(null)));
      },
      'machine.list': () => [],
    });
    const stream = client.open('console.attach', console0, () => {});
    stream.write(new Uint8Array(3));
    assert.equal(await stream.result, null);
    assert.deepEqual(await client.call('machine.list', {}), []);
  });

  test('that the client’s sink cannot take refuse that stream alone', async () => {
    let aborted = 0;
    const { client } = joined({
      'console.attach': (_, { stream, signal }) => {
        stream!.send(new Uint8Array(9));
        signal.addEventListener('abort', () => aborted++);
        return forever();
      },
      'machine.list': () => [],
    });
    const stream = client.open('console.attach', console0, () => {
      throw new Error('no room');
    });
    await assert.rejects(stream.result, { message: 'no room' });
    await settled();
    assert.equal(aborted, 1);
    assert.deepEqual(await client.call('machine.list', {}), []);
  });

  test('stop when the client cancels', async () => {
    let aborted = false;
    const { client } = joined({
      'console.attach': (_, { signal }) =>
        new Promise((resolve) =>
          signal.addEventListener('abort', () => {
            aborted = true;
            resolve(null);
          }),
        ),
    });
    const stream = client.open('console.attach', console0, () => {});
    await settled();
    stream.cancel();
    await stream.result;
    assert.ok(aborted);
    stream.write(new Uint8Array(1));
    stream.cancel();
    await settled();
  });
});

suite('when one side goes away', () => {
  test('the server ends the client’s calls and forgets it', async () => {
    const signals: AbortSignal[] = [];
    const { client, api } = joined({
      'job.wait': (_, { signal }) => {
        signals.push(signal);
        return forever();
      },
      'console.attach': (_, { signal }) => {
        signals.push(signal);
        return forever();
      },
    });
    client.call('job.wait', { job: 'j' }).catch(() => {});
    client.open('console.attach', console0, () => {}).result.catch(() => {});
    await settled();
    client.close();
    await settled();
    assert.deepEqual(
      signals.map((signal) => signal.aborted),
      [true, true],
    );
    assert.equal(api.gone.length, 1);
  });

  test('a sender that waits for credit is woken and gives up', async () => {
    let ending: unknown;
    const { client } = joined({
      'console.log': (_, { stream }) =>
        stream!.sendAll(new Uint8Array(creditBytes * 2)).catch((thrown: unknown) => {
          ending = thrown;
        }),
    });
    client.open('console.log', console0, forever).result.catch(() => {});
    await settled();
    client.close();
    await settled();
    assert.ok(ending instanceof Error);
  });

  test('the client’s calls and streams are refused, now and later', async () => {
    const { client, connection } = joined({ 'job.wait': forever, 'console.attach': forever });
    let told: Refusal | undefined;
    client.onClose = (reason) => (told = reason);
    const call = client.call('job.wait', { job: 'j' });
    const stream = client.open('console.attach', console0, () => {});
    const refused = [call, stream.result].map((each) =>
      assert.rejects(each, { code: 'unavailable' }),
    );
    await settled();
    connection.close();
    await Promise.all(refused);
    assert.equal(told?.code, 'unavailable');
    await assert.rejects(client.call('host.info', {}), { code: 'unavailable' });
    await assert.rejects(client.open('console.log', console0, () => {}).result, {
      code: 'unavailable',
    });
  });

  test('a server that talks nonsense loses its client, which says why', async () => {
    for (const nonsense of ['{', '{"id":1}', '{"id":1,"error":{"code":"odd","message":""}}']) {
      const { near, far } = channelPair();
      const client = new Client(near);
      const answer = client.call('host.info', {});
      const refused = assert.rejects(answer, { code: 'bad-input' });
      far.send(nonsense);
      await refused;
      assert.ok(near.closed);
    }
  });
});
