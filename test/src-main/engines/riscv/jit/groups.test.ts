/** Which accesses share a look at the TLB, and that nobody can tell that they do. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expansionTable } from '../../../../../src-main/engines/riscv/cpu/compressed.ts';
import { flowOf } from '../../../../../src-main/engines/riscv/jit/flow.ts';
import { groupsOf } from '../../../../../src-main/engines/riscv/jit/groups.ts';
import {
  CodePage, formRegion, usualLimits,
} from '../../../../../src-main/engines/riscv/jit/region.ts'; // prettier-ignore
import { assemble } from '../../../../isa/assemble.ts';
import { engines, execute } from '../../../../isa/bare.ts';
import {
  forUser, paged, pte, rw, start, supervisor, tables, words,
} from '../../../../isa/program.ts'; // prettier-ignore

/** Of each access in its group: at which instruction it stands, and its group's first. */
function sharing(source: string): Record<number, number> {
  const code = new Uint16Array(2048);
  code.set(new Uint16Array(assemble(`${source}\nwfi`).buffer));
  const blocks = formRegion(new CodePage(code, expansionTable(), -1), 0, usualLimits);
  const groups = groupsOf(flowOf(blocks, 0));
  return Object.fromEntries([...groups].map(([step, group]) => [step.at / 4, group.first.at / 4]));
}

test('accesses by one register share a look, loads and stores alike', () => {
  assert.deepEqual(sharing('ld x5, 0(x10)\nsd x6, 8(x10)\nld x7, 0(x11)'), { 0: 0, 1: 0 });
});

test('those by different registers do not, however few they are', () => {
  assert.deepEqual(sharing('ld x5, 0(x10)\nld x6, 0(x11)\nld x7, 8(x11)\nld x8, 0(x12)'), {
    1: 1, 2: 1,
  }); // prettier-ignore
  assert.deepEqual(sharing('ld x5, 0(x10)\nld x6, 0(x11)\nld x7, 0(x12)'), {});
});

test('a register that is written begins anew', () => {
  const source = 'ld x5, 0(x10)\naddi x10, x10, 8\nld x6, 0(x10)\nld x7, 8(x10)';
  assert.deepEqual(sharing(source), { 2: 2, 3: 2 });
});

test('a load over its own base is the last of its group', () => {
  assert.deepEqual(sharing('ld x5, 0(x10)\nld x10, 8(x10)\nld x6, 0(x10)'), { 0: 0, 1: 0 });
});

test('what lies far apart does not share', () => {
  assert.deepEqual(sharing('ld x5, 0(x10)\nld x6, 1000(x10)'), {});
});

test('a look before a branch serves both ways and where they meet', () => {
  const source = `ld x5, 0(x10)\nbeq x5, zero, other\nld x6, 8(x10)\nbeq x5, x6, both
other:\nld x7, 16(x10)\nboth:\nld x8, 24(x10)`;
  assert.deepEqual(sharing(source), { 0: 0, 2: 0, 4: 0, 5: 0 });
});

test('a way on which the register was written does not share', () => {
  const source = `ld x5, 0(x10)\nbeq x5, zero, both\naddi x10, x10, 8\nboth:\nld x8, 24(x10)`;
  assert.deepEqual(sharing(source), {});
});

test('a loop shares only what it leaves alone', () => {
  const source = `ld x5, 0(x10)\nld x6, 0(x11)\nagain:\nld x7, 8(x10)\nld x8, 8(x11)
addi x11, x11, 8\nbne x8, zero, again`;
  assert.deepEqual(sharing(source), { 0: 0, 2: 0 });
});

const last = 0x1ff8n; // the last eight bytes of a page

for (const engine of engines) {
  test(`over a page's end each access goes its own way: ${engine.name}`, () => {
    const m = execute(engine, `auipc x10, 0x1000\nli x5, 77\nsd x5, -4(x10)\nsw x5, 8(x10)
lw x6, -4(x10)\nld x7, 2(x10)\nld x8, -4(x10)`);
    assert.deepEqual([m.x(6), m.x(7), m.x(8)], [77n, 77n << 48n, 77n]);
  });

  test(`what stands before a fault is done, what follows is not: ${engine.name}`, () => {
    const m = start(engine, {
      mode: supervisor, csr: { satp: paged(), medeleg: 0xffffn },
      pages: tables(pte(0x3000n, rw)),
      source: `lui x10, 0x2000\naddi x10, x10, -8
sd x10, 0(x10)\nsd x10, 8(x10)\nsd x10, -8(x10)`,
    }); // prettier-ignore
    assert.equal(m.hart.state.wide('stval'), 0x2000n);
    assert.equal(m.hart.state.wide('scause'), 15n);
    assert.equal(m.hart.state.wide('sepc') & 0xfffn, 12n);
    assert.equal(words(m).getBigUint64(0x3ff8, true), last);
    assert.equal(words(m).getBigUint64(0x3ff0, true), 0n);
  });

  test(`a CSR that takes a page away is heeded at once: ${engine.name}`, () => {
    const m = start(engine, {
      mode: supervisor, csr: { satp: paged(), medeleg: 0xffffn, mstatus: 0xa_0004_0000n },
      pages: tables(pte(0x3000n, rw | forUser)),
      source: `lui x10, 0x1000\nlui x6, 0x40000
ld x7, 0(x10)\ncsrrc x0, sstatus, x6\nld x7, 8(x10)`,
    }); // prettier-ignore
    assert.equal(m.hart.state.wide('scause'), 13n);
    assert.equal(m.hart.state.wide('stval'), 0x1008n);
  });
}
