/**
 * Traps, delegation, interrupts and address translation, on both engines. Each program ends in the
 * loop at 0x8000_0800, where every trap vector points. Sections are those of the privileged
 * specification.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { contextCount } from '../../../../src-main/engines/riscv/layout.ts';
import { assemble } from '../../../isa/assemble.ts';
import { engines } from '../../../isa/bare.ts';
import {
  base, end, forUser, interrupt, machine, onlyX, paged, pte, rw, start, supervisor, tables, user,
  words,
} from '../../../isa/program.ts'; // prettier-ignore

const sum = 1n << 18n, mxr = 1n << 19n, mprv = 1n << 17n; // prettier-ignore
const spp = 0x100n, tvm = 1n << 20n, tw = 1n << 21n, tsr = 1n << 22n; // prettier-ignore
const load = 'li a0, 0x1000\nlw a1, 0(a0)';

for (const engine of engines) {
  describe(engine.name, () => {
    test('3.1.8: a delegated call goes to S, another to M', () => {
      const csr = { medeleg: 0x100n };
      const delegated = start(engine, { mode: user, source: 'nop\necall', csr });
      assert.equal(delegated.hart.state.wide('scause'), 8n);
      assert.equal(delegated.hart.state.wide('sepc'), base + 4n);
      assert.equal(delegated.hart.state.word('priv'), supervisor);
      assert.equal(delegated.hart.state.wide('mstatus') & spp, 0n);
      const kept = start(engine, { mode: supervisor, source: 'ecall' });
      assert.equal(kept.hart.state.wide('mcause'), 9n);
      assert.equal(kept.hart.state.wide('mepc'), base);
      assert.equal((kept.hart.state.wide('mstatus') >> 11n) & 3n, 1n);
    });

    test('3.3.1: ebreak is a breakpoint at itself, in its short form too', () => {
      const short = 0x9002;
      const shortNop = 1;
      for (const word of [0x0010_0073, short | (shortNop << 16)]) {
        const m = start(engine, { mode: supervisor, source: `li a0, 7\n.word ${word}` });
        assert.equal(m.hart.state.wide('mcause'), 3n);
        assert.equal(m.hart.state.wide('mepc'), base + 8n);
        assert.equal(m.hart.state.wide('mtval'), base + 8n);
        assert.equal(m.x(10), 7n);
      }
    });

    test('3.1.9: interrupts in the order MEI MSI MTI SEI SSI STI', () => {
      const all = 0xaaan;
      const csr = { mie: all, stimecmp: 0n };
      let due = all;
      for (const cause of [11n, 3n, 7n, 9n, 1n, 5n]) {
        const m = start(engine, { mode: user, source: 'nop', csr, irq: Number(due) });
        assert.equal(m.hart.state.wide('mcause'), interrupt | cause);
        due &= ~(1n << cause);
      }
    });

    test('10.1.1: S waits with SIE clear, U does not; vectors are by cause', () => {
      const csr = { mie: 0x200n, mideleg: 0x222n, stvec: (end - 36n) | 1n };
      const held = start(engine, { mode: supervisor, source: 'li a0, 7', csr, irq: 0x200 });
      assert.equal(held.x(10), 7n);
      assert.equal(held.hart.state.wide('scause'), 0n);
      const taken = start(engine, { mode: user, source: 'li a0, 7', csr, irq: 0x200 });
      assert.equal(taken.hart.state.wide('scause'), interrupt | 9n);
      assert.equal(taken.hart.state.wide('pc'), end);
    });

    test('3.1.6.5: TVM, TW and TSR make satp, wfi and sret of S illegal', () => {
      for (const [bit, source] of [
        [tvm, 'csrrs a0, satp, zero'],
        [tvm, 'sfence.vma'],
        [tw, 'wfi'],
        [tsr, 'sret'],
      ] as const) {
        const m = start(engine, { mode: supervisor, source, csr: { mstatus: bit } });
        assert.equal(m.hart.state.wide('mcause'), 2n, source);
        assert.equal(m.hart.state.wide('mtval'), BigInt(assemble(source)[0]!), source);
      }
    });

    test('10.1.1: S reads a page of U with SUM, an execute-only page with MXR', () => {
      for (const [leaf, bit] of [
        [pte(0x20_0000n, rw | forUser), sum],
        [pte(0x20_0000n, onlyX), mxr],
      ] as const) {
        const pages: [number, bigint][] = [...tables(leaf), [0x20_0000, 77n]];
        const plain = { satp: paged() };
        const closed = start(engine, { mode: supervisor, source: load, csr: plain, pages });
        assert.equal(closed.hart.state.wide('mcause'), 13n);
        assert.equal(closed.hart.state.wide('mtval'), 0x1000n);
        const csr = { satp: paged(), mstatus: bit };
        assert.equal(start(engine, { mode: supervisor, source: load, csr, pages }).x(11), 77n);
      }
    });

    test('3.1.6.3: with MPRV, M reads by the tables and rights of MPP', () => {
      const pages: [number, bigint][] = [...tables(pte(0x20_0000n, rw)), [0x20_0000, 77n]];
      const csr = { satp: paged(), mstatus: mprv | (1n << 11n) };
      assert.equal(start(engine, { mode: machine, source: load, csr, pages }).x(11), 77n);
      const asUser = { satp: paged(), mstatus: mprv };
      const m = start(engine, { mode: machine, source: load, csr: asUser, pages });
      assert.equal(m.hart.state.wide('mcause'), 13n);
    });

    test('10.3.1: a load sets A, a store sets D, where menvcfg.ADUE allows it', () => {
      const pages = tables(pte(0x20_0000n, 7n), pte(0x20_1000n, 7n));
      const source = 'li a0, 0x1000\nli a2, 0x2000\nlw a1, 0(a0)\nsw a1, 0(a2)';
      const csr = { satp: paged(), menvcfg: 1n << 61n };
      const m = start(engine, { mode: supervisor, source, csr, pages });
      assert.equal(words(m).getBigUint64(0x10_2008, true), pte(0x20_0000n, 0x47n));
      assert.equal(words(m).getBigUint64(0x10_2010, true), pte(0x20_1000n, 0xc7n));
      const refused = start(engine, { mode: supervisor, source, csr: { satp: paged() }, pages });
      assert.equal(refused.hart.state.wide('mcause'), 13n);
    });

    test('10.2.1: a changed entry is seen after the fence', () => {
      const pages: [number, bigint][] = [
        ...tables(pte(0x20_0000n, rw)),
        [0x20_0000, 77n],
        [0x20_1000, 78n],
      ];
      const swap = 'ld t2, 0(t0)\nadd t2, t2, t3\nsd t2, 0(t0)\nsfence.vma\nlw a2, 0(a0)';
      const source = `${load}\nlui t0, 0x80102000\naddi t0, t0, 8\nslli t0, t0, 32
        srli t0, t0, 32\nli t3, 0x400\n${swap}`;
      const m = start(engine, { mode: supervisor, source, csr: { satp: paged() }, pages });
      assert.deepEqual([m.x(11), m.x(12)], [77n, 78n]);
    });

    test('10.1.11: a new satp holds for the very next fetch, whichever table it gets', () => {
      // In turn through as many address spaces as have tables, then from the oldest of them into
      // one that has no page, also not the program’s.
      const source = `csrrs a0, satp, zero\nadd a1, a0, zero\nli t0, 1\nslli t0, t0, 44
        li t1, ${contextCount - 1}
        others:\nadd a0, a0, t0\ncsrrw zero, satp, a0\naddi t1, t1, -1\nbne t1, zero, others
        csrrw zero, satp, a1\naddi a1, a1, 16\ncsrrw zero, satp, a1\nli a2, 1`;
      const csr = { satp: paged() };
      const m = start(engine, { mode: supervisor, source, csr, pages: tables() });
      assert.deepEqual([m.hart.state.wide('mcause'), m.x(12)], [12n, 0n]);
      assert.equal(m.hart.state.wide('mepc'), m.hart.state.wide('mtval'));
    });

    test('3.1.16: mtval has the bits of what is illegal, two bytes of a short one', () => {
      // c.fld f8, 0(x8) while the unit is off, before a c.nop.
      const short = start(engine, { mode: supervisor, source: '.word 0x00012000' });
      assert.equal(short.hart.state.wide('mcause'), 2n);
      assert.equal(short.hart.state.wide('mtval'), 0x2000n);
      const source = 'nop\ncbo.4 zero, a0';
      const block = start(engine, { mode: supervisor, source, csr: { menvcfg: 0n } });
      assert.equal(block.hart.state.wide('mcause'), 2n);
      assert.equal(block.hart.state.wide('mtval'), BigInt(assemble(source)[1]!));
    });

    test('3.1.18: the reserved CBIE of 2 is not kept', () => {
      for (const register of ['menvcfg', '0x10a']) {
        const source = `li a0, 0xa1\ncsrrw zero, ${register}, a0\ncsrrs a1, ${register}, zero`;
        assert.equal(start(engine, { mode: machine, source }).x(11), 0x81n, register);
      }
    });

    test('cache blocks: clean, flush and inval where a load may go, zero where a store may', () => {
      const readOnly = 0x43n;
      const pages: [number, bigint][] = [
        ...tables(pte(0x20_0000n, rw), pte(0x20_1000n, readOnly), 0n),
        [0x20_0038, 5n], [0x20_0040, 6n], [0x20_0078, 7n], [0x20_0080, 8n],
      ]; // prettier-ignore
      const csr = { satp: paged(), menvcfg: 0xf0n };
      const at = (address: number, name: string) =>
        start(engine, {
          mode: supervisor, source: `li a0, ${address}\n${name} zero, a0`, csr, pages,
        }); // prettier-ignore
      const zeroed = words(at(0x1050, 'cbo.4'));
      const left = [0x38, 0x40, 0x78, 0x80].map((n) => zeroed.getBigUint64(0x20_0000 + n, true));
      assert.deepEqual(left, [5n, 0n, 0n, 8n]);
      for (const name of ['cbo.0', 'cbo.1', 'cbo.2']) {
        assert.equal(at(0x2050, name).hart.state.wide('mcause'), 0n, name);
      }
      for (const [address, name] of [
        [0x2050, 'cbo.4'],
        [0x3050, 'cbo.4'],
        [0x3050, 'cbo.1'],
      ] as const) {
        const { state } = at(address, name).hart;
        assert.deepEqual([state.wide('mcause'), state.wide('mtval')], [15n, BigInt(address)]);
      }
    });
  });
}
