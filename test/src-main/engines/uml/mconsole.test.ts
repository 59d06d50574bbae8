/** The management console's datagrams: what we say, and whatever a kernel may answer. */
import { suite, test } from 'node:test';
import assert from 'node:assert/strict';
import { Refusal } from '../../../../src-main/base/refusal.ts';
import { decodeReply, encodeRequest } from '../../../../src-main/engines/uml/mconsole.ts';

function reply(error: number, more: number, text: string, length = text.length): Uint8Array {
  const message = new Uint8Array(12 + 512);
  const view = new DataView(message.buffer);
  [error, more, length].forEach((value, index) => view.setUint32(index * 4, value, true));
  message.set(new TextEncoder().encode(text), 12);
  return message;
}

suite('a request', () => {
  test('is magic, version, length and 512 bytes of command', () => {
    const message = encodeRequest('version');
    assert.equal(message.length, 524);
    assert.deepEqual(
      [...message.subarray(0, 12)],
      [0xbe, 0xba, 0xfe, 0xca, 2, 0, 0, 0, 7, 0, 0, 0],
    );
    assert.equal(new TextDecoder().decode(message.subarray(12, 19)), 'version');
    assert.ok(message.subarray(19).every((byte) => byte === 0));
  });

  test('leaves room for the kernel’s closing zero', () => {
    encodeRequest('x'.repeat(511));
    assert.throws(() => encodeRequest('x'.repeat(512)), /invariant/);
    assert.throws(() => encodeRequest('ä'.repeat(256)), /invariant/);
  });
});

suite('a reply', () => {
  test('is a verdict, whether more comes, and text up to the first zero', () => {
    assert.deepEqual(decodeReply(reply(0, 0, 'OK\0rest', 7)), {
      failed: false,
      more: false,
      text: 'OK',
    });
    assert.deepEqual(decodeReply(reply(1, 1, 'no')), { failed: true, more: true, text: 'no' });
  });

  test('may lie anywhere in a larger buffer', () => {
    const inner = reply(0, 0, 'here');
    const outer = new Uint8Array(inner.length + 7);
    outer.set(inner, 7);
    assert.equal(decodeReply(outer.subarray(7)).text, 'here');
  });

  test('that is cut short or lies about its length is refused', () => {
    assert.throws(() => decodeReply(new Uint8Array(11)), { code: 'bad-input' });
    assert.throws(() => decodeReply(reply(0, 0, '', 513)), { code: 'bad-input' });
    assert.throws(() => decodeReply(reply(0, 0, '', 0xffffffff)), { code: 'bad-input' });
    assert.equal(decodeReply(reply(0, 0, '', 512)).text, '');
  });

  test('of any bytes at all is text or a refusal, never anything else', () => {
    let seed = 20261122;
    const random = () => (seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) >>> 8;
    for (let round = 0; round < 20_000; round++) {
      const message = Uint8Array.from({ length: random() % 600 }, () => random() & 255);
      // Half of them with a small length, so that the text is reached.
      if (round % 2 && message.length > 12) message.set([random() & 255, random() & 1, 0, 0], 8);
      try {
        const { text } = decodeReply(message);
        assert.ok(text.length <= message.length);
      } catch (thrown) {
        assert.ok(thrown instanceof Refusal && thrown.code === 'bad-input', String(thrown));
      }
    }
  });
});
