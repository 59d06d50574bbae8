/**
 * The hypervisor extension, on both engines: who gets a trap and what it says, two-stage
 * translation, a guest's interrupts and timer (Privileged, chapter "H"). HS is the mode of the
 * host's kernel; VS and VU are those of the guest's.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { assemble } from '../../../isa/assemble.ts';
import { engines } from '../../../isa/bare.ts';
import type { Bare } from '../../../isa/bare.ts';
import {
  base, end, forUser, interrupt, machine, onlyX, paged, pte, rw, start, supervisor, tables, user,
  words,
} from '../../../isa/program.ts'; // prettier-ignore

const misa = 0x8000_0000_0014_11adn;
const allToHs = { misa, medeleg: 0xf0b7ffn, mideleg: 0x1666n, mcounteren: 7n };
const spv = 0x80n, spvp = 0x100n, gva = 0x40n; // prettier-ignore
const vtvm = 1n << 20n, vtw = 1n << 21n, vtsr = 1n << 22n; // prettier-ignore
const svadu = 1n << 61n, stce = 1n << 63n; // prettier-ignore

/** Sv39x4 at 0x18_0000, VMID 5: RAM as it stands, small pages from guest address 0x1000 on. */
const hgatp = (8n << 60n) | (5n << 44n) | ((base + 0x18_0000n) >> 12n);
const identity = pte(0n, 0xdfn);
function secondStage(...leaves: bigint[]): [number, bigint][] {
  return [
    [0x18_0010, identity],
    [0x18_0000, pte(0x18_4000n, 1n)],
    [0x18_4000, pte(0x18_5000n, 1n)],
    ...leaves.map((leaf, n): [number, bigint] => [0x18_5008 + n * 8, leaf]),
  ];
}
const toPage = pte(0x20_0000n, rw | forUser);
const load = 'li a0, 0x1000\nlw a1, 0(a0)';

/** What the host's kernel finds after a guest's trap. */
function atHost({ hart }: Bare): Record<'cause' | 'value' | 'htval' | 'htinst' | 'gva', bigint> {
  const { state } = hart;
  assert.equal(state.word('virt'), 0);
  const isGva = (state.wide('hstatus') & gva) >> 6n;
  const [cause, value] = [state.wide('scause'), state.wide('stval')];
  return {
    cause, value, htval: state.wide('htval'), htinst: state.wide('htinst'), gva: isGva,
  }; // prettier-ignore
}

