/** The decoders against what gzip, bzip2, xz and zstd packed, whole, cut off and changed. */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import type { Wrapper } from '../../../../src-main/disks/magic.ts';
import { unwrap } from '../../../../src-main/disks/node/codecs.ts';
import { MemorySource } from '../../../../src-main/disks/source.ts';
import { assertSame, mixedBytes, openRoom, type Room } from '../inputs.ts';

const plain = new Uint8Array(1_200_000);
let room: Room;
before(async () => {
  room = await openRoom();
  plain.set(mixedBytes(400_000, 7), 300_000);
  plain.set(new TextEncoder().encode('same '.repeat(60_000)), 800_000);
  await writeFile(room.file('plain'), plain);
  await writeFile(room.file('nothing'), '');
});
after(() => room.close());

async function unpack(bytes: Uint8Array, wrapper: Wrapper): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of unwrap(new MemorySource(bytes), wrapper)) parts.push(part.slice());
  return new Uint8Array(Buffer.concat(parts));
}

async function pack(command: string): Promise<Uint8Array> {
  await room.run('sh', '-c', `${command} > packed`);
  return new Uint8Array(await readFile(room.file('packed')));
}

const commands: [Wrapper, string][] = [
  ['gzip', 'gzip -c plain'],
  ['bzip2', 'bzip2 -1c plain'],
  ['bzip2', 'bzip2 -9c plain'],
  ['zstd', 'zstd -qc plain'],
  ['zstd', 'zstd -qc --no-check -19 plain'],
  ['xz', 'xz -c plain'],
  ['xz', 'xz -0c --check=crc32 plain'],
  ['xz', 'xz -c --check=none plain'],
  ['xz', 'xz -c --check=sha256 plain'],
  ['xz', 'xz -c -T2 --block-size=300000 plain'],
  ['xz', 'xz -c --lzma2=preset=6,dict=4096,lc=1,lp=3,pb=0 plain'],
  ['xz', 'xz -c --lzma2=preset=1,lc=0,lp=0,pb=4,mf=bt4,nice=273 plain'],
];

for (const [wrapper, command] of commands) {
  test(`what "${command}" made is unpacked to the same bytes`, async () => {
    assertSame(await unpack(await pack(command), wrapper), plain);
  });
}

const programs: [Wrapper, string][] = [
  ['gzip', 'gzip'], ['bzip2', 'bzip2'], ['zstd', 'zstd -q'], ['xz', 'xz'],
];

for (const [wrapper, program] of programs) {
  test(`${wrapper}: several files in one come out one behind the other`, async () => {
    const packed = await pack(`(${program} -c < plain; ${program} -c < nothing; ` +
      `printf more | ${program} -c)`);
    const found = await unpack(packed, wrapper);
    assertSame(found.subarray(0, plain.length), plain);
    assert.equal(new TextDecoder().decode(found.subarray(plain.length)), 'more');
  });

  test(`${wrapper}: a file that is cut off anywhere is refused`, async () => {
    const packed = await pack(`${program} -c plain`);
    for (const cut of [1, 4, 9, 12, 1000, packed.length >> 1, packed.length - 12,
      packed.length - 4, packed.length - 1]) {
      await assert.rejects(unpack(packed.subarray(0, cut), wrapper), { code: 'bad-input' },
        `cut at ${cut}`);
    }
  });

  test(`${wrapper}: a changed byte never passes as right`, async () => {
    const packed = await pack(`${program} -c plain`);
    for (const share of [0.1, 0.3, 0.5, 0.7, 0.9]) {
      const changed = packed.slice();
      changed[Math.floor(packed.length * share)]! ^= 0x10;
      await assert.rejects(unpack(changed, wrapper), { code: 'bad-input' }, `at ${share}`);
    }
  });
}

test('xz with another filter or too large a dictionary is refused with the way out', async () => {
  await assert.rejects(unpack(await pack('xz -c --x86 --lzma2 plain'), 'xz'),
    { code: 'unsupported', message: /xz -d/ });
  await assert.rejects(unpack(await pack('printf x | xz -c --lzma2=dict=512MiB'), 'xz'),
    { code: 'unsupported', message: /256 MiB/ });
});

test('unpacking stops when it is cancelled', async () => {
  for (const [wrapper, program] of programs) {
    const packed = await pack(`${program} -c plain`);
    const cancel = new AbortController();
    cancel.abort();
    const parts = unwrap(new MemorySource(packed), wrapper, { signal: cancel.signal });
    await assert.rejects(async () => {
      for await (const part of parts) assert.equal(part.length, 0);
    }, { code: 'cancelled' });
  }
});
