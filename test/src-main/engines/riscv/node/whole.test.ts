/** Whole ranges of a file, past its end as well. */
import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readWhole, writeWhole } from '../../../../../src-main/engines/riscv/node/whole.ts';

const directory = mkdtempSync(join(tmpdir(), 'nymph-whole-'));
after(() => rmSync(directory, { recursive: true }));

function opened(content: string): { fd: number; path: string } {
  const path = join(directory, 'file');
  writeFileSync(path, content);
  return { fd: openSync(path, 'r+'), path };
}

test('what lies past the end of the file reads as zeros', () => {
  const { fd } = opened('abcdef');
  const into = new Uint8Array(6).fill(9);
  readWhole(fd, into, 4);
  assert.deepEqual([...into], [101, 102, 0, 0, 0, 0]);
  closeSync(fd);
});

test('what is written stands there, and the file grows for it', () => {
  const { fd, path } = opened('abcdef');
  writeWhole(fd, new TextEncoder().encode('XYZ'), 5);
  closeSync(fd);
  assert.equal(readFileSync(path, 'utf8'), 'abcdeXYZ');
});

test('a file that cannot be written throws, for the device to say so', () => {
  const path = join(directory, 'file');
  const fd = openSync(path, 'r');
  assert.throws(() => writeWhole(fd, new Uint8Array(1), 0), { code: 'EBADF' });
  closeSync(fd);
});
