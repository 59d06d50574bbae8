/**
 * A machine with threads, held: its guest does not move, and neither does its time; what comes for
 * it meanwhile waits. Saved, it goes on in a second machine from the very same point.
 */
import { after, test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { at, machine } from '../../../../../src-main/engines/riscv/layout.ts';
import {
  run,
  type Power,
  type RunOptions,
} from '../../../../../src-main/engines/riscv/node/run.ts';
import { openSnapshot } from '../../../../../src-main/engines/riscv/node/snapshot-read.ts';
import { savedTicks } from '../../../../../src-main/engines/riscv/snapshot.ts';
import { assemble } from '../../../../isa/assemble.ts';

const directory = mkdtempSync(join(tmpdir(), 'nymph-standstill-'));
after(() => rmSync(directory, { recursive: true }));

const ramMib = 8;

/** Counts at the start of RAM for ever, in steps that hold the time as well. */
function kernel(): Uint8Array {
  const image = new Uint8Array(4096);
  const view = new DataView(image.buffer);
  view.setUint32(0, assemble('jal zero, 64')[0]!, true);
  view.setBigUint64(16, 4096n, true);
  view.setUint32(56, 0x05435352, true);
  const code = assemble(`
    auipc x20, 0
    li x21, 0x1fe000
    sub x20, x20, x21
again:
    addi x5, x5, 1
    csrrs x6, time, zero
    sd x5, -64(x20)
    sd x6, -56(x20)
    jal zero, again
  `);
  image.set(new Uint8Array(code.buffer), 64);
  return image;
}

const counterOffset = 0x20_0040 - 0x1f_e000 - 64;

const powers: Power[] = [];
after(() => powers.forEach((power) => power.stop()));

function on(from: RunOptions['from']): { power: Power; ended: Promise<unknown> } {
  const console = { write: () => {}, onInput: () => {} };
  const ended = run({ from, console, devices: [], onPower: (power) => powers.push(power) });
  return { power: powers.at(-1)!, ended };
}

const boot = {
  ramMib,
  harts: 2,
  kernel: kernel(),
  initrd: null,
  bootArguments: '',
  seed: new Uint8Array(32),
};

function look({ memory }: Power): { count: bigint; ticks: bigint } {
  const { ram } = at;
  const view = new BigInt64Array(memory.buffer, ram + counterOffset, 2);
  return { count: view[0]!, ticks: view[1]! };
}

async function moved(power: Power, beyond: bigint): Promise<void> {
  while (look(power).count <= beyond) await new Promise((resolve) => setTimeout(resolve, 5));
}

test('a held machine stands still with its time, and goes on in another one', async () => {
  const first = on(boot);
  await moved(first.power, 0n);
  await first.power.still.hold();
  const held = look(first.power);
  const path = join(directory, 'state');
  await first.power.save(path, null);
  await new Promise((resolve) => setTimeout(resolve, 60));
  assert.deepEqual(look(first.power), held);
  const parked = new Int32Array(first.power.memory.buffer, at.machine + machine.parked, 1);
  assert.equal(parked[0], 2, 'also the hart that was never started');
  first.power.still.release();
  await moved(first.power, held.count);
  first.power.stop();
  await first.ended;

  const saved = await openSnapshot(path);
  const { promise: taken, resolve } = Promise.withResolvers<void>();
  const startedMs = performance.now();
  const second = on({ saved, taken: async () => resolve() });
  await taken;
  const restored = look(second.power);
  assert.ok(restored.count >= held.count);
  // Its last step may have been long before it was held, and its next writes count before time.
  await moved(second.power, held.count + 1n);
  const passed = Number(look(second.power).ticks) - savedTicks(saved.state);
  assert.ok(passed >= 0 && passed <= (performance.now() - startedMs) * 10_000, `${passed} ticks`);
  second.power.stop();
  await second.ended;
  await saved.close();
});
