/** Whole ranges of a file, past its end as well. */
import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readWhole, slice, writeWhole } from '../../../../../src-main/engines/riscv/node/whole.ts';

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
  readWhole(fd, [into], 4);
  assert.deepEqual([...into], [101, 102, 0, 0, 0, 0]);
  closeSync(fd);
});

test('what is written stands there, and the file grows for it', () => {
  const { fd, path } = opened('abcdef');
  writeWhole(fd, [new TextEncoder().encode('XYZ')], 5);
  closeSync(fd);
  assert.equal(readFileSync(path, 'utf8'), 'abcdeXYZ');
});

test('a file that cannot be written throws, for the device to say so', () => {
  const path = join(directory, 'file');
  const fd = openSync(path, 'r');
  assert.throws(() => writeWhole(fd, [new Uint8Array(1)], 0), { code: 'EBADF' });
  closeSync(fd);
});

test('many places are filled in turn, more than one system call takes', () => {
  const { fd } = opened('x'.repeat(3000));
  const places = Array.from({ length: 1500 }, () => new Uint8Array(2));
  writeWhole(fd, places.map((_, n) => Uint8Array.of(n & 0xff, n >> 8)), 10);
  readWhole(fd, places, 10);
  places.forEach((place, n) => assert.deepEqual([...place], [n & 0xff, n >> 8]));
  closeSync(fd);
});

test('a slice of places has what stands there, and nothing empty', () => {
  const places = ['ab', '', 'cdef', 'g'].map((text) => new TextEncoder().encode(text));
  const sliced = (from: number, length: number) =>
    slice(places, from, length).map((part) => new TextDecoder().decode(part));
  assert.deepEqual(sliced(1, 3), ['b', 'cd']);
  assert.deepEqual(sliced(2, 4), ['cdef']);
  assert.deepEqual(sliced(6, 1), ['g']);
  assert.deepEqual(sliced(0, 7), ['ab', 'cdef', 'g']);
});
