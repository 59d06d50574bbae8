/** Memory goes back to the host, and a guest that does not follow is not waited for long. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import {
  hostMemory,
  squeeze,
  type Squeezed,
} from '../../../../../src-main/engines/riscv/node/balloon.ts';

const mib = 1 << 20;
const residentBytes = () => Number(readFileSync('/proc/self/statm', 'latin1').split(' ')[1]) * 4096;

test('what is discarded is no longer held by the host, and reads as zeros', () => {
  const memory = new WebAssembly.Memory({ initial: 2048, maximum: 2048, shared: true });
  const bytes = new Uint8Array(memory.buffer).fill(7);
  const full = residentBytes();
  hostMemory(memory).discard(16 * mib, 96 * mib);
  assert.ok(residentBytes() < full - 80 * mib, 'eighty of ninety-six MiB went at least');
  assert.deepEqual([bytes[16 * mib - 1], bytes[16 * mib], bytes[112 * mib]], [7, 0, 7]);
});

test('a piece smaller than a page of the host stays', () => {
  const memory = new WebAssembly.Memory({ initial: 2, maximum: 2, shared: true });
  const bytes = new Uint8Array(memory.buffer).fill(7);
  hostMemory(memory).discard(100, 3000);
  assert.ok(bytes.every((byte) => byte === 7));
});

/** A guest that moves towards what it is asked by so many pages between two looks. */
function guestOf(stepPages: number, limitPages: number): Squeezed & { asked: number[] } {
  let held = 0;
  const asked: number[] = [];
  return {
    asked,
    ask: (pages) => void asked.push(pages),
    get held() {
      const goal = Math.min(asked.at(-1) ?? 0, limitPages);
      held += Math.max(-stepPages, Math.min(stepPages, goal - held));
      return held;
    },
  };
}

test('the guest gives up what it is asked for, and has it back', async () => {
  const guest = guestOf(40, 1000);
  await squeeze(guest, 100, 1);
  assert.deepEqual(guest.asked, [100, 0]);
  assert.equal(guest.held, 0);
});

test('a guest with less to give, or that follows not at all, is left alone soon', async () => {
  for (const guest of [guestOf(40, 60), guestOf(0, 0)]) {
    await squeeze(guest, 100, 1);
    assert.deepEqual(guest.asked, [100, 0]);
  }
});

test('one without a driver refuses', async () => {
  const refused = { code: 'unsupported', message: /no driver/ };
  await assert.rejects(squeeze(undefined, 1), refused);
  await assert.rejects(squeeze({ ask: () => {}, held: undefined }, 1), refused);
});
