/**
 * A guest that is a host in turn, on both engines: level 0 is the host's kernel, 1 its guest, 2 the
 * guest of that one. To each pair of neighbours the hypervisor extension is as the specification
 * has it, and level 0 notices nothing but that hstatus has more to keep.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { banked, type Wide } from '../../../../../src-main/engines/riscv/layout.ts';
import { bankState } from '../../../../../src-main/engines/riscv/hart-state.ts';
import { engines, type Bare } from '../../../../isa/bare.ts';
import { generator, pick, wideNumber, type Random } from '../../../../isa/random.ts';
import {
  bankName, base, end, forUser, interrupt, onlyX, paged, pte, rw, start, supervisor, tables, user,
  words,
} from '../../../../isa/program.ts'; // prettier-ignore

const all = { misa: 0x8000_0000_0014_11adn, medeleg: 0xf0b7ffn, mideleg: 0x1666n, mcounteren: 7n };
const spv = 0x80n, spvp = 0x100n, gva = 0x40n, deepBit = 4n; // prettier-ignore
const vtw = 1n << 21n, svadu = 1n << 61n, stce = 1n << 63n; // prettier-ignore
const never = (1n << 64n) - 1n;

/** hgatp of a level: Sv39x4, with tables of its own; RAM as it stands, pages from 0x1000 on. */
const tablesAt = [0x18_0000, 0x1c_0000] as const;
const hgatp = (level: 0 | 1) =>
  (8n << 60n) | (5n << 44n) | ((base + BigInt(tablesAt[level])) >> 12n);
function secondStage(level: 0 | 1, ram: bigint, ...leaves: bigint[]): [number, bigint][] {
  const at = tablesAt[level];
  const table = (n: number) => pte(BigInt(at + n), 1n);
  return [
    [at + 0x10, ram],
    [at, table(0x4000)],
    [at + 0x4000, table(0x5000)],
    ...leaves.map((leaf, n): [number, bigint] => [at + 0x5008 + n * 8, leaf]),
  ];
}
const asItStands = pte(0n, 0xdfn);
/** A page at a guest address below RAM, as an entry. */
const low = (address: bigint, bits: bigint) => pte(address - base, bits);
const load = 'li a0, 0x1000\nlw a1, 0(a0)';

const bankOf = ({ shared }: Bare, n = 1) => bankState(shared.memory.buffer, n);
const level = ({ hart }: Bare) => hart.state.word('virt');

/** What the supervisor that has got a trap finds, and its hypervisor registers. */
function found(m: Bare) {
  const { state } = m.hart;
  const own = level(m) === 0 ? state : bankOf(m);
  const hstatus = own.wide('hstatus') & (spv | spvp | gva | deepBit);
  return {
    level: level(m), cause: state.wide('scause'), value: state.wide('stval'), hstatus,
    htval: own.wide('htval'), htinst: own.wide('htinst'),
  }; // prettier-ignore
}
const nothing = { htval: 0n, htinst: 0n };

