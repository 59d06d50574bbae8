/** What a RISC-V boot image says of itself. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { inspectImage, isRiscvImage } from '../../../src-main/kernels/image.ts';
import { imageBanner as banner, imageWith } from './fake-image.ts';

test('the version and whether it runs several processors are read from the banner', () => {
  const bytes = imageWith(`Linux version %s (%s)\0${banner}`);
  assert.ok(isRiscvImage(bytes));
  assert.deepEqual(inspectImage(bytes), { version: '7.3.4-nymph', smp: true, nesting: false });
});

test('what is no such image, or does not say what it is, is refused in a sentence', () => {
  const cases: [Uint8Array, RegExp][] = [
    [new Uint8Array(0), /not a RISC-V kernel image/],
    [new Uint8Array(4096), /not a RISC-V kernel image/],
    [imageWith(''), /no Linux kernel, or it is compressed/],
    [imageWith('Linux version %s'), /no Linux kernel, or it is compressed/],
  ];
  for (const [bytes, message] of cases) {
    assert.throws(() => inspectImage(bytes), { code: 'bad-input', message });
  }
});
