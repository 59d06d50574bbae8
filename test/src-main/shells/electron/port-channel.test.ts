/**
 * A channel over an Electron port, and two channels joined, tried on Node's own MessagePort,
 * which has the same face.
 */
import { suite, test } from 'node:test';
import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { join, portChannel, type Port } from '../../../../src-main/shells/electron/port-channel.ts';
import { bundleOf } from '../../../../src-main/shells/electron/bundle.ts';

/** A port whose messages are wrapped as `{data}`, as Electron's are. */
class FakePort extends EventEmitter implements Port {
  readonly sent: unknown[] = [];
  closed = 0;
  started = false;
  postMessage(message: unknown): void {
    this.sent.push(message);
  }
  start(): void {
    this.started = true;
  }
  close(): void {
    this.closed++;
    this.emit('close');
  }
}

suite('a port’s channel', () => {
  test('passes text and bytes both ways, and nothing once it is closed', () => {
    const port = new FakePort();
    const channel = portChannel(port);
    const heard: unknown[] = [];
    channel.onMessage = (message) => heard.push(message);
    assert.ok(port.started);
    port.emit('message', { data: 'a' });
    port.emit('message', { data: new Uint8Array([1]) });
    channel.send('b');
    assert.deepEqual(heard, ['a', new Uint8Array([1])]);
    channel.close();
    channel.close();
    channel.send('c');
    assert.deepEqual(port.sent, ['b']);
    assert.equal(port.closed, 1);
  });

  test('is closed by a message that is neither text nor bytes', () => {
    const port = new FakePort();
    const channel = portChannel(port);
    let ended = 0;
    channel.onClose = () => ended++;
    port.emit('message', { data: { method: 'host.quit' } });
    assert.equal(ended, 1);
  });
});

test('two joined channels pass everything on and close together', () => {
  const [one, other] = [new FakePort(), new FakePort()];
  join(portChannel(one), portChannel(other));
  one.emit('message', { data: 'to' });
  other.emit('message', { data: 'fro' });
  assert.deepEqual([one.sent, other.sent], [['fro'], ['to']]);
  one.close();
  assert.equal(other.closed, 1);
});

test('the last .nymph word of a command line is the bundle to open', () => {
  assert.equal(bundleOf(['nymph', '--x', 'a.nymph', 'b.nymph'], '/home/u'), '/home/u/b.nymph');
  assert.equal(bundleOf(['nymph', '/x/a.nymph'], '/home/u'), '/x/a.nymph');
  assert.equal(bundleOf(['nymph', '--file=a.nymph', 'a.iso'], '/home/u'), undefined);
  assert.equal(bundleOf(['a.nymph'], '/home/u'), undefined);
});
