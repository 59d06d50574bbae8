/**
 * A million instructions of random programs, in three modes and with address translation, on the
 * interpreter, the translator and QEMU: they must leave the same registers, flags, traps and
 * memory. A disagreement is told as a program made as small as it gets, with its seed.
 *
 *   NYMPH_SEED=17 NYMPH_ROUNDS=1 node --test …   repeats one; more rounds look further
 */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { instructions } from '../../../../src-main/engines/riscv/cpu/isa.ts';
import type { Instruction } from '../../../../src-main/engines/riscv/cpu/isa.ts';
import { engines } from '../../../isa/bare.ts';
import { codePages } from '../../../isa/image.ts';
import { disagreement, ours, randomPrograms, retired } from '../../../isa/lockstep.ts';
import type { Runner } from '../../../isa/lockstep.ts';
import { generator } from '../../../isa/random.ts';
import { qemuJudge } from '../../../isa/qemu.ts';

const firstSeed = Number(process.env['NYMPH_SEED'] ?? 1);
const rounds = Number(process.env['NYMPH_ROUNDS'] ?? 220);
const inOneImage = 55;

const random = generator(firstSeed + 1234);
const [interpreter, translator, tiny] = engines.map((engine) => ours(engine));
// At the second coming, so that what has been come by once goes into the same module.
const cut = () => {
  const limits = { instructions: 1 + random(24), blocks: 1 + random(5) };
  return ours({ name: 'translator cut at random', threshold: 2, limits });
};
const inDrops = () =>
  ours({ name: 'translator in drops', threshold: 1 }, { random, max: 40 });
const late = () =>
  ours({ name: 'translator that is late', threshold: 1, late: 1 + random(6) });
const variants = [() => tiny!, cut, inDrops, late];

const judge = qemuJudge();
const qemu: Runner[] = judge ? [{ name: 'qemu', run: judge.run }] : [];

suite('random programs', () => {
  test('end alike on interpreter, translator and QEMU', (t) => {
    t.diagnostic(`NYMPH_SEED=${firstSeed}, ${judge ? 'QEMU judges' : 'no QEMU'}`);
    let instructions = 0n;
    for (let done = 0; done < rounds; done += inOneImage) {
      const count = Math.min(inOneImage, rounds - done);
      const programs = randomPrograms(firstSeed + done, count, judge?.without ?? new Set());
      const variant = variants[(done / inOneImage) % variants.length]!();
      const others = [translator!, variant, ...qemu];
      assert.equal(disagreement(programs, interpreter!, others), undefined);
      instructions += retired;
    }
    t.diagnostic(`${instructions} instructions`);
  });

  test('end alike with what only we know', { skip: judge?.without.size === 0 }, () => {
    const programs = randomPrograms(firstSeed + 0x10_0000, 30, new Set());
    assert.equal(disagreement(programs, interpreter!, [translator!]), undefined);
  });

  const noJudge = judge ? false : 'qemu-system-riscv64 is not installed';
  test('are judged from outside', { skip: noJudge }, () => assert.ok(judge));
});

/** The interpreter, if it took one instruction for another and that for the one. */
function confusing(one: Instruction, other: Instruction): Runner {
  const swap = (image: Uint8Array) => {
    for (const code of codePages(image)) {
      for (let at = 0; at + 4 <= code.byteLength; at += 2) {
        const word = code.getUint32(at, true);
        const found = [one, other].some(({ mask, match }) => (word & mask) >>> 0 === match);
        if (found) code.setUint32(at, word ^ one.match ^ other.match, true);
      }
    }
    return image;
  };
  const run = (image: Uint8Array) => swap(interpreter!.run(swap(image.slice())));
  return { name: `with ${one.name} and ${other.name} confused`, run };
}

test('a fault comes down to the instruction that shows it', () => {
  const named = (name: string) => instructions.find((what) => what.name === name)!;
  const programs = randomPrograms(1, 40, new Set());
  const fault = confusing(named('mulhsu'), named('max'));
  const told = disagreement(programs, interpreter!, [fault]);
  const [head, start, what, again, end, ...differences] = told!.split('\n');
  assert.match(head!, /^NYMPH_SEED=\d+: with mulhsu and max confused and interpreter differ, mode/);
  const texts = [start, what, again, end].map((line) => line!.trim().split(/ {2,}/)[1]!);
  assert.match(texts.join(), /^1 times,(mulhsu|max),again,end$/);
  assert.match(differences.join('\n'), /^x\d+: [0-9a-f]+ and [0-9a-f]+$/m);
});
