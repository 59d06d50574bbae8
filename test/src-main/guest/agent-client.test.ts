/**
 * The client against a scripted agent and a clock that the test moves: what is hard to provoke
 * with the real one. The real one is in node/agent.test.ts.
 */
import { describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { AgentClient } from '../../../src-main/guest/agent-client.ts';
import { encodeFrame, FrameReader, type Frame } from '../../../src-main/guest/frames.ts';

function scripted() {
  const listeners = new Set<(bytes: Uint8Array) => void>();
  const reader = new FrameReader();
  const heard: Frame[] = [];
  const timers: { at: number; callback: () => void }[] = [];
  let now = 0;
  let sequence = 0;
  const client = new AgentClient(
    {
      write: (bytes) => void heard.push(...reader.push(bytes)),
      onBytes: (listener) => {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    },
    {
      nonce: 0x01020304,
      timers: {
        set: (callback, delayMs) => {
          const timer = { at: now + delayMs, callback };
          timers.push(timer);
          return timer;
        },
        clear: (handle) => {
          const at = timers.indexOf(handle as (typeof timers)[number]);
          if (at >= 0) timers.splice(at, 1);
        },
      },
    },
  );
  const say = (type: number, session: number, ...payload: number[]) => {
    sequence = (sequence + 1) & 0xffff;
    const bytes = encodeFrame({ type, session, sequence, payload: Uint8Array.from(payload) });
    for (const listener of listeners) listener(bytes);
  };
  return {
    client,
    heard,
    listeners,
    say,
    /** Answers the latest hello. */
    greet(booted = 1, version = 1, taken = 0) {
      const nonce = heard.findLast((frame) => frame.type === 1)?.payload ?? [];
      const names = [...new TextEncoder().encode('7.2\0x86_64\0init\0box\0')];
      say(65, 0, version, 0, booted, 0, ...nonce, taken & 255, taken >> 8, 0, 0, ...names);
    },
    restart: () => say(65, 0, 1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0),
    skip: () => (sequence += 3),
    pass(ms: number) {
      const until = now + ms;
      for (;;) {
        const due = timers.filter((timer) => timer.at <= until).sort((a, b) => a.at - b.at)[0];
        if (!due) break;
        timers.splice(timers.indexOf(due), 1);
        now = due.at;
        due.callback();
      }
      now = until;
    },
    timers,
  };
}

async function attached() {
  const peer = scripted();
  const ready = peer.client.ready(1000);
  peer.greet();
  await ready;
  return peer;
}

/** A command runs; of three hellos only the first is answered yet. */
async function attachedLate() {
  const peer = scripted();
  const ready = peer.client.ready(60_000);
  peer.pass(300);
  assert.equal(peer.heard.length, 3);
  peer.greet();
  await ready;
  return { peer, session: peer.client.exec({ argv: ['cat'] }) };
}

describe('the first words', () => {
  it('are repeated with longer pauses until they are answered', async () => {
    const peer = scripted();
    const hello = peer.client.hello(60_000);
    peer.pass(10_000);
    const count = peer.heard.length;
    assert.ok(count > 5 && count < 15);
    peer.greet();
    assert.equal((await hello).release, '7.2');
    peer.pass(60_000);
    assert.equal(peer.heard.length, count);
  });

  it('time out in plain words, and are then not repeated', async () => {
    const peer = scripted();
    const hello = peer.client.hello(500);
    peer.pass(500);
    await assert.rejects(hello, { code: 'timeout' });
    assert.equal(peer.timers.length, 0);
  });

  it('refuse an agent of another version', async () => {
    const peer = scripted();
    const ready = peer.client.ready(500);
    peer.greet(1, 2);
    await assert.rejects(ready, { code: 'unsupported' });
  });

  it('wait for the guest’s init, or end with the reason why it never came', async () => {
    const peer = scripted();
    const ready = peer.client.ready(5000);
    peer.greet(0);
    peer.say(73, 0, ...new TextEncoder().encode('The disk is gone.'));
    await assert.rejects(ready, { code: 'unavailable', message: 'The disk is gone.' });
  });
});

describe('before the agent answers', () => {
  it('commands are refused and windows are remembered', async () => {
    const peer = scripted();
    assert.throws(() => peer.client.exec({ argv: ['ls'] }), { code: 'unavailable' });
    peer.client.setWindow('/dev/tty0', { rows: 5, columns: 6 });
    peer.client.onStats(1000, () => {});
    assert.equal(peer.heard.length, 0);
    const ready = peer.client.ready(1000);
    peer.greet();
    await ready;
    assert.deepEqual(peer.heard.map((frame) => frame.type), [1, 7, 8]);
  });

  it('what arrives belongs to another time and is not believed', async () => {
    const peer = scripted();
    peer.say(67, 1, 65);
    const ready = peer.client.ready(1000);
    peer.say(69, 1, 0, 0, 0, 0, 0);
    peer.greet();
    await ready;
  });
});

describe('a line that loses frames', () => {
  it('ends its commands, greets under a new number, and goes on', async () => {
    const peer = await attached();
    const session = peer.client.exec({ argv: ['cat'] });
    peer.skip();
    peer.say(66, 1, 1, 0, 0, 0);
    await assert.rejects(session.exit, { code: 'unavailable' });
    const hello = peer.heard.at(-1);
    assert.equal(hello?.type, 1);
    assert.notDeepEqual([...(hello?.payload ?? [])], [4, 3, 2, 1]);
    peer.greet();
    assert.equal(peer.client.guest?.hostname, 'box');
  });

  it('is asked after a silence; what was sent and not taken shows the loss', async () => {
    const peer = await attached();
    const session = peer.client.exec({ argv: ['cat'] });
    void session.write(new Uint8Array(8000));
    peer.pass(3000);
    assert.equal(peer.heard.at(-1)?.type, 1, 'a hello goes ahead of what waits');
    peer.greet(1, 1, 3);
    await assert.rejects(session.exit, { code: 'unavailable' });
  });

  it('whose agent is late with its answers to first hellos loses nothing', async () => {
    const { peer, session } = await attachedLate();
    peer.pass(3000);
    assert.equal(peer.heard.at(-1)?.type, 1, 'asked what it has taken');
    for (const _ of ['second', 'third']) peer.greet();
    peer.say(69, 1, 0, 0, 0, 0, 0);
    assert.deepEqual(await session.exit, { kind: 'exited', code: 0 });
  });

  it('is asked again where first hellos may have been lost as well', async () => {
    const { peer, session } = await attachedLate();
    for (const _ of ['second', 'third', 'neither']) {
      peer.pass(3000);
      peer.greet();
    }
    await assert.rejects(session.exit, { code: 'unavailable' });
  });

  it('that is only slow, as of a paused machine, loses nothing', async () => {
    const peer = await attached();
    const session = peer.client.exec({ argv: ['cat'] });
    void session.write(new Uint8Array(1600));
    peer.pass(600_000);
    const hellos = peer.heard.filter((frame) => frame.type === 1).length;
    assert.equal(hellos, 2, 'one question is enough');
    const sent = peer.heard
      .filter((frame) => frame.type !== 1)
      .reduce((sum, frame) => sum + encodeFrame(frame).length, 0);
    peer.greet(1, 1, sent);
    peer.say(69, 1, 0, 0, 0, 0, 0);
    assert.deepEqual(await session.exit, { kind: 'exited', code: 0 });
  });
});

describe('a guest that restarts', () => {
  it('ends the commands of before and gets windows and wishes again', async () => {
    const peer = await attached();
    let starts = 0;
    peer.client.onStarted(() => starts++);
    peer.client.setWindow('/dev/tty0', { rows: 5, columns: 6 });
    const session = peer.client.exec({ argv: ['cat'] });
    const before = peer.heard.length;
    peer.restart();
    await assert.rejects(session.exit, { message: 'The machine was restarted.' });
    peer.greet();
    assert.deepEqual(peer.heard.slice(before).map((frame) => frame.type), [1, 7]);
    assert.equal(starts, 1);
  });
});

describe('a hostile agent', () => {
  it('that sends more than it was granted loses the session', async () => {
    const peer = await attached();
    const gate = Promise.withResolvers<void>();
    const session = peer.client.exec({ argv: ['yes'], stdout: () => gate.promise });
    for (let i = 0; i < 33; i++) peer.say(67, 1, ...new Uint8Array(4096));
    await assert.rejects(session.exit, { code: 'bad-input' });
    gate.resolve();
  });

  it('that speaks of sessions and tokens that never were is not heard', async () => {
    const peer = await attached();
    for (const type of [66, 67, 68, 69, 70, 72]) peer.say(type, 4711, 0, 0, 0, 0, 0);
    peer.say(70, 4711, 255, 255, 255, 255);
    peer.say(71, 0, 1, 9, 9);
    assert.ok(peer.client.guest);
  });
});

describe('closing', () => {
  it('ends every wait and takes the listener off the line', async () => {
    const peer = await attached();
    const session = peer.client.exec({ argv: ['cat'] });
    const sync = peer.client.sync(1000);
    peer.client.close();
    await assert.rejects(session.exit, { code: 'cancelled' });
    await assert.rejects(sync, { code: 'cancelled' });
    await assert.rejects(peer.client.ready(10), { code: 'cancelled' });
    assert.equal(peer.listeners.size, 0);
    assert.equal(peer.timers.length, 0);
  });
});
