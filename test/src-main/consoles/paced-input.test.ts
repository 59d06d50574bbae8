/** Keystrokes at once, pastes in pieces: a terminal must never have much unread. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { PacedInput } from '../../../src-main/consoles/paced-input.ts';

function inputOf() {
  const sent: number[] = [];
  const pauses: (() => void)[] = [];
  const input = new PacedInput(
    (bytes) => sent.push(bytes.length),
    () => new Promise((resolve) => pauses.push(resolve)),
  );
  const pass = async () => {
    pauses.splice(0).forEach((resolve) => resolve());
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { input, sent, pass };
}

suite('input to a console', () => {
  test('is passed on at once after a silence', async () => {
    const { input, sent, pass } = inputOf();
    void input.write(new Uint8Array(1));
    assert.deepEqual(sent, [1]);
    await pass();
    void input.write(new Uint8Array(2));
    assert.deepEqual(sent, [1, 2]);
  });

  test('keeps its order and is cut into pieces with a pause after each', async () => {
    const { input, sent, pass } = inputOf();
    void input.write(new Uint8Array(1));
    const pasted = input.write(new Uint8Array(2500));
    assert.deepEqual(sent, [1]);
    for (let round = 0; round < 4; round++) await pass();
    await pasted;
    assert.deepEqual(sent, [1, 1024, 1024, 452]);
  });

  test('that nobody takes is bounded', async () => {
    const { input, sent, pass } = inputOf();
    void input.write(new Uint8Array(1 << 20));
    void input.write(new Uint8Array(1 << 20));
    for (let round = 0; round < 1100; round++) await pass();
    assert.equal(sent.reduce((sum, length) => sum + length, 0), 1 << 20);
  });
});
