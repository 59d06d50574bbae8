/** The door of a running machine's process: what is asked is done in turn, the rest is refused. */
import { after, test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Refusal } from '../../../../../src-main/base/refusal.ts';
import {
  askControl,
  controlPath,
  numberOf,
  openControlDoor,
  textOf,
  type Verb,
} from '../../../../../src-main/engines/riscv/node/control-door.ts';

const directory = mkdtempSync(join(tmpdir(), 'nymph-door-'));
const path = controlPath(`${directory}/`);
const done: string[] = [];
const verbs = new Map<string, Verb>([
  ['note', async (words) => void done.push(textOf(words, 'text'))],
  ['slow', async () => new Promise((resolve) => setImmediate(() => resolve({ slot: 3 })))],
  ['place', async (words) => ({ slot: numberOf(words, 'slot', 4) })],
  ['refuse', () => Promise.reject(new Refusal('in-use', 'It is mounted.'))],
  ['silent', () => new Promise(() => {})],
]);
const door = openControlDoor(path, verbs);
after(() => {
  door.close();
  rmSync(directory, { recursive: true });
});

/** Writes bytes and answers with all that comes back until the other side closes or says a line. */
function raw(bytes: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(path, () => socket.write(bytes));
    let text = '';
    socket.setEncoding('utf8');
    socket.on('data', (more) => {
      text += String(more);
      if (text.endsWith('\n')) socket.end();
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(text));
  });
}

test('a request is done and its answer told', async () => {
  assert.equal((await askControl(path, { do: 'slow' }, 2000))['slot'], 3);
  await askControl(path, { do: 'note', text: 'one' }, 2000);
  assert.deepEqual(done.splice(0), ['one']);
});

test('a refusal comes over with its code and sentence', async () => {
  const refused = askControl(path, { do: 'refuse' }, 2000);
  await assert.rejects(refused, { code: 'in-use', message: 'It is mounted.' });
});

test('what is not understood is refused and changes nothing', async () => {
  for (const line of ['', '{', '[]', 'null', '7', '{"do":4}', '{"do":"__proto__"}', '{}']) {
    assert.equal(JSON.parse(await raw(`${line}\n`)).ok, false, line);
  }
  for (const slot of [-1, 4, 1.5, '1', null, 1e300]) {
    await assert.rejects(askControl(path, { do: 'place', slot }, 2000), { code: 'usage' });
  }
  await assert.rejects(askControl(path, { do: 'note', text: 'x'.repeat(5000) }, 2000), {
    code: 'usage',
  });
  assert.deepEqual(done, []);
});

test('a line without end costs its connection, and the door stays open', async () => {
  assert.equal(await raw('x'.repeat(200_000)), '');
  assert.equal((await askControl(path, { do: 'slow' }, 2000))['slot'], 3);
});

test('a process that is not there, or does not answer, is told in time', async () => {
  const nobody = askControl(join(directory, 'none'), { do: 'slow' }, 50);
  await assert.rejects(nobody, { code: 'unavailable' });
  await assert.rejects(askControl(path, { do: 'silent' }, 50), { code: 'timeout' });
});
