/**
 * Calls of the guest, which stand on the host's stack in translated code: whatever becomes of the
 * guest's own stack, registers, pages or code in the meantime, what runs next is what it says.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { callRoom } from '../../../../../src-main/engines/riscv/layout.ts';
import { assemble } from '../../../../isa/assemble.ts';
import { engines, execute } from '../../../../isa/bare.ts';
import {
  machine, paged, pte, rw, start, supervisor, table, tables,
} from '../../../../isa/program.ts'; // prettier-ignore

/** A stack of its own for each who needs one, far above the code. */
const stack = (register: string, number = 1) => `
  auipc ${register}, ${(number * 64) << 12}`;
const push = 'addi sp, sp, -16\nsd ra, 0(sp)\nsd a0, 8(sp)';
const pop = 'ld ra, 0(sp)\nld t0, 8(sp)\naddi sp, sp, 16';

/** sfence.vma of the page that register a0 and so on names. */
const fenceOf = (a: number) => `.word ${0x1200_0073 | ((10 + a) << 15)}`;

/** Code as the words that `start` puts into RAM. */
function pageOf(source: string, at: number): [number, bigint][] {
  const words = assemble(source);
  const found: [number, bigint][] = [];
  for (let n = 0; n < words.length; n += 2) {
    found.push([at + n * 4, BigInt(words[n]!) | (BigInt(words[n + 1] ?? 0x13) << 32n)]);
  }
  return found;
}

