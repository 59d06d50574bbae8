/** The overlay header, number by number, as the kernel reads it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  cowHeaderBytes, cowLayout, makeCowHeader, parseCowHeader,
} from '../../../src-main/machine/cow.ts';

const header = {
  backingPath: '/images/a.raw', backingSeconds: 0x65432100, backingBytes: 0x40000200,
};

test('the header has each number where the kernel looks for it', () => {
  const bytes = makeCowHeader(header);
  const hex = Buffer.from(bytes.subarray(0, 46)).toString('hex');
  assert.equal(bytes.length, 4128);
  assert.equal(hex, [
    '4f4f4f4d', // 0 mark "OOOM"
    '00000003', // 4 version
    '65432100', // 8 mtime of the image, seconds, 32 bits
    '0000000040000200', // 12 size of the image, 64 bits
    '00000200', // 20 sector size
    '00001000', // 24 alignment
    '00000000', // 28 format
    '2f696d616765732f612e726177', '00', // 32 the path, ended by zeros up to 4128
  ].join(''));
  assert.ok(bytes.subarray(46).every((byte) => byte === 0));
});

test('bitmap and data begin on multiples of 4096', () => {
  assert.deepEqual(cowLayout(0x40000200), {
    bitmapAt: 8192,
    bitmapBytes: 262145, // one bit for each of 2,097,153 sectors
    dataAt: 274432,
    fileBytes: 274432 + 0x40000200,
  });
  assert.deepEqual(cowLayout(512), {
    bitmapAt: 8192, bitmapBytes: 1, dataAt: 12288, fileBytes: 12800,
  });
});

test('a header is read back as it was written', () => {
  assert.deepEqual(parseCowHeader(makeCowHeader(header)), header);
});

test('what the kernel could not use is not written', () => {
  const bad = (change: Partial<typeof header>) => () => makeCowHeader({ ...header, ...change });
  assert.throws(bad({ backingPath: 'a.raw' }), { code: 'usage' });
  assert.throws(bad({ backingPath: '/a\0b' }), { code: 'usage' });
  assert.throws(bad({ backingPath: `/${'a'.repeat(4095)}` }), { code: 'unsupported' });
  assert.throws(bad({ backingSeconds: -1 }), { code: 'unsupported' });
  assert.throws(bad({ backingSeconds: 2 ** 32 }), { code: 'unsupported' });
  assert.throws(bad({ backingBytes: 0 }), { code: 'unsupported' });
  assert.equal(makeCowHeader({ ...header, backingPath: `/${'a'.repeat(4094)}` })[4127], 0);
});

test('a damaged or foreign header is refused', () => {
  const changed = (at: number, value: number) => () => {
    const bytes = makeCowHeader(header);
    bytes[at] = value;
    parseCowHeader(bytes);
  };
  assert.throws(() => parseCowHeader(makeCowHeader(header).subarray(0, cowHeaderBytes - 1)),
    { code: 'bad-input' });
  assert.throws(changed(0, 0), { code: 'bad-input' });
  assert.throws(changed(7, 2), { code: 'unsupported' });
  assert.throws(changed(12, 0x7f), { code: 'bad-input' }, 'a size no file can have');
  assert.throws(changed(22, 4), { code: 'unsupported' }, 'a sector of 1024 bytes');
  assert.throws(changed(31, 1), { code: 'unsupported' }, 'an unknown format');
  assert.throws(changed(32, 0x61), { code: 'bad-input' }, 'a relative path');
});
