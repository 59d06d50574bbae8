/** Each instruction group on the interpreter and on the translator, from its first execution. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { engines, execute } from '../../../isa/bare.ts';
import type { Engine } from '../../../isa/bare.ts';

const u64 = (value: bigint | number) => BigInt.asUintN(64, BigInt(value));

/** Runs `name a2, a0, a1` for each row of [a0, a1, a2]. */
function binary(engine: Engine, name: string, rows: [number, number, bigint | number][]): void {
  for (const [a, b, want] of rows) {
    const m = execute(engine, `li a0, ${a}\nli a1, ${b}\n${name} a2, a0, a1`, 50);
    assert.equal(m.x(12), u64(want), `${name} ${a}, ${b}`);
  }
}

for (const engine of engines) {
  describe(engine.name, () => {
    test('integer arithmetic wraps, and words are sign-extended', () => {
      binary(engine, 'add', [
        [1, 2, 3],
        [-1, 1, 0],
        [0x7fffffff, 1, 0x80000000],
      ]);
      binary(engine, 'addw', [[0x7fffffff, 1, -0x80000000]]);
      binary(engine, 'sub', [[0, 1, -1]]);
      binary(engine, 'slt', [
        [-1, 0, 1],
        [0, -1, 0],
      ]);
      binary(engine, 'sltu', [
        [-1, 0, 0],
        [0, -1, 1],
      ]);
      binary(engine, 'sll', [
        [1, 63, 1n << 63n],
        [1, 64, 1],
      ]);
      binary(engine, 'sra', [[-8, 1, -4]]);
      binary(engine, 'srlw', [
        [-1, 4, 0x0fffffff],
        [-1, 32, -1],
      ]);
    });

    test('division by zero and overflow give what the manual says', () => {
      binary(engine, 'div', [
        [7, -2, -3],
        [7, 0, -1],
        [-7, -1, 7],
      ]);
      binary(engine, 'divu', [[7, 0, -1]]);
      binary(engine, 'rem', [
        [7, -2, 1],
        [7, 0, 7],
        [-7, -1, 0],
      ]);
      binary(engine, 'divw', [[-0x80000000, -1, -0x80000000]]);
      binary(engine, 'remuw', [[-1, 0, -1]]);
    });

    test('the high half of a product is exact for every mix of signs', () => {
      binary(engine, 'mulh', [
        [-1, -1, 0],
        [-1, 1, -1],
      ]);
      binary(engine, 'mulhu', [[-1, -1, -2]]);
      binary(engine, 'mulhsu', [
        [-1, -1, -1],
        [1, -1, 0],
      ]);
    });

    test('bit manipulation', () => {
      binary(engine, 'andn', [[15, 5, 10]]);
      binary(engine, 'sh3add', [[2, 5, 21]]);
      binary(engine, 'add.uw', [[-1, 1, 0x1_0000_0000n]]);
      binary(engine, 'rolw', [[0x40000000, 1, -0x80000000]]);
      binary(engine, 'maxu', [[-1, 1, -1]]);
      binary(engine, 'bext', [[8, 3, 1]]);
      binary(engine, 'czero.eqz', [
        [7, 0, 0],
        [7, 1, 7],
      ]);
      const program = ['li a0, 0x00120000', 'clz a1, a0', 'ctz a2, a0', 'cpop a3, a0'];
      const m = execute(engine, [...program, 'rev8 a4, a0', 'orc.b a5, a0'].join('\n'), 50);
      assert.deepEqual(
        [11, 12, 13].map((n) => Number(m.x(n))),
        [43, 17, 2],
      );
      assert.equal(m.x(14), 0x0000_1200_0000_0000n);
      assert.equal(m.x(15), 0xff0000n);
    });

    test('loads extend as their name says, and need no alignment', () => {
      const m = execute(engine, `
        auipc s0, 0
        li a0, -2
        sd a0, 256(s0)
        sh zero, 259(s0)
        lb a1, 256(s0)
        lbu a2, 256(s0)
        lw a3, 257(s0)
        ld a4, 256(s0)
      `, 50); // prettier-ignore
      assert.equal(m.x(11), u64(-2));
      assert.equal(m.x(12), 0xfen);
      assert.equal(m.x(13), 0x0000ffffn);
      assert.equal(m.x(14), 0xffffff0000fffffen);
    });

    test('an access across a page boundary reaches both pages', () => {
      const m = execute(engine, `
        auipc s0, 0
        lui s1, 0x1000
        add s0, s0, s1
        li a0, 0x12345678
        sw a0, -2(s0)
        lhu a1, 0(s0)
        lw a2, -2(s0)
      `, 50); // prettier-ignore
      assert.equal(m.x(11), 0x1234n);
      assert.equal(m.x(12), 0x12345678n);
    });

    test('branches and loops', () => {
      const m = execute(engine, `
        li a0, 100
        li a1, 0
        again:
        add a1, a1, a0
        addi a0, a0, -1
        bne a0, zero, again
        jal ra, sub
        beq zero, zero, end
        sub:
        addi a1, a1, 1
        jalr zero, 0(ra)
        end:
      `.replace('jalr zero, 0(ra)', 'jalr zero, ra, 0'), 2000); // prettier-ignore
      assert.equal(m.x(11), 5051n);
    });

    test('atomics work on memory and give the old value', () => {
      const m = execute(engine, `
        auipc s0, 0
        addi s0, s0, 1024
        li a0, 5
        sw a0, 0(s0)
        li a1, -3
        amoadd.w a2, s0, a1
        amomaxu.w a3, s0, a1
        lr.w a4, s0
        sc.w a5, s0, a0
        sc.w a6, s0, a0
        lw a7, 0(s0)
      `, 80); // prettier-ignore
      assert.deepEqual(
        [12, 13, 14, 15, 16, 17].map((n) => m.x(n)),
        [5n, 2n, u64(-3), 0n, 1n, 5n],
      );
    });

    test('a fault is precise: earlier instructions are done, later ones are not', () => {
      const m = execute(engine, `
        auipc s0, 0
        addi s0, s0, 36
        csrrw zero, mtvec, s0
        li a0, 1
        addi a0, a0, 1
        ld a1, 0(zero)
        addi a0, a0, 16
        addi a0, a0, 32
        csrrs a2, mcause, zero
        csrrs a3, mepc, zero
        csrrs a4, mtval, zero
      `.replace('ld a1, 0(zero)', 'ld a1, -8(zero)'), 60); // prettier-ignore
      assert.equal(m.x(10), 2n);
      assert.deepEqual(
        [12, 13, 14].map((n) => m.x(n)),
        [5n, 0x8000_0018n, u64(-8)],
      );
    });

    test('code that is written over counts after fence.i', () => {
      const m = execute(engine, `
        auipc s0, 0
        li s1, 0x00158593  # addi a1, a1, 1
        li a0, 3
        again:
        addi a1, a1, 100
        sw s1, 20(s0)
        fence.i
        addi a0, a0, -1
        bne a0, zero, again
      `, 200); // prettier-ignore
      assert.equal(m.x(11), 102n);
    });

    test('an illegal instruction traps with its bits', () => {
      const m = execute(engine, `
        auipc s0, 0
        addi s0, s0, 16
        csrrw zero, mtvec, s0
        .word 0xffffffff
        csrrs a2, mcause, zero
        csrrs a4, mtval, zero
      `, 40); // prettier-ignore
      assert.equal(m.x(12), 2n);
      assert.equal(m.x(14), 0xffffffffn);
    });

    test('reserved fields of a privileged instruction make it illegal', () => {
      for (const word of ['0x000000f3', '0x00008073', '0x105000f3', '0x302080f3']) {
        const m = execute(engine, `
          auipc s0, 0
          addi s0, s0, 16
          csrrw zero, mtvec, s0
          .word ${word}
          csrrs a2, mcause, zero
          csrrs a3, mtval, zero
        `, 40); // prettier-ignore
        assert.equal(m.x(12), 2n, word);
        assert.equal(m.x(13), BigInt(word));
      }
    });

    test('a reserved rounding mode is illegal, static or dynamic, and leaves FS as it is', () => {
      for (const [frm, word] of [[5, '0x0220f1d3'], [0, '0x0220d1d3']]) {
        const m = execute(engine, `
          auipc s0, 0
          addi s0, s0, 52
          csrrw zero, mtvec, s0
          li a0, 0x6000
          csrrs zero, mstatus, a0
          li a0, ${frm}
          csrrw zero, frm, a0
          li a0, 0x4000
          csrrc zero, mstatus, a0
          .word ${word}
          csrrs a2, mcause, zero
          csrrs a3, mstatus, zero
        `, 60); // prettier-ignore
        assert.equal(m.x(12), 2n, `${word}, frm ${frm}`);
        assert.equal(m.x(13) & 0x6000n, 0x2000n);
      }
    });

    test('the software interrupt that M-mode sets is cleared by S-mode', () => {
      const m = execute(engine, `
        li a0, 0x222
        csrrw zero, mideleg, a0
        csrrsi zero, mip, 2
        csrrs a2, sip, zero
        csrrci zero, sip, 2
        csrrs a3, mip, zero
        csrrsi zero, sip, 2
        csrrs a4, mip, zero
        csrrci zero, mip, 2
        csrrs a5, sip, zero
      `, 60); // prettier-ignore
      assert.deepEqual([12, 13, 14, 15].map((n) => m.x(n) & 2n), [2n, 0n, 2n, 0n]);
    });

    test('counters that cannot be stopped say so', () => {
      const program = 'li a0, -1\ncsrrw zero, 0x320, a0\ncsrrs a2, 0x320, zero';
      assert.equal(execute(engine, program, 40).x(12), 0n);
    });

    test('the floating point unit traps while switched off', () => {
      const m = execute(engine, `
        auipc s0, 0
        addi s0, s0, 16
        csrrw zero, mtvec, s0
        fadd.d f1, f2, f3
        csrrs a2, mcause, zero
      `, 40); // prettier-ignore
      assert.equal(m.x(12), 2n);
    });
  });
}
