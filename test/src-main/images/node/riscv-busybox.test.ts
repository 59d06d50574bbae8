/** The commands of a busybox that cannot be run here are read from its bytes. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { appletNames } from '../../../../src-main/images/node/riscv-busybox.ts';

const names = ['[', '[[', 'ash', ...Array.from({ length: 120 }, (_, n) => `cmd${n}`), 'busybox'];

test('the list is found among other text and ends where it ends', () => {
  const program = Buffer.from(`\x7fELF junk [${names.join('\0')}\0\x01rest\0`, 'latin1');
  assert.deepEqual(appletNames(program), names.slice(0, -1));
});

test('a program without such a list is refused', () => {
  assert.throws(() => appletNames(Buffer.from('[\0[[\0only\0few\0\0')), { code: 'unsupported' });
  assert.throws(() => appletNames(new Uint8Array(0)), { code: 'unsupported' });
});
