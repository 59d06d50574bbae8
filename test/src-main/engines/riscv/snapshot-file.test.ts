/** The file of a saved machine, cut off and broken in every place: refused, never believed. */
import { after, test } from 'node:test';
import assert from 'node:assert/strict';
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Refusal } from '../../../../src-main/base/refusal.ts';
import { openSnapshot } from '../../../../src-main/engines/riscv/node/snapshot-read.ts';
import {
  sha256,
  writeSnapshot,
} from '../../../../src-main/engines/riscv/node/snapshot-write.ts';
import {
  encodeHead,
  encodePreamble,
  parseHead,
  preambleBytes,
  type Head,
} from '../../../../src-main/engines/riscv/snapshot-file.ts';
import { bare, engines } from '../../../isa/bare.ts';

const directory = mkdtempSync(join(tmpdir(), 'nymph-snapshot-file-'));
after(() => rmSync(directory, { recursive: true }));

const path = join(directory, 'state');
const { shared, ram } = bare(engines[0]!);
ram.fill(7, 0x1000, 0x3000);
ram.fill(9, 0x20_0fff, 0x20_1001);
await writeSnapshot(path, shared, { note: 'kept' });
const good = readFileSync(path);
const headAt = Number(good.readBigUInt64LE(16));
const head = JSON.parse(good.subarray(headAt).toString()) as Head & { engine: string };

async function readBack(bytes: Uint8Array): Promise<Uint8Array> {
  const copy = join(directory, 'copy');
  writeFileSync(copy, bytes);
  const into = new Uint8Array(ram.length);
  const file = await openSnapshot(copy);
  try {
    await file.fill(into);
  } finally {
    await file.close();
  }
  return into;
}

/** The same file with another head, which says by its digest that it is meant. */
function withHead(changes: object): Uint8Array {
  const bytes = encodeHead({ ...head, ...changes });
  const preamble = encodePreamble(headAt, bytes, sha256);
  return Buffer.concat([preamble, good.subarray(preambleBytes, headAt), bytes]);
}

const refused = { name: 'Refusal', message: /^The (saved )?state [^\n]*\.$/ };

test('what was written comes back, and only frames that are not zero were', async () => {
  assert.deepEqual(await readBack(good), Uint8Array.from(ram));
  assert.equal(head.ramMib, ram.length >> 20);
  assert.ok(good.length < 16 << 10);
  assert.deepEqual(readdirSync(directory).sort(), ['copy', 'state']);
});

test('a file that is cut off anywhere is refused', async () => {
  for (let length = 0; length < good.length; length += 1 + (length >> 3)) {
    const cut = join(directory, 'cut');
    writeFileSync(cut, good);
    truncateSync(cut, length);
    await assert.rejects(openSnapshot(cut), refused, `${length} bytes`);
  }
});

test('a byte that is another one is found, wherever it stands', async () => {
  for (let at = 0; at < good.length; at += at < 128 ? 1 : 37) {
    const bytes = Uint8Array.from(good);
    bytes[at]! ^= 0x40;
    // Padding of the preamble is nobody's.
    if (at >= 56 && at < preambleBytes) continue;
    await assert.rejects(readBack(bytes), refused, `byte ${at}`);
  }
});

test('a head that lies with the right digest is refused as well', async () => {
  const lies: object[] = [
    { ramMib: 2 },
    { ramMib: 1 << 20 },
    { harts: 0 },
    { harts: 1.5 },
    { ram: { at: 0, bytes: good.length } },
    { ram: { at: preambleBytes, bytes: 2 ** 52 } },
    { ram: { ...head.ram, bytes: head.ram.bytes - 1 } },
    { frames: { ...head.frames, bytes: head.frames.bytes - 1 } },
    { frames: { ...head.ram, sha256: head.frames.sha256 } },
    { state: { ...head.state, sha256: undefined } },
    { state: null },
  ];
  for (const lie of lies) {
    await assert.rejects(readBack(withHead(lie)), refused, JSON.stringify(lie));
  }
  assert.throws(() => parseHead(new TextEncoder().encode('{"engine":"uml"}'), 100), {
    message: /another engine/,
  });
});

test('a piece that unpacks to more than its frames is refused', async () => {
  const bytes = Uint8Array.from(good);
  const bitmap = head.frames.at + 8;
  bytes[bitmap]! ^= 0x80;
  const frames = bytes.subarray(head.frames.at, head.frames.at + head.frames.bytes);
  const digest = Buffer.from(sha256(frames)).toString('hex');
  const changed = encodeHead({ ...head, frames: { ...head.frames, sha256: digest } });
  const preamble = encodePreamble(headAt, changed, sha256);
  const file = Buffer.concat([preamble, bytes.subarray(preambleBytes, headAt), changed]);
  await assert.rejects(readBack(file), (thrown) => thrown instanceof Refusal);
});
