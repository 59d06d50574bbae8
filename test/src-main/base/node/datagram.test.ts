/** Requests over unix datagrams, with both ends in this process. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { DatagramClient } from '../../../../src-main/base/node/datagram.ts';
import { Refusal } from '../../../../src-main/base/refusal.ts';
import { DatagramPeer } from '../../../support/datagram-peer.ts';

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const bytes = (value: string): Uint8Array => new TextEncoder().encode(value);
const hasCode = (code: string) => (thrown: unknown) =>
  thrown instanceof Refusal && thrown.code === code;

function folderFor(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'nymph-dgram-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

function open<T extends { close(): void }>(t: TestContext, end: T): T {
  t.after(() => end.close());
  return end;
}

test('a request collects replies until the last one', async (t) => {
  const folder = folderFor(t);
  const clientPath = join(folder, 'client');
  const peer = open(t, new DatagramPeer(join(folder, 'server'), (message) => {
    for (const part of ['a', 'b', 'c']) peer.send(clientPath, bytes(text(message) + part));
  }));
  const client = open(t, DatagramClient.open({ bindPath: clientPath }));
  const replies: string[] = [];
  await client.request(join(folder, 'server'), bytes('x'), {
    timeoutMs: 5000,
    onReply: (reply) => replies.push(text(reply)) === 3,
  });
  assert.deepEqual(replies, ['xa', 'xb', 'xc']);
});

test('a silent peer is a timeout, a missing one unavailable', async (t) => {
  const folder = folderFor(t);
  open(t, new DatagramPeer(join(folder, 'silent'), () => undefined));
  const client = open(t, DatagramClient.open());
  const options = { timeoutMs: 20, onReply: () => true };
  await assert.rejects(client.request(join(folder, 'silent'), bytes('x'), options),
    hasCode('timeout'));
  await assert.rejects(client.request(join(folder, 'none'), bytes('x'), options),
    hasCode('unavailable'));
});

test('a request can be taken back', async (t) => {
  const folder = folderFor(t);
  open(t, new DatagramPeer(join(folder, 'silent'), () => undefined));
  const client = open(t, DatagramClient.open());
  const controller = new AbortController();
  const asked = client.request(join(folder, 'silent'), bytes('x'), {
    timeoutMs: 60_000, onReply: () => true, signal: controller.signal,
  });
  controller.abort();
  await assert.rejects(asked, hasCode('cancelled'));
});

test('a path longer than a socket name is reached through its folder', async (t) => {
  const folder = folderFor(t);
  const deep = join(folder, 'd'.repeat(100), 'e'.repeat(100));
  mkdirSync(deep, { recursive: true });
  const client = open(t, DatagramClient.open());
  const options = { timeoutMs: 20, onReply: () => true };
  // Nobody can bind there, so being told so is the proof that the name was accepted.
  await assert.rejects(client.request(join(deep, 'none'), bytes('x'), options),
    hasCode('unavailable'));
});

test('a path of its own that is too long is refused', () => {
  assert.throws(() => DatagramClient.open({ bindPath: `/tmp/${'x'.repeat(120)}` }),
    hasCode('usage'));
});
