/** ELF files are read within their bounds, whatever they claim. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Refusal } from '../../../src-main/base/refusal.ts';
import { readElf } from '../../../src-main/kernels/elf.ts';
import { makeElf } from './fake-elf.ts';

test('a program tells its loader, its libraries and the versions it asks of them', () => {
  const elf = readElf(
    makeElf({
      interpreter: '/lib64/ld.so',
      needed: ['libc.so.6', 'libm.so.6'],
      runPath: '/lib64:/lib',
      asks: { 'libc.so.6': ['GLIBC_2.2.5', 'GLIBC_2.34'], 'libm.so.6': ['GLIBC_2.29'] },
      sections: ['.text', '.uml.setup.init'],
    }),
  );
  assert.equal(elf.type, 'executable');
  assert.equal(elf.interpreter, '/lib64/ld.so');
  assert.deepEqual(elf.needed, ['libc.so.6', 'libm.so.6']);
  assert.deepEqual(elf.runPath, ['/lib64', '/lib']);
  assert.deepEqual(elf.neededVersions.get('libc.so.6'), ['GLIBC_2.2.5', 'GLIBC_2.34']);
  assert.deepEqual(elf.neededVersions.get('libm.so.6'), ['GLIBC_2.29']);
  assert.ok(elf.sections.includes('.uml.setup.init'));
});

test('a library tells the versions it offers', () => {
  const elf = readElf(makeElf({ type: 'library', offers: ['GLIBC_2.2.5', 'GLIBC_2.38'] }));
  assert.equal(elf.type, 'library');
  assert.deepEqual(elf.offeredVersions, ['GLIBC_2.2.5', 'GLIBC_2.38']);
});

test('other files, other processors and object files are refused with a sentence', () => {
  const other = makeElf();
  other[18] = 243;
  const object = makeElf();
  object[16] = 1;
  const cases: [Uint8Array, RegExp][] = [
    [new Uint8Array(0), /not an ELF file/],
    [new TextEncoder().encode('#!/bin/sh\n'), /not an ELF file/],
    [other, /not for x86-64/],
    [object, /neither a program nor a library/],
  ];
  for (const [bytes, message] of cases) {
    assert.throws(() => readElf(bytes), { code: 'bad-input', message });
  }
});

test('chains of version records that lead in a circle end', () => {
  const bytes = makeElf({ asks: { a: ['v'], b: ['v'] }, offers: ['x', 'y'] });
  // Any word turned to all ones is an offset far away or a count without end.
  for (let at = 64; at + 4 <= bytes.length; at += 4) {
    const broken = bytes.slice();
    broken.fill(0xff, at, at + 4);
    readOrRefuse(broken);
  }
});

test('ten thousand damaged files are read or refused, never anything else', () => {
  const whole = makeElf({
    interpreter: '/lib64/ld.so',
    needed: ['libc.so.6'],
    asks: { 'libc.so.6': ['GLIBC_2.34'] },
    offers: ['GLIBC_2.38'],
    sections: ['.text'],
  });
  const random = seeded(7);
  for (let round = 0; round < 10_000; round += 1) {
    const bytes = whole.slice(0, round % 7 === 0 ? random() % whole.length : whole.length);
    for (let change = random() % 6; change >= 0 && bytes.length > 4; change -= 1) {
      bytes[4 + (random() % (bytes.length - 4))] = random() % 3 === 0 ? 0xff : random() % 256;
    }
    readOrRefuse(bytes);
  }
});

function readOrRefuse(bytes: Uint8Array): void {
  try {
    readElf(bytes);
  } catch (thrown) {
    assert.ok(thrown instanceof Refusal && thrown.code === 'bad-input', String(thrown));
  }
}

function seeded(seed: number): () => number {
  let state = seed;
  return () => (state = (Math.imul(state, 1103515245) + 12345) >>> 0) >>> 8;
}
