/**
 * Any bytes as a kernel, and any call of the SBI: what is wrong with a file is said in a sentence
 * before anything runs, and a call that makes no sense is answered with an error.
 */
import { suite, test } from 'node:test';
import assert from 'node:assert/strict';
import { Refusal } from '../../../../../src-main/base/refusal.ts';
import { sbiCall } from '../../../../../src-main/engines/riscv/boot/sbi.ts';
import { createShared, prepareBoot } from '../../../../../src-main/engines/riscv/machine.ts';
import { bare, engines } from '../../../../isa/bare.ts';
import { generator, pick, wideNumber } from '../../../../isa/random.ts';
import type { Random } from '../../../../isa/random.ts';

const seed = Number(process.env['NYMPH_SEED'] ?? 1);
const rounds = Number(process.env['NYMPH_ROUNDS'] ?? 1500);

const shared = createShared({ ramMib: 8, harts: 1 });

/** Says what was wrong with the files; throws what is no refusal. */
function refusalOf(kernel: Uint8Array, initrd: Uint8Array | null): string | undefined {
  const rest = { bootArguments: 'x', seed: new Uint8Array(32), virtio: [0], sv48: false };
  try {
    prepareBoot(shared, { kernel, initrd, ...rest });
    return undefined;
  } catch (thrown) {
    if (thrown instanceof Refusal) return thrown.message;
    throw thrown;
  }
}

/** The smallest files that are taken. */
function image(): Uint8Array {
  const bytes = new Uint8Array(4096);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(16, 0x1_0000n, true);
  view.setUint32(56, 0x05435352, true);
  return bytes;
}

function elf(): Uint8Array {
  const bytes = new Uint8Array(1024);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(18, 243, true);
  view.setBigUint64(24, 0x8000_0000n, true);
  view.setBigUint64(32, 64n, true);
  view.setBigUint64(40, 512n, true);
  for (const [offset, value] of [[54, 56], [56, 2], [58, 64], [60, 3]] as const) {
    view.setUint16(offset, value, true);
  }
  for (const n of [0, 1]) {
    const at = 64 + n * 56;
    view.setUint32(at, 1, true);
    view.setBigUint64(at + 8, 256n, true);
    view.setBigUint64(at + 24, 0x8000_0000n + BigInt(n * 4096), true);
    view.setBigUint64(at + 32, 128n, true);
    view.setBigUint64(at + 40, 256n, true);
  }
  for (const n of [1, 2]) {
    view.setUint32(512 + n * 64 + 4, 2 + n - 1, true);
    view.setBigUint64(512 + n * 64 + 24, 768n, true);
    view.setBigUint64(512 + n * 64 + 32, 96n, true);
    view.setUint32(512 + n * 64 + 40, 2, true);
  }
  return bytes;
}

function spoil(random: Random, bytes: Uint8Array): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let n = 1 + random(4); n > 0; n--) {
    const at = 8 * random(bytes.length / 8);
    if (random(2) === 0) view.setBigUint64(at, wideNumber(random), true);
    else bytes[at + random(8)] = random(256);
  }
  return random(8) === 0 ? bytes.subarray(0, random(bytes.length)) : bytes;
}

suite('a kernel', () => {
  test('that is sound is taken', () => {
    assert.equal(refusalOf(image(), new Uint8Array(9)), undefined);
    assert.equal(refusalOf(elf(), null), undefined);
  });

  test('of any bytes is taken or refused in a sentence', () => {
    const random = generator(seed);
    let refused = 0;
    for (let n = 0; n < rounds; n++) {
      const bytes = spoil(random, n % 2 === 0 ? elf() : image());
      const initrd = random(16) === 0 ? new Uint8Array(random(9 << 20)) : null;
      const said = refusalOf(bytes, initrd);
      if (said !== undefined) {
        assert.match(said, /^[A-Z].*\.$/);
        refused++;
      }
    }
    assert.ok(refused > rounds / 20 && refused < rounds, `${refused} of ${rounds}`);
  });
});

test('any call of the SBI is answered, and leaves the machine in one piece', () => {
  const random = generator(seed + 1);
  const { hart } = bare(engines[0]!);
  const known = [0x10, 0x54494d45, 0x735049, 0x52464e43, 0x48534d, 0x53525354, 0x4442434e];
  for (let n = 0; n < rounds; n++) {
    hart.reset(false);
    hart.state.setWord('hsm', 0);
    for (let a = 10; a < 16; a++) {
      hart.state.setX(a, random(2) === 0 ? BigInt(random(8)) : wideNumber(random));
    }
    hart.state.setX(16, BigInt(random(8)));
    hart.state.setX(17, BigInt(random(10) === 0 ? random(0x1_0000_0000) : pick(random, known)));
    sbiCall(hart);
    const error = BigInt.asIntN(64, hart.state.x(10));
    assert.ok(error <= 0n && error >= -9n, `error ${error}`);
  }
});