for (const engine of engines) {
  describe(engine.name, () => {
    test('a call of VS is cause 10 for HS, which finds V and the privilege in hstatus', () => {
      const m = start(engine, { mode: supervisor, guest: true, source: 'ecall', csr: allToHs });
      assert.deepEqual(atHost(m), { cause: 10n, value: 0n, htval: 0n, htinst: 0n, gva: 0n });
      assert.equal(m.hart.state.wide('hstatus') & (spv | spvp), spv | spvp);
      assert.equal(m.hart.state.wide('sepc'), base);
      const fromUser = start(engine, { mode: user, guest: true, source: 'ecall', csr: allToHs });
      assert.equal(atHost(fromUser).cause, 8n);
      assert.equal(fromUser.hart.state.wide('hstatus') & (spv | spvp), spv);
    });

    test('what hedeleg names stays in the guest, and hstatus is not touched', () => {
      const csr = { ...allToHs, hedeleg: 0x100n };
      const m = start(engine, { mode: user, guest: true, source: 'nop\necall', csr });
      assert.equal(m.hart.state.word('virt'), 1);
      assert.equal(m.hart.state.word('priv'), supervisor);
      assert.equal(m.hart.state.wide('scause'), 8n);
      assert.equal(m.hart.state.wide('sepc'), base + 4n);
      assert.equal(m.hart.state.wide('altcause'), 0n);
      assert.equal(m.hart.state.wide('hstatus'), 0n);
    });

    test('M finds V in mstatus.MPV, and mret goes back by it', () => {
      const m = start(engine, { mode: supervisor, guest: true, source: 'ecall', csr: { misa } });
      assert.equal(m.hart.state.wide('mcause'), 10n);
      assert.equal((m.hart.state.wide('mstatus') >> 39n) & 1n, 1n);
      const csr = { misa, mepc: end, mstatus: (1n << 39n) | (1n << 11n) };
      const back = start(engine, { mode: machine, source: 'mret', csr });
      assert.equal(back.hart.state.word('virt'), 1);
      assert.equal(back.hart.state.word('priv'), supervisor);
    });

    test('sret of HS enters the guest with the guest’s own registers', () => {
      const csr = { ...allToHs, hstatus: spv, mstatus: 0x100n, sepc: base + 8n, altepc: end };
      const m = start(engine, { mode: supervisor, source: 'sret\nnop\nsret', csr });
      assert.equal(m.hart.state.word('virt'), 1);
      assert.equal(m.hart.state.wide('pc'), end);
      assert.equal(m.hart.state.wide('hstatus') & spv, 0n);
    });

    test('what HS may do and the guest may not is a virtual instruction, else illegal', () => {
      const cases: [number, string, bigint, bigint?][] = [
        [supervisor, 'csrrs a0, hstatus, zero', 22n],
        [supervisor, 'csrrs a0, vsstatus, zero', 22n],
        [supervisor, 'csrrs a0, mstatus, zero', 2n],
        [supervisor, 'csrrs a0, 0x5c0, zero', 2n],
        [supervisor, 'hfence.gvma', 22n],
        [supervisor, 'hlv.w a1, a0', 22n],
        [supervisor, 'mret', 2n],
        [supervisor, 'csrrs a0, satp, zero', 22n, vtvm],
        [supervisor, 'sfence.vma', 22n, vtvm],
        [supervisor, 'wfi', 22n, vtw],
        [supervisor, 'sret', 22n, vtsr],
        [supervisor, 'csrrs a0, time, zero', 22n],
        [user, 'csrrs a0, sstatus, zero', 22n],
        [user, 'csrrs a0, hgatp, zero', 22n],
        [user, 'csrrs a0, 0xc05, zero', 2n],
        [user, 'sret', 22n],
        [user, 'wfi', 22n],
      ];
      for (const [mode, source, cause, hstatus = 0n] of cases) {
        const csr = { ...allToHs, hstatus };
        const m = start(engine, { mode, guest: true, source, csr });
        const value = BigInt(assemble(source)[0]!);
        assert.deepEqual([atHost(m).cause, atHost(m).value], [cause, value], source);
      }
    });

    test('without the extension its registers and instructions are illegal', () => {
      for (const source of ['csrrs a0, hstatus, zero', 'hfence.gvma', 'hlv.w a1, a0']) {
        const m = start(engine, { mode: machine, source, csr: { misa: misa & ~0x80n } });
        assert.equal(m.hart.state.wide('mcause'), 2n, source);
      }
    });

    test('an address goes through both stages; a page wants U in the second', () => {
      const pages: [number, bigint][] = [
        ...tables(pte(0x1000n - base, rw)),
        ...secondStage(toPage, pte(0x20_0000n, rw)),
        [0x20_0000, 77n],
      ];
      const csr = { ...allToHs, satp: paged(), hgatp };
      const guest = { mode: supervisor, guest: true, pages };
      assert.equal(start(engine, { ...guest, source: load, csr }).x(11), 77n);
      const bareFirst = { ...guest, csr: { ...csr, satp: 0n } };
      assert.equal(start(engine, { ...bareFirst, source: load }).x(11), 77n);
      const refused = start(engine, { ...bareFirst, source: 'li a0, 0x2010\nlw a1, 0(a0)' });
      const htval = 0x2010n >> 2n;
      assert.deepEqual(atHost(refused), { cause: 21n, value: 0x2010n, htval, htinst: 0n, gva: 1n });
    });

    test('a page fault of the first stage is the guest’s kind, with gva', () => {
      const pages = [...tables(), ...secondStage(toPage)];
      const csr = { ...allToHs, satp: paged(), hgatp };
      const m = start(engine, { mode: supervisor, guest: true, source: load, csr, pages });
      const fault = { cause: 13n, value: 0x1000n, htval: 0n, htinst: 0n, gva: 1n };
      assert.deepEqual(atHost(m), fault);
    });

    test('a table that the second stage lacks is told by htinst 0x3000', () => {
      const pages: [number, bigint][] = [
        ...tables(),
        [0x10_0000, pte(0x3000n - base, 1n)],
        ...secondStage(),
      ];
      const csr = { ...allToHs, satp: paged(), hgatp };
      const m = start(engine, { mode: supervisor, guest: true, source: load, csr, pages });
      const fault = { cause: 21n, value: 0x1000n, htval: 0x3000n >> 2n, htinst: 0x3000n, gva: 1n };
      assert.deepEqual(atHost(m), fault);
    });

    test('A is set in a guest’s table by a write of the second stage, or htinst is 0x3020', () => {
      const entry = pte(0x20_0000n, 7n);
      const pages = (second: bigint): [number, bigint][] => [
        ...tables(entry),
        [0x10_1000, pte(0x1000n - base, 1n)],
        ...secondStage(second),
        [0x20_0000, 77n],
      ];
      const csr = { ...allToHs, satp: paged(), hgatp, menvcfg: svadu, henvcfg: svadu };
      const program = { mode: supervisor, guest: true, source: load, csr };
      const writable = start(engine, { ...program, pages: pages(pte(0x10_2000n, rw | forUser)) });
      assert.equal(writable.x(11), 77n);
      assert.equal(words(writable).getBigUint64(0x10_2008, true), entry | 0x40n);
      const closed = start(engine, { ...program, pages: pages(pte(0x10_2000n, 0x53n)) });
      const fault = { cause: 21n, value: 0x1000n, htval: 0x1008n >> 2n, htinst: 0x3020n, gva: 1n };
      assert.deepEqual(atHost(closed), fault);
    });

    test('HLV and HSV access memory as the guest of hstatus.SPVP would', () => {
      const pages: [number, bigint][] = [
        ...tables(pte(0x1000n - base, rw), pte(0x2000n - base, onlyX)),
        ...secondStage(toPage, pte(0x20_1000n, onlyX | forUser)),
        [0x20_0000, 0xfedc_ba98n],
        [0x20_1000, 0x1234n],
      ];
      const csr = { ...allToHs, altsatp: paged(), hgatp, hstatus: spvp };
      const source = `li a0, 0x1000\nhlv.w a1, a0\nhlv.wu a2, a0\nhlv.b a3, a0\nhsv.b zero, a0
        hlv.hu a4, a0\nli a0, 0x2000\nhlvx.hu a5, a0\nhlv.hu a6, a0`;
      const m = start(engine, { mode: supervisor, source, csr, pages });
      const minus = (n: bigint) => BigInt.asUintN(64, -n);
      assert.deepEqual([11, 12, 13, 14].map((n) => m.x(n)), [
        minus(0x0123_4568n), 0xfedc_ba98n, minus(0x68n), 0xba00n,
      ]); // prettier-ignore
      assert.equal(m.x(15), 0x1234n);
      const { cause, value, gva: isGva } = atHost(m);
      assert.deepEqual([cause, value, isGva], [13n, 0x2000n, 1n]);
      assert.equal(m.hart.state.wide('hstatus') & spv, 0n);
    });

    test('a changed entry of the second stage is seen after hfence.gvma', () => {
      const pages: [number, bigint][] = [
        ...secondStage(toPage),
        [0x20_0000, 77n],
        [0x20_1000, 78n],
      ];
      const source = `li a0, 0x1000\nhlv.w a1, a0\nlui t0, 0x80185000\nslli t0, t0, 32
        srli t0, t0, 32\nld t2, 8(t0)\naddi t2, t2, 0x400\nsd t2, 8(t0)\nhfence.gvma
        hlv.w a2, a0`;
      const csr = { ...allToHs, hgatp, hstatus: spvp };
      const m = start(engine, { mode: supervisor, source, csr, pages });
      assert.deepEqual([m.x(11), m.x(12)], [77n, 78n]);
    });

    test('HS comes first; what hideleg names goes to VS, one place lower', () => {
      const csr = { ...allToHs, mie: 0x1666n, hvip: 0x444n, stimecmp: 0n };
      const guest = { mode: user, guest: true, source: 'nop' };
      const host = start(engine, { ...guest, csr: { ...csr, hideleg: 0x444n }, irq: 2 });
      assert.equal(atHost(host).cause, interrupt | 1n);
      for (const [hvip, cause] of [[0x444n, 10n], [0x44n, 2n], [0x40n, 6n]] as const) {
        const here = start(engine, { ...guest, csr: { ...csr, hvip } });
        assert.equal(atHost(here).cause, interrupt | cause);
        const m = start(engine, { ...guest, csr: { ...csr, hvip, hideleg: 0x444n } });
        assert.equal(m.hart.state.word('virt'), 1);
        assert.equal(m.hart.state.wide('scause'), interrupt | (cause - 1n));
      }
    });

    test('sip and sie of the guest are the delegated bits of hip and hie', () => {
      const source = `csrrs a0, sip, zero\ncsrrwi zero, sie, 2\ncsrrs a1, sie, zero
        csrrwi zero, sip, 0\ncsrrs a2, sip, zero`;
      const csr = { ...allToHs, hvip: 0x444n, hideleg: 4n };
      const m = start(engine, { mode: supervisor, guest: true, source, csr });
      assert.deepEqual([m.x(10), m.x(11), m.x(12)], [2n, 2n, 0n]);
      assert.equal(m.hart.state.wide('mie'), 4n);
      assert.equal(m.hart.state.wide('hvip'), 0x440n);
    });

    test('a guest’s time is moved by htimedelta, and vstimecmp is held against that', () => {
      const timed = { ...allToHs, hcounteren: 2n, menvcfg: stce, henvcfg: stce };
      const read = { ...timed, htimedelta: 1000n };
      const clock = start(engine, {
        mode: supervisor, guest: true, source: 'csrrs a0, time, zero', csr: read,
      }); // prettier-ignore
      assert.ok(clock.x(10) >= 1000n && clock.x(10) < 1300n);
      for (const [value, due] of [['20', 0x20n], ['-1', 0n]] as const) {
        const source = `li a0, ${value}\ncsrrw zero, stimecmp, a0\ncsrrs a1, sip, zero`;
        const csr = { ...timed, htimedelta: 1000n, hideleg: 0x444n };
        assert.equal(start(engine, { mode: supervisor, guest: true, source, csr }).x(11), due);
      }
    });

    test('floating point wants FS of both, and makes both dirty', () => {
      const source = 'fmv.d.x f0, zero';
      const both = (vs: bigint, hs: bigint) =>
        start(engine, {
          mode: supervisor, guest: true, source,
          csr: { ...allToHs, mstatus: vs << 13n, altstatus: hs << 13n },
        }); // prettier-ignore
      assert.equal(atHost(both(1n, 0n)).cause, 2n);
      assert.equal(atHost(both(0n, 1n)).cause, 2n);
      const { state } = both(1n, 2n).hart;
      assert.equal((state.wide('mstatus') >> 13n) & 3n, 3n);
      assert.equal((state.wide('altstatus') >> 13n) & 3n, 3n);
    });
  });
}