for (const engine of engines) {
  describe(engine.name, () => {
    test('a guest that asks for hypervisor registers gets its own, named in hstatus', () => {
      const source = `li a0, 0x100\ncsrrw zero, hstatus, a0\ncsrrs a1, hstatus, zero
        csrrs a2, hgatp, zero\nli a3, 0x444\ncsrrw zero, hideleg, a3\ncsrrw zero, hvip, a3
        csrrs a4, hip, zero\nhfence.gvma\nhfence.vvma`;
      const csr = { ...all, hgatp: 0n, hideleg: 0n };
      const bank = { bankserial: 2n }; // Another life than the one that hstatus names.
      const m = start(engine, { mode: supervisor, guest: true, source, csr, bank });
      assert.equal(level(m), 1);
      assert.deepEqual([m.x(11), m.x(12), m.x(14)], [0x2_0000_0100n, 0n, 0x444n]);
      assert.deepEqual([m.hart.state.wide('hideleg'), m.hart.state.wide('hvip')], [0n, 0n]);
      const hstatus = m.hart.state.wide('hstatus');
      const own = bankOf(m, Number((hstatus >> 50n) & 0x3ffn));
      assert.notEqual((hstatus >> 34n) & 0x3fffn, 0n);
      assert.equal(own.wide('bankserial'), (hstatus >> 34n) & 0x3fffn);
      assert.deepEqual([own.wide('hideleg'), own.wide('vstimecmp')], [0x444n, never]);
    });

    test('the guest’s user, and the guest of a guest, may not', () => {
      const source = 'csrrs a0, hgatp, zero';
      const fromUser = start(engine, { mode: user, guest: true, source, csr: all, bank: {} });
      assert.deepEqual([level(fromUser), found(fromUser).cause], [0, 22n]);
      const third = start(engine, { mode: supervisor, deep: true, source, csr: all, bank: {} });
      assert.deepEqual([level(third), found(third).cause], [1, 22n]);
    });

    test('sret of level 1 goes to level 2, a call of which comes back to level 1', () => {
      const bank = { hstatus: spv, altepc: 0n };
      const at = (offset: bigint) => ({ ...all, mstatus: 0x100n, sepc: base + offset });
      const source = 'sret\nnop\necall';
      const m = start(engine, { mode: supervisor, guest: true, source, csr: at(8n), bank });
      assert.deepEqual(found(m), {
        level: 1, cause: 10n, value: 0n, hstatus: spv | spvp, ...nothing,
      }); // prettier-ignore
      assert.equal(m.hart.state.wide('sepc'), base + 8n);
      assert.equal(m.hart.state.wide('hstatus'), bankName, 'level 0 has not noticed');
      const mine = { ...at(8n), mstatus: 0n };
      const ofUser = start(engine, { mode: supervisor, guest: true, source, csr: mine, bank });
      assert.deepEqual([found(ofUser).cause, found(ofUser).hstatus], [8n, spv]);
    });

    test('what level 1 delegates stays in level 2, whatever level 0 does', () => {
      const source = 'ecall';
      const deep = { mode: user, deep: true, source };
      const bank = { hedeleg: 0x100n };
      const m = start(engine, { ...deep, csr: all, bank });
      assert.deepEqual([level(m), found(m).cause], [2, 8n]);
      const csr = { ...all, hedeleg: 0x100n };
      assert.equal(level(start(engine, { ...deep, csr, bank: {} })), 1);
    });

    test('level 0 gets its interrupts out of level 2, and its sret goes back there', () => {
      const csr = { ...all, mie: 0x222n, hstatus: 0n, altsatp: 0n };
      const registers = { sscratch: 2n, altscratch: 0n };
      const m = start(engine, {
        mode: supervisor, deep: true, source: 'nop', irq: 2,
        csr: { ...csr, ...registers }, bank: { altscratch: 1n },
      }); // prettier-ignore
      const { state } = m.hart;
      const hstatus = spv | spvp | deepBit;
      assert.deepEqual(found(m), {
        level: 0, cause: interrupt | 1n, value: 0n, hstatus, ...nothing,
      }); // prettier-ignore
      const scratch = [state.wide('sscratch'), state.wide('altscratch')];
      assert.deepEqual([...scratch, bankOf(m).wide('altscratch')], [0n, 1n, 2n]);
      const back = start(engine, {
        mode: supervisor, source: 'sret\nnop\ncsrrs a0, sscratch, zero',
        csr: { ...all, ...registers, hstatus, mstatus: 0x100n, sepc: base + 8n },
        bank: { altscratch: 3n },
      }); // prettier-ignore
      assert.deepEqual([level(back), back.x(10)], [2, 3n]);
      assert.equal(back.hart.state.wide('hstatus'), bankName | spvp);
    });

    test('a bank that has become another’s leaves the guest at level 1', () => {
      const csr = { ...all, hstatus: spv | deepBit, mstatus: 0x100n, sepc: base + 8n };
      const source = 'sret\nnop\nnop';
      const m = start(engine, { mode: supervisor, source, csr, bank: { bankserial: 7n } });
      assert.equal(level(m), 1);
    });

    test('an address of level 2 goes through three stages, and all have to allow it', () => {
      const pages = (one: bigint, zero: bigint): [number, bigint][] => [
        ...tables(low(0x1000n, rw)),
        ...secondStage(1, asItStands, one),
        ...secondStage(0, asItStands, pte(0n, rw | forUser), zero),
        [0x20_0000, 77n],
      ];
      const csr = { ...all, satp: paged(), hgatp: hgatp(0) };
      const bank = { hgatp: hgatp(1) };
      const deep = { mode: supervisor, deep: true, source: load, csr, bank };
      const rwu = rw | forUser;
      const good = pages(low(0x2000n, rwu), pte(0x20_0000n, rwu));
      assert.equal(start(engine, { ...deep, pages: good }).x(11), 77n);
      const noOne = start(engine, { ...deep, pages: pages(0n, pte(0x20_0000n, rwu)) });
      const hstatus = spv | spvp | gva;
      assert.deepEqual(found(noOne), {
        level: 1, cause: 21n, value: 0x1000n, hstatus, htval: 0x1000n >> 2n, htinst: 0n,
      }); // prettier-ignore
      const noZero = start(engine, { ...deep, pages: pages(low(0x2000n, rwu), 0n) });
      assert.deepEqual(found(noZero), {
        level: 0, cause: 21n, value: 0x1000n, hstatus: hstatus | deepBit, htval: 0x2000n >> 2n,
        htinst: 0n,
      }); // prettier-ignore
    });

    test('a page fault of level 2 is level 1’s to see', () => {
      const pages = [...tables(), ...secondStage(1, asItStands), ...secondStage(0, asItStands)];
      const csr = { ...all, satp: paged(), hgatp: hgatp(0) };
      const bank = { hgatp: hgatp(1) };
      const m = start(engine, { mode: supervisor, deep: true, source: load, csr, bank, pages });
      const hstatus = spv | spvp | gva;
      const seen = { level: 1, cause: 13n, value: 0x1000n, hstatus };
      assert.deepEqual(found(m), { ...seen, ...nothing });
    });

    test('a table of level 1’s second stage that level 0 lacks is an implicit access', () => {
      const pages: [number, bigint][] = [
        ...secondStage(1, asItStands),
        [tablesAt[1], low(0x3000n, 1n)],
        ...secondStage(0, asItStands),
      ];
      const csr = { ...all, hgatp: hgatp(0) };
      const bank = { hgatp: hgatp(1) };
      const m = start(engine, { mode: supervisor, deep: true, source: load, csr, bank, pages });
      const hstatus = spv | spvp | gva | deepBit;
      assert.deepEqual(found(m), {
        level: 0, cause: 21n, value: 0x1000n, hstatus, htval: 0x3000n >> 2n, htinst: 0x3000n,
      }); // prettier-ignore
    });

    test('A is set in a table of level 1’s by a write of level 0’s stage', () => {
      const entry = low(0x2000n, 0x17n);
      const pages = (bits: bigint): [number, bigint][] => [
        ...secondStage(1, asItStands),
        [0x1c_4000, low(0x5000n, 1n)],
        [0x1c_5008, entry],
        // Of level 0: 0x2000 for the page itself, 0x5000 for the table.
        ...secondStage(0, asItStands, 0n, pte(0x20_0000n, rw | forUser), 0n, 0n),
        [0x18_5028, pte(0x1c_5000n, bits)],
        [0x20_0000, 77n],
      ];
      const csr = { ...all, hgatp: hgatp(0), menvcfg: svadu, henvcfg: svadu };
      const bank = { hgatp: hgatp(1) };
      const deep = { mode: supervisor, deep: true, source: load, csr, bank };
      const m = start(engine, { ...deep, pages: pages(rw | forUser) });
      assert.equal(m.x(11), 77n);
      assert.equal(words(m).getBigUint64(0x1c_5008, true), entry | 0x40n);
      const closed = found(start(engine, { ...deep, pages: pages(0x53n) }));
      assert.deepEqual([closed.level, closed.htval, closed.htinst], [0, 0x5008n >> 2n, 0x3020n]);
    });

    test('HLV of level 1 reads level 2, HLV of level 0 whichever hstatus says it left', () => {
      const pages: [number, bigint][] = [
        ...secondStage(1, asItStands, low(0x2000n, onlyX | rw | forUser)),
        ...secondStage(0, asItStands, pte(0x20_0000n, rw | forUser), pte(0x20_1000n, 0xdfn)),
        [0x20_0000, 77n],
        [0x20_1000, 78n],
      ];
      const source = 'li a0, 0x1000\nhlv.w a1, a0\nhlvx.wu a2, a0';
      const csr = { ...all, hgatp: hgatp(0), hstatus: spvp };
      const bank = { hgatp: hgatp(1), hstatus: spvp };
      const ofOne = start(engine, { mode: supervisor, guest: true, source, csr, bank, pages });
      assert.deepEqual([ofOne.x(11), ofOne.x(12)], [78n, 78n]);
      const host = { mode: supervisor, source: 'li a0, 0x1000\nhlv.w a1, a0', bank, pages };
      assert.equal(start(engine, { ...host, csr }).x(11), 77n);
      const left = { ...csr, hstatus: spvp | deepBit };
      assert.equal(start(engine, { ...host, csr: left }).x(11), 78n);
      // What level 1 reads and level 0 lacks is a trap out of level 1.
      const lacking = pages.map(([at, value]): [number, bigint] =>
        at === 0x18_5010 ? [at, 0n] : [at, value],
      );
      const m = start(engine, { mode: supervisor, guest: true, source, csr, bank, pages: lacking });
      const hstatus = spv | spvp | gva;
      assert.deepEqual([found(m).level, found(m).hstatus], [0, hstatus]);
    });

    test('a changed entry is seen after the fence of its level', () => {
      const change = (table: number, fence: string) => `li a0, 0x1000\nhlv.w a1, a0
        lui t0, ${table}\nslli t0, t0, 32\nsrli t0, t0, 32\nld t2, 8(t0)
        addi t2, t2, 0x400\nsd t2, 8(t0)\n${fence}\nhlv.w a2, a0`;
      const pages: [number, bigint][] = [
        ...secondStage(1, asItStands, low(0x2000n, rw | forUser)),
        ...secondStage(0, asItStands, 0n, pte(0x20_0000n, rw | forUser)),
        [0x18_5018, pte(0x20_1000n, rw | forUser)],
        [0x20_0000, 77n],
        [0x20_1000, 78n],
      ];
      const bank = { hgatp: hgatp(1), hstatus: spvp };
      const csr = { ...all, hgatp: hgatp(0), hstatus: spvp };
      const one = { mode: supervisor, guest: true, csr, bank, pages };
      const m = start(engine, { ...one, source: change(0x801c5000, 'hfence.gvma') });
      assert.deepEqual([m.x(11), m.x(12)], [77n, 78n]);
      const left = { ...csr, hstatus: spvp | deepBit };
      const zero = { mode: supervisor, csr: left, bank, pages };
      const source = change(0x80185000, 'hfence.gvma').replaceAll('8(t0)', '16(t0)');
      const n = start(engine, { ...zero, source });
      assert.deepEqual([n.x(11), n.x(12)], [77n, 78n]);
    });

    test('another bank in hstatus is another guest’s memory, at once', () => {
      const pages: [number, bigint][] = [
        ...secondStage(1, asItStands, pte(0x20_0000n, rw | forUser)),
        ...secondStage(0, asItStands),
        [0x20_0000, 77n],
      ];
      const csr = { ...all, hgatp: hgatp(0), hstatus: spvp | deepBit };
      const bank = { hgatp: hgatp(1) };
      // Without a bank the guest is level 1, whose 0x1000 level 0 does not have.
      const source = `li a0, 0x1000\nhlv.w a1, a0\nli a3, 0x104\ncsrrw a4, hstatus, a3
        csrrw a3, hstatus, a4\nhlv.w a2, a0\ncsrrw zero, hstatus, a3\nhlv.w a1, a0`;
      const m = start(engine, { mode: supervisor, source, csr, bank, pages });
      assert.deepEqual([m.x(11), m.x(12), found(m).cause], [77n, 77n, 21n]);
    });

    test('interrupts for level 1 come through level 2; those of level 2 when it is open', () => {
      const csr = { ...all, mie: 0x444n, hideleg: 0x444n };
      const bank = { mie: 0x444n, hideleg: 0x444n };
      const deep = { mode: supervisor, deep: true, source: 'nop' };
      const one = start(engine, { ...deep, csr: { ...csr, hvip: 0x400n }, bank });
      assert.deepEqual([level(one), found(one).cause], [1, interrupt | 9n]);
      assert.equal(found(one).hstatus, spv | spvp);
      const pending = { ...bank, hvip: 0x44n };
      assert.equal(level(start(engine, { ...deep, csr, bank: pending })), 2);
      const open = { ...csr, mstatus: 2n };
      const two = start(engine, { ...deep, csr: open, bank: pending });
      assert.deepEqual([level(two), two.hart.state.wide('scause')], [2, interrupt | 1n]);
      const kept = start(engine, { ...deep, csr, bank: { ...pending, hideleg: 0n } });
      assert.deepEqual([level(kept), found(kept).cause], [1, interrupt | 2n]);
    });

    test('sie and sip of level 2 are hie and hip of level 1’s', () => {
      const source = `csrrs a0, sip, zero\ncsrrwi zero, sie, 2\ncsrrs a1, sie, zero
        csrrwi zero, sip, 0\ncsrrs a2, sip, zero`;
      const bank = { hvip: 0x444n, hideleg: 4n };
      const m = start(engine, { mode: supervisor, deep: true, source, csr: all, bank });
      assert.deepEqual([m.x(10), m.x(11), m.x(12)], [2n, 2n, 0n]);
      assert.deepEqual([bankOf(m).wide('mie'), bankOf(m).wide('hvip')], [4n, 0x440n]);
      assert.deepEqual([m.hart.state.wide('mie'), m.hart.state.wide('hvip')], [0n, 0n]);
    });

    test('level 2 has both deltas in its time, and a timer that interrupts it', () => {
      const timed = { ...all, hcounteren: 2n, menvcfg: stce, henvcfg: stce, htimedelta: 1000n };
      const bank = { hcounteren: 2n, henvcfg: stce, htimedelta: 1000n, hideleg: 0x444n };
      const deep = { mode: supervisor, deep: true, bank };
      const read = start(engine, { ...deep, source: 'csrrs a0, time, zero', csr: timed });
      assert.ok(read.x(10) >= 2000n && read.x(10) < 2300n);
      const set = (value: number) => `li a0, ${value}\ncsrrw zero, stimecmp, a0
        csrrs a1, sip, zero`;
      for (const [value, due] of [[20, 0x20n], [-1, 0n]] as const) {
        assert.equal(start(engine, { ...deep, source: set(value), csr: timed }).x(11), due);
      }
      // Time is how often the clock was looked at; who rings at deadlines is another thread.
      const looks = `li a0, 2030\ncsrrw zero, stimecmp, a0\nagain:\ncsrrs a1, time, zero
        jal zero, again`;
      const csr = { ...timed, mstatus: 2n };
      const waits = { ...deep, bank: { ...bank, mie: 0x40n }, source: looks, csr };
      const m = start(engine, waits);
      const { state, core } = m.hart;
      assert.deepEqual([level(m), state.wide('scause')], [2, 0n]);
      assert.equal(state.wide('deepdeadline'), 30n);
      assert.equal(state.ring(30), true);
      m.hart.refuel(20);
      core.run(state.base);
      assert.deepEqual([level(m), state.wide('scause')], [2, interrupt | 5n]);
    });

    test('what level 1 forbids level 2 comes to level 1; what level 0 forbids is not there', () => {
      const cases: [string, bigint, bigint, bigint][] = [
        ['wfi', vtw, 0n, 22n],
        ['csrrs a0, time, zero', 0n, 2n, 22n],
        ['csrrs a0, time, zero', 0n, 0n, 2n],
      ];
      for (const [source, hstatus, hcounteren, cause] of cases) {
        const csr = { ...all, hcounteren };
        const m = start(engine, { mode: supervisor, deep: true, source, csr, bank: { hstatus } });
        assert.deepEqual([level(m), found(m).cause], [1, cause], source);
      }
    });

    test('floating point wants FS of all three levels, and makes all dirty', () => {
      const run = (two: bigint, zero: bigint, one: bigint) =>
        start(engine, {
          mode: supervisor, deep: true, source: 'fmv.d.x f0, zero\nhere:\njal zero, here',
          bank: { altstatus: one << 13n }, csr: {
            ...all, mstatus: two << 13n, altstatus: zero << 13n, fsgate: one && zero && 0x2000n,
          },
        }); // prettier-ignore
      assert.equal(found(run(1n, 0n, 1n)).cause, 2n);
      assert.equal(found(run(1n, 1n, 0n)).cause, 2n);
      const m = run(1n, 2n, 1n);
      const { state } = m.hart;
      const states = [state.wide('mstatus'), state.wide('altstatus'), bankOf(m).wide('altstatus')];
      for (const status of states) assert.equal((status >> 13n) & 3n, 3n);
    });

    test('without room for hosts among its guests a machine keeps to the specification', () => {
      const source = `li a0, -1\ncsrrw zero, hstatus, a0\ncsrrs a1, hstatus, zero`;
      const m = start(engine, { mode: supervisor, source, csr: all });
      assert.equal(m.x(11), 0x2_0070_03c0n);
      assert.notEqual(m.hart.state.wide('pc'), end);
    });

    test('whatever registers and tables hold, the processor keeps to its own memory', () => {
      for (let seed = 1; seed <= 50; seed++) {
        const random = generator(seed);
        const any = (names: readonly Wide[]) =>
          Object.fromEntries(names.map((name) => [name, wideNumber(random)]));
        const entry = () => pte(BigInt(random(0x400)) << 12n, wideNumber(random) & 0x3ffn);
        const pages = Array.from({ length: 3000 }, (): [number, bigint] => [
          0x10_0000 + random(0x1_f000) * 8, entry(),
        ]); // prettier-ignore
        const m = start(engine, {
          mode: random(2), deep: random(3) > 0, guest: true, pages, irq: random(0x8000),
          source: Array.from({ length: 60 }, () => anything(random)).join('\n'),
          bank: { ...any(banked.filter((name) => !name.startsWith('bank'))), hgatp: hgatp(1) },
          csr: {
            ...any(banked), ...all, satp: paged(), hgatp: hgatp(0),
            ...(random(2) ? { altsatp: paged() } : {}),
            stvec: base, alttvec: base + 4n,
          },
          instructions: 400,
        }); // prettier-ignore
        assert.ok(level(m) <= 2 && m.hart.state.word('priv') <= 3, `seed ${seed}`);
      }
    });
  });
}

/** An instruction that a host may use, with any of some registers. */
function anything(random: Random): string {
  const register = () => `x${10 + random(6)}`;
  const csr = () =>
    pick(random, [
      0x100, 0x104, 0x105, 0x140, 0x141, 0x142, 0x144, 0x14d, 0x180, 0x200, 0x204, 0x205, 0x241,
      0x244, 0x24d, 0x280, 0x600, 0x602, 0x603, 0x604, 0x605, 0x606, 0x60a, 0x643, 0x644, 0x645,
      0x64a, 0x680, 0xc01,
    ]); // prettier-ignore
  return pick(random, [
    () => `li ${register()}, ${random(0x1_0000_0000)}`,
    () => `slli ${register()}, ${register()}, ${random(64)}`,
    () => `csrrw ${register()}, ${csr()}, ${register()}`,
    () => `csrrs ${register()}, ${csr()}, ${register()}`,
    () => `${pick(random, ['hlv.d', 'hlvx.wu', 'hsv.d'])} ${register()}, ${register()}`,
    () => `ld ${register()}, 0(${register()})`,
    () => pick(random, ['sret', 'ecall', 'wfi', 'hfence.gvma', 'hfence.vvma', 'sfence.vma']),
  ])();
}
