/** A guest without an agent is asked to stop by its keyboard, where it has one. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Bus } from '../../../../../src-main/engines/riscv/devices/bus.ts';
import { layoutOf } from '../../../../../src-main/engines/riscv/layout.ts';
import { Keyboard } from '../../../../../src-main/engines/riscv/node/keyboard.ts';

test('the wish is refused until a driver listens, and then remembered', () => {
  const keyboard = new Keyboard();
  const refused = { code: 'unsupported', message: /neither an agent nor a keyboard/ };
  assert.throws(() => keyboard.askToStop(), refused);
  const layout = layoutOf(2 << 20, 1);
  const { pages } = layout;
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const bus = new Bus(memory, layout, { ticks: () => 0, wallMs: () => 0 });
  keyboard.maker()({ bus, memory, layout, slot: 3 });
  assert.throws(() => keyboard.askToStop(), refused);
  assert.equal(keyboard.asked, false);
  bus.virtio[3]!.store(0x70, 4, 15);
  keyboard.askToStop();
  assert.equal(keyboard.asked, true);
});
