/** Messages over a byte stream: however it is cut, each arrives whole, once and in order. */
import { suite, test, type TestContext } from 'node:test';
import assert from 'node:assert/strict';
import { Duplex } from 'node:stream';
import type { Socket } from 'node:net';
import { SocketChannel } from '../../../../src-main/rpc/node/socket-channel.ts';

/** A socket whose other end is the test: `arrive` is what the network brings. */
class FakeSocket extends Duplex {
  readonly written: Buffer[] = [];
  ended = false;

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.written.push(chunk);
    done();
  }

  override _final(done: () => void): void {
    this.ended = true;
    done();
  }

  arrive(bytes: Uint8Array): void {
    this.emit('data', Buffer.from(bytes));
  }
}

function channelOf(t: TestContext) {
  const socket = new FakeSocket();
  t.after(() => socket.destroy());
  const channel = new SocketChannel(socket as unknown as Socket);
  const heard: (string | Uint8Array)[] = [];
  channel.onMessage = (message) =>
    heard.push(typeof message === 'string' ? message : new Uint8Array(message));
  return { socket, channel, heard };
}

/** What a channel writes for these messages. */
function wire(t: TestContext, messages: readonly (string | Uint8Array)[]): Buffer {
  const { socket, channel } = channelOf(t);
  for (const message of messages) channel.send(message);
  return Buffer.concat(socket.written);
}

const messages = [
  '',
  'hello',
  new Uint8Array(0),
  new Uint8Array([0, 1, 255]),
  'grüße 🐛',
  '{"a":1}',
];

suite('a channel over a socket', () => {
  test('writes a length, a kind and the content', (t) => {
    assert.deepEqual([...wire(t, ['hé'])], [0, 0, 0, 3, 0, 0x68, 0xc3, 0xa9]);
    assert.deepEqual([...wire(t, [new Uint8Array([7])])], [0, 0, 0, 1, 1, 7]);
  });

  test('understands messages that arrive all in one piece', (t) => {
    const { socket, heard } = channelOf(t);
    socket.arrive(wire(t, messages));
    assert.deepEqual(heard, messages);
  });

  test('and cut at every place, a letter of several bytes included', (t) => {
    const bytes = wire(t, messages);
    for (let cut = 0; cut <= bytes.length; cut++) {
      const { socket, heard } = channelOf(t);
      socket.arrive(bytes.subarray(0, cut));
      socket.arrive(bytes.subarray(cut));
      assert.deepEqual(heard, messages, `cut at ${cut}`);
    }
  });

  test('and byte by byte', (t) => {
    const { socket, heard } = channelOf(t);
    for (const byte of wire(t, messages)) socket.arrive(new Uint8Array([byte]));
    assert.deepEqual(heard, messages);
  });

  test('holds a long message in many parts without copying it for each', (t) => {
    const long = new Uint8Array(8 << 20).fill(3);
    const bytes = wire(t, [long]);
    const { socket, heard } = channelOf(t);
    const concat = t.mock.method(Buffer, 'concat');
    for (let at = 0; at < bytes.length; at += 4096) socket.arrive(bytes.subarray(at, at + 4096));
    assert.equal((heard[0] as Uint8Array).length, long.length);
    assert.ok(concat.mock.callCount() < 5, `${concat.mock.callCount()} copies`);
  });

  test('hangs up on a message longer than any of ours, before it is here', (t) => {
    const { socket, heard } = channelOf(t);
    socket.arrive(new Uint8Array([0xff, 0xff, 0xff, 0xff, 0, 1, 2]));
    assert.ok(socket.destroyed);
    socket.arrive(wire(t, ['more']));
    assert.deepEqual(heard, []);
  });

  test('says that the other side is gone, and a broken socket breaks nothing else', async (t) => {
    const { socket, channel } = channelOf(t);
    const closed = new Promise<void>((resolve) => (channel.onClose = resolve));
    socket.destroy(new Error('connection reset'));
    await closed;
    channel.send('into the void');
  });

  test('ends after what was sent before', async (t) => {
    const { socket, channel } = channelOf(t);
    channel.send('last words');
    channel.close();
    channel.close();
    await new Promise((resolve) => setImmediate(resolve));
    assert.ok(socket.ended);
    assert.equal(Buffer.concat(socket.written).length, 15);
  });
});
