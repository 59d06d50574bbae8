/**
 * Several harts on one memory, on the interpreter and on the translator: what the memory model
 * forbids is never seen, atomics lose nothing, and a remote fence has happened when it returns.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { countSeen, ofFour, ofTwo, phaseOf, storeBuffers } from '../../../isa/litmus.ts';
import { runHarts, shared } from '../../../isa/harts.ts';
import { found, interruptedWriter, interrupts, shootDown } from '../../../isa/shoot-down.ts';

const engines = [
  { name: 'interpreter', threshold: 0 },
  { name: 'translator', threshold: 1 },
];

/** The same litmus tests so many times over. */
const rounds = (tests: typeof ofTwo, count: number) =>
  Array.from({ length: count }, () => tests).flat();

const word = (ram: DataView, offset: number) => ram.getUint32(shared + offset, true);

for (const { name, threshold } of engines) {
  describe(name, () => {
    test('two harts never see what is forbidden', async (t) => {
      const tests = rounds([...ofTwo, storeBuffers], 8);
      const ram = await runHarts(threshold, tests.map(phaseOf));
      const counts = tests.map((litmus, place) => [litmus, countSeen(litmus, place, ram)] as const);
      for (const [litmus, count] of counts) {
        if (litmus !== storeBuffers) assert.equal(count, 0, litmus.name);
      }
      const allowed = counts.filter(([litmus]) => litmus === storeBuffers);
      t.diagnostic(`store buffers seen: ${allowed.reduce((sum, [, count]) => sum + count, 0)}`);
    });

    test('four harts never see what is forbidden', async () => {
      const tests = rounds(ofFour, 8);
      const ram = await runHarts(threshold, tests.map(phaseOf));
      tests.forEach((litmus, place) => assert.equal(countSeen(litmus, place, ram), 0, litmus.name));
    });

    test('four harts that count together lose nothing', async () => {
      const each = 500;
      const loop = (body: string) => `
        li s2, ${each}
        @again:
        ${body}
        addi s2, s2, -1
        bne s2, zero, @again`;
      const reserved = (size: string, offset: number) => loop(`
        addi s0, s11, ${offset}
        @retry:
        lr.${size} t2, s0
        addi t2, t2, 1
        sc.${size} t3, s0, t2
        bne t3, zero, @retry`);
      const locked = loop(`
        addi s0, s11, 512
        @taken:
        amoswap.w t3, s0, t1
        bne t3, zero, @taken
        fence
        ld t2, 576(s11)
        addi t2, t2, 3
        sd t2, 576(s11)
        fence
        amoswap.w zero, s0, zero`);
      const added = loop('addi s0, s11, 640\namoadd.d zero, s0, t1');
      const phases = [reserved('w', 256), reserved('d', 384), locked, added];
      const ram = await runHarts(threshold, phases.map((body) => [body, body, body, body]));
      assert.deepEqual(
        [256, 384, 576, 640].map((offset) => word(ram, offset)),
        [4 * each, 4 * each, 12 * each, 4 * each],
      );
    });

    test('a page that is mapped anew is seen by another hart after the remote fence', async () => {
      const ram = await runHarts(threshold, shootDown.pages);
      assert.equal(word(ram, found.violations), 0);
      assert.ok(word(ram, found.looks) > 0);
    });

    test('code that is written is run by another hart after the remote fence', async () => {
      const ram = await runHarts(threshold, shootDown.code);
      assert.equal(word(ram, found.violations), 0);
      assert.ok(word(ram, found.looks) > 0);
    });

    test('an interrupt from another hart is not lost to a write of other bits of sip', async () => {
      const ram = await runHarts(threshold, interruptedWriter);
      assert.equal(word(ram, found.acknowledged), interrupts);
    });
  });
}
