/**
 * A machine that is saved and goes on elsewhere ends as one that was never interrupted, wherever
 * it is cut: the state goes through its file, and the other machine knows nothing but that.
 */
import { after, test } from 'node:test';
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Saved } from '../../../../src-main/engines/riscv/devices/virtio/device.ts';
import { openSnapshot } from '../../../../src-main/engines/riscv/node/snapshot-read.ts';
import { writeSnapshot } from '../../../../src-main/engines/riscv/node/snapshot-write.ts';
import { ran } from '../../../../src-main/engines/riscv/cpu/interpret.ts';
import { bankState } from '../../../../src-main/engines/riscv/hart-state.ts';
import { fields, fleetingFields } from '../../../../src-main/engines/riscv/layout.ts';
import { restoreState, saveState } from '../../../../src-main/engines/riscv/snapshot.ts';
import { assemble } from '../../../isa/assemble.ts';
import { start } from '../../../isa/program.ts';
import { bare, engines, put, type Bare, type Engine } from '../../../isa/bare.ts';

const directory = mkdtempSync(join(tmpdir(), 'nymph-snapshot-'));
after(() => rmSync(directory, { recursive: true }));

/** Registers, floating point, atomics, traps and memory, all of it mixed into what it ends with. */
const program = assemble(`
  auipc x20, 0
  addi x21, x20, 2000
  lui x22, 0x10000
  add x22, x22, x20
  li x31, 0x6000
  csrrw zero, mstatus, x31
  addi x31, x20, 1024
  csrrw zero, mtvec, x31
  li x5, 400
  li x6, 12345
again:
  mul x6, x6, x6
  addi x6, x6, 1013
  xor x7, x7, x6
  sd x7, 0(x22)
  addi x22, x22, 264
  lr.d x8, x21
  add x8, x8, x6
  sc.d x9, x21, x8
  amoadd.w x10, x21, x6
  fmv.d.x f1, x6
  fadd.d f2, f2, f1
  fmul.d f3, f2, f1
  ecall
  csrrs x11, mscratch, zero
  add x7, x7, x11
  addi x5, x5, -1
  beq x5, zero, 8
  jal zero, again
  jal zero, 0
`);
const handlerAt = 1024;
const handler = assemble(`
  addi x12, x12, 1
  csrrw zero, mscratch, x12
  csrrs x13, mepc, zero
  addi x13, x13, 4
  csrrw zero, mepc, x13
  mret
`);

function begun(engine: Engine): Bare {
  const machine = bare(engine);
  put(machine, program);
  put(machine, handler, handlerAt);
  return machine;
}

function go({ hart }: Bare, count: number): void {
  hart.refuel(count);
  while (hart.state.word('fuel') > 0) {
    if (hart.core.run(hart.state.base) === ran.attention) hart.attention();
  }
}

/** All that its guest can see. `fuel` counts down to nothing visible; the time is the clock's. */
function hashOf(machine: Bare): string {
  const state = saveState(machine.shared, machine.bus, [], new Uint8Array(0), 0);
  const seen = JSON.stringify(state, (name, value: unknown) =>
    name === 'fuel' || name === 'fueltop' ? undefined : value,
  );
  return createHash('sha256').update(seen).update(machine.ram).digest('hex');
}

async function movedOn(machine: Bare, engine: Engine): Promise<Bare> {
  const path = join(directory, 'state');
  const saved = saveState(machine.shared, machine.bus, [], new Uint8Array(0), 5);
  await writeSnapshot(path, machine.shared, saved);
  const other = bare(engine);
  const file = await openSnapshot(path);
  restoreState(other.shared, file.state);
  await file.fill(other.ram);
  await file.close();
  other.hart.resume();
  return other;
}

for (const engine of engines) {
  test(`${engine.name}: saved, restored and gone on, it ends as if never interrupted`, async () => {
    const whole = begun(engine);
    go(whole, 20_000);
    const wanted = hashOf(whole);
    assert.equal(whole.x(5), 0n, 'the program has come to its end');
    for (const cut of [1, 17, 18, 1000, 4711]) {
      const first = begun(engine);
      go(first, cut);
      const second = await movedOn(first, engine);
      go(second, 20_000);
      assert.equal(hashOf(second), wanted, `cut after ${cut} instructions`);
    }
  });
}

test('a guest that is a host takes its own hypervisor registers along', async () => {
  const csr = { misa: 0x8000_0000_0014_11adn, medeleg: 0xf0b7ffn, mideleg: 0x1666n };
  const bank = { hvip: 0x444n, altscratch: 5n, altepc: 0x8000_0400n };
  const [engine] = engines;
  const deep = { mode: 1, deep: true, source: 'li a0, 3', csr, bank };
  const moved = await movedOn(start(engine!, deep), engine!);
  assert.equal(moved.hart.state.word('virt'), 2);
  const own = bankState(moved.shared.memory.buffer, 1);
  const { hvip, altscratch, altepc } = bank;
  assert.deepEqual([own.wide('hvip'), own.wide('altscratch')], [hvip, altscratch]);
  assert.deepEqual([own.wide('bankserial'), own.wide('altepc')], [1n, altepc]);
});

test('a machine without anything in its memory is a few kilobytes', async () => {
  const path = join(directory, 'empty');
  const machine = bare(engines[0]!);
  const length = await writeSnapshot(path, machine.shared, saveOf(machine));
  assert.ok(length < 64 << 10, `${length} bytes`);
});

function saveOf(machine: Bare): Saved {
  return saveState(machine.shared, machine.bus, [], new Uint8Array(0), 0);
}

test('every field of a hart is saved unless it is named as fleeting', () => {
  const { harts } = saveOf(bare(engines[0]!)) as { harts: { fields: object }[] };
  const lasting = [...fields.keys()].filter((name) => !fleetingFields.has(name));
  assert.deepEqual(Object.keys(harts[0]!.fields), lasting);
});

test('what no machine has saved is refused in one sentence', () => {
  const machine = bare(engines[0]!);
  const good = saveOf(machine) as Record<string, Saved>;
  const [hart] = good['harts'] as [Record<string, Saved>];
  const values = hart['fields'] as Record<string, Saved>;
  const withField = (field: Record<string, Saved>) => ({
    ...good,
    harts: [{ ...hart, fields: { ...values, ...field } }],
  });
  const bad: unknown[] = [
    null,
    [],
    { ...good, harts: [] },
    { ...good, blocks: {} },
    { ...good, typed: 'xy' },
    { ...good, shown: '00'.repeat(40_000) },
    { ...good, harts: [{ ...hart, reservation: machine.ram.length }] },
    withField({ pc: '0x80000000' }),
    withField({ priv: 2 }),
    withField({ frm: 2 ** 40 }),
    withField({ tlb: 4096 }),
    withField({ virt: 3 }),
    { ...good, banks: { 0: {} } },
    { ...good, banks: { 5000: {} } },
    { ...good, banks: { 1: { hvip: '0' } } },
  ];
  for (const state of bad) {
    assert.throws(() => restoreState(machine.shared, state), { name: 'Refusal', message: /^The / });
  }
  const furnish = restoreState(machine.shared, good).furnish;
  assert.throws(() => furnish([{ slot: 3 } as never]), /other disks, cards or folders/);
});