for (const engine of engines) {
  describe(engine.name, () => {
    for (const depth of [1, 7, callRoom, callRoom + 1, 3 * callRoom + 5]) {
      test(`calls ${depth} deep come back in order`, () => {
        const m = execute(engine, `
          ${stack('sp')}
          li a0, ${depth}
          jal ra, sum
          jal zero, done
        sum:
          beq a0, zero, least
          ${push}
          addi a0, a0, -1
          jal ra, sum
          ${pop}
          slli a1, a1, 1
          add a0, a0, t0
          xor a1, a1, t0
          jalr zero, ra, 0
        least:
          li a1, 1
          jalr zero, ra, 0`, 100_000); // prettier-ignore
        assert.equal(m.x(10), BigInt((depth * (depth + 1)) / 2));
        let order = 1n;
        for (let n = 1n; n <= BigInt(depth); n++) order = BigInt.asUintN(64, order << 1n) ^ n;
        assert.equal(BigInt.asUintN(64, m.x(11)), order);
      });
    }

    test('one that returns past its callers goes on there, and they are forgotten', () => {
      const m = execute(engine, `
          ${stack('sp')}
          li a0, 6
          jal s1, outer
        back:
          addi s2, s2, 1
          jal zero, done
        outer:
          addi s3, s1, 0
        down:
          ${push}
          addi a0, a0, -1
          beq a0, zero, away
          jal ra, down
          addi s4, s4, 1
          jal zero, done
        away:
          addi ra, s3, 0
          jalr zero, ra, 0`); // prettier-ignore
      assert.equal(m.x(18), 1n);
      assert.equal(m.x(20), 0n);
    });

    test('two that hand over to each other have each its own callers', () => {
      const m = execute(engine, `
          ${stack('sp')}
          ${stack('s1', 2)}
          jal s2, first
        second:
          jal ra, deeper
          jal zero, second
        deeper:
          addi sp, sp, -16
          sd ra, 0(sp)
          jal ra, hand
          addi s6, s6, 1
          ld ra, 0(sp)
          addi sp, sp, 16
          jalr zero, ra, 0
        first:
          li s4, 50
        again:
          jal ra, hand
          addi s5, s5, 1
          addi s4, s4, -1
          bne s4, zero, again
          jal zero, done
        hand:
          addi t3, sp, 0
          addi sp, s1, 0
          addi s1, t3, 0
          addi t3, ra, 0
          addi ra, s2, 0
          addi s2, t3, 0
          jalr zero, ra, 0`); // prettier-ignore
      assert.equal(m.x(21), 50n);
      assert.equal(m.x(22), 49n);
    });

    test('a fault at the place that a caller waits for is raised, each time', () => {
      const m = execute(engine, `
          jal t0, after
        handler:
          addi s5, s5, 1
          csrrs t1, mepc, zero
          addi t1, t1, 4
          csrrw zero, mepc, t1
          mret
        after:
          csrrw zero, mtvec, t0
          lui t6, 0x80800000
          ${stack('sp')}
          li a0, 5
          jal ra, down
          jal zero, done
        down:
          ${push}
          addi a0, a0, -1
          beq a0, zero, site
          jal ra, down
        site:
          ld zero, 0(t6)
          ld ra, 0(sp)
          addi sp, sp, 16
          jalr zero, ra, 0`); // prettier-ignore
      assert.equal(m.x(21), 5n);
    });

    test('a callee that rewrites its caller comes back to the new code', () => {
      const add = (value: number) => assemble(`addi s5, s5, ${value}`)[0]!;
      const m = execute(engine, `
          li s4, 5
          li t3, ${add(1)}
          li t4, ${add(100)}
        again:
          addi s4, s4, -1
          bne s4, zero, same
          addi t3, t4, 0
        same:
          jal ra, write
          addi s5, s5, 1
          bne s4, zero, again
          jal zero, done
        write:
          sw t3, 0(ra)
          fence.i
          jalr zero, ra, 0`); // prettier-ignore
      assert.equal(m.x(21), 104n);
    });

    test('code that maps another page under itself goes on there behind the fence', () => {
      const code = (value: number) => `
          lui t1, 0x2000
          sd t2, 8(t1)
          sfence.vma
          addi s5, s5, ${value}
        stay:
          jal zero, stay`;
      const pages = [
        ...tables(pte(0x20_0000n, 0xcfn), pte(0x10_2000n, rw)),
        ...pageOf(code(1), 0x20_0000),
        ...pageOf(code(100), 0x20_1000),
      ];
      const source = `
          li t2, ${Number(pte(0x20_1000n, 0xcfn))}
          lui t0, 0x1000
          jalr zero, t0, 0`;
      const m = start(engine, { mode: supervisor, source, csr: { satp: paged() }, pages });
      assert.equal(m.x(21), 100n);
    });

    test('a callee that maps another page under its caller comes back to that', () => {
      // The caller, of which there are two, is at 0x1000, the page table at 0x3000.
      const caller = (value: number) => `
        again:
          addi s4, s4, -1
          bne s4, zero, same
          addi a2, a3, 0
        same:
          jal ra, far
          addi s5, s5, ${value}
          bne s4, zero, again
        stay:
          jal zero, stay
        far:
          lui t3, 0x2000
          jalr zero, t3, 0`;
      const pages = [
        ...tables(pte(0x20_0000n, 0xcfn), pte(0x20_2000n, 0xcfn), pte(0x10_2000n, rw)),
        ...pageOf(caller(1), 0x20_0000),
        ...pageOf(caller(100), 0x20_1000),
        ...pageOf(`
          lui t1, 0x3000
          sd a2, 8(t1)
          ${fenceOf(0)}
          jalr zero, ra, 0`, 0x20_2000),
      ]; // prettier-ignore
      const source = `
          li a2, ${Number(pte(0x20_0000n, 0xcfn))}
          li a3, ${Number(pte(0x20_1000n, 0xcfn))}
          li s4, 5
          lui a0, 0x1000
          jalr zero, a0, 0`;
      const m = start(engine, { mode: supervisor, source, csr: { satp: paged() }, pages });
      assert.equal(m.x(21), 104n);
    });

    test('a callee that leaves for another mode by mret does not come back', () => {
      // S has other code at the place to which the caller wants its callee back.
      const source = `
          jal zero, call
          nop
          addi s5, s5, 100
        stay:
          jal zero, stay
        call:
          li s4, 5
          auipc t3, 0x200000
          jalr zero, t3, -24`;
      const pages: [number, bigint][] = [
        ...tables(),
        [0x10_0010, pte(0x10_3000n, table)],
        [0x10_3008, pte(0n, 0xcfn)],
        ...pageOf(`
          addi s4, s4, -1
          jal ra, callee
          addi s5, s5, 1
          jal zero, here
        callee:
          beq s4, zero, away
          jalr zero, ra, 0
        here:
          auipc t3, 0
          jalr zero, t3, -24
        away:
          csrrw zero, mepc, ra
          mret`, 0x20_0000),
      ];
      const csr = { satp: paged(), mstatus: 1n << 11n };
      assert.equal(start(engine, { mode: machine, source, csr, pages }).x(21), 104n);
    });
  });
}

test('a call that finds no translation comes back all the same', () => {
  const m = execute({ name: 'late', threshold: 2, late: 5 }, `
      li s4, 40
    again:
      jal ra, leaf
      addi s4, s4, -1
      bne s4, zero, again
      jal zero, done
    leaf:
      addi s5, s5, 1
      jalr zero, ra, 0`); // prettier-ignore
  assert.equal(m.x(21), 40n);
});
