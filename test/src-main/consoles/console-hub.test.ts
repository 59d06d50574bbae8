/** One console and its readers: each at its own speed, and a flood that is made to rest. */
import { suite, test } from 'node:test';
import assert from 'node:assert/strict';
import {
  bytesPerSecondMax,
  ConsoleHub,
  plainLines,
  type ConsoleReader,
} from '../../../src-main/consoles/console-hub.ts';
import { scrollbackBytesMax } from '../../../src-main/consoles/scrollback.ts';

class Reader implements ConsoleReader {
  creditBytes: number;
  text = '';
  constructor(creditBytes = Infinity) {
    this.creditBytes = creditBytes;
  }
  send(bytes: Uint8Array): void {
    assert.ok(bytes.length <= this.creditBytes, 'sent beyond credit');
    this.creditBytes -= bytes.length;
    this.text += new TextDecoder('latin1').decode(bytes);
  }
}

/** A clock that only moves when somebody rests. */
function stillClock() {
  const clock = {
    now: 0,
    rested: [] as number[],
    nowMs: () => clock.now,
    delay: async (ms: number) => {
      clock.rested.push(ms);
      clock.now += ms;
    },
  };
  return clock;
}

function hubOf() {
  const clock = stillClock();
  return { clock, hub: new ConsoleHub(clock) };
}

const bytes = (text: string) => new TextEncoder().encode(text);

suite('a console', () => {
  test('shows a new reader what was kept, then what comes', () => {
    const { clock, hub } = hubOf();
    void hub.take(bytes('before '));
    const reader = new Reader();
    hub.follow(reader);
    clock.now += 1000;
    void hub.take(bytes('after'));
    assert.equal(reader.text, 'before after');
  });

  test('says where what was kept ends, between two pieces and only once', () => {
    const { clock, hub } = hubOf();
    void hub.take(bytes('before'));
    const reader = new Reader(4);
    const following = hub.follow(reader, () => (reader.text += '|'));
    assert.equal(reader.text, 'befo');
    clock.now += 1000;
    void hub.take(bytes('after'));
    reader.creditBytes = 100;
    following.pump();
    assert.equal(reader.text, 'before|after');
    void hub.follow(reader, () => (reader.text += '.'));
    assert.equal(reader.text, 'before|afterbeforeafter.');
  });

  test('says so at once when nothing was kept', () => {
    const { hub } = hubOf();
    let said = 0;
    hub.follow(new Reader(0), () => (said += 1));
    assert.equal(said, 1);
  });

  test('sends an echo after a silence at once, and gathers what follows closely', async () => {
    const { clock, hub } = hubOf();
    const reader = new Reader();
    hub.follow(reader);
    clock.now += 1000;
    void hub.take(bytes('a'));
    assert.equal(reader.text, 'a');
    void hub.take(bytes('b'));
    void hub.take(bytes('c'));
    assert.equal(reader.text, 'a');
    await Promise.resolve();
    assert.equal(reader.text, 'abc');
    assert.equal(clock.rested.length, 1);
  });

  test('serves each reader at its own speed, and none waits for another', () => {
    const { hub } = hubOf();
    const quick = new Reader();
    const slow = new Reader(4);
    hub.follow(quick);
    const following = hub.follow(slow);
    void hub.take(bytes('abcdefgh'));
    assert.equal(quick.text, 'abcdefgh');
    assert.equal(slow.text, 'abcd');
    slow.creditBytes = 2;
    following.pump();
    assert.equal(slow.text, 'abcdef');
    slow.creditBytes = 100;
    following.pump();
    assert.equal(slow.text, 'abcdefgh');
  });

  test('tells a reader that fell too far behind how much it has missed', () => {
    const { hub } = hubOf();
    const reader = new Reader(0);
    const following = hub.follow(reader);
    void hub.take(new Uint8Array(scrollbackBytesMax + 1000).fill(0x78));
    reader.creditBytes = 10;
    following.pump();
    assert.equal(reader.text, '', 'the notice is not cut');
    reader.creditBytes = Infinity;
    following.pump();
    assert.match(reader.text, /^\r\n[^\r]* 1000 bytes skipped [^\r]*\r\nxxx/);
    assert.equal(reader.text.replace(/[^x]/g, '').length, scrollbackBytesMax);
  });

  test('forgets a reader that stops', () => {
    const { hub } = hubOf();
    const reader = new Reader();
    hub.follow(reader).stop();
    void hub.take(bytes('x'));
    assert.equal(reader.text, '');
  });

  test('puts words of ours between those of the guest', () => {
    const { hub } = hubOf();
    hub.note('web started');
    assert.deepEqual(hub.lastLines(5), ['── web started ──']);
    const text = new TextDecoder().decode(hub.scrollback.all());
    assert.ok(text.startsWith('\x1b[?47l\x1b[?1000l'), 'the screen of a dead editor is left');
  });
});

suite('a guest that floods its console', () => {
  test('is made to rest, so that it takes its share of time and no more', async () => {
    const { hub, clock } = hubOf();
    const chunk = new Uint8Array(65536);
    let total = 0;
    for (let round = 0; round < 500; round++) {
      await hub.take(chunk);
      total += chunk.length;
    }
    const seconds = clock.now / 1000;
    assert.ok(total / seconds <= bytesPerSecondMax * 1.01, `${total / seconds} bytes a second`);
    assert.ok(
      clock.rested.every((ms) => ms < 100),
      'rests are short, so the next key gets through',
    );
  });

  test('is not slowed while it writes little', () => {
    const { hub, clock } = hubOf();
    for (let round = 0; round < 1000; round++) {
      clock.now += 16;
      assert.equal(hub.take(new Uint8Array(1000)), undefined);
    }
    assert.deepEqual(clock.rested, []);
  });

  test('costs a fixed amount of memory with any number of stuck readers', () => {
    const { hub } = hubOf();
    const stuck = Array.from({ length: 20 }, () => new Reader(0));
    for (const reader of stuck) hub.follow(reader);
    for (let round = 0; round < 100; round++) void hub.take(new Uint8Array(65536));
    assert.equal(hub.scrollback.all().length, scrollbackBytesMax);
    assert.ok(stuck.every((reader) => reader.text === ''));
  });
});

suite('the last lines for a crash report', () => {
  test('are without colours, titles, cursor moves and empty lines', () => {
    const noisy = '\x1b[31mred\x1b[0m \r\n\r\n\x1b]0;title\x07a\x1b(Bb\x07\r\n\x1bMc\x00d  \n';
    assert.deepEqual(plainLines(noisy), ['red', 'ab', 'cd']);
  });

  test('come from the end, as many as asked for', () => {
    const { hub } = hubOf();
    for (let line = 0; line < 5000; line++) void hub.take(bytes(`line ${line}\r\n`));
    assert.deepEqual(hub.lastLines(2), ['line 4998', 'line 4999']);
    assert.deepEqual(new ConsoleHub(stillClock()).lastLines(3), []);
  });
});
