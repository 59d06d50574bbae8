/** By which name a guest knows a card that comes while it runs. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { CardNumbers } from '../../../../src-main/engines/riscv/card-numbers.ts';

test('cards are counted by slot at first, then as they come, in the place of those gone', () => {
  const cards = new CardNumbers([3, 1]);
  assert.deepEqual([cards.name(1), cards.name(3)], ['eth0', 'eth1']);
  cards.unplugged(1);
  cards.plugged(0);
  cards.plugged(2);
  assert.deepEqual([cards.name(0), cards.name(3), cards.name(2)], ['eth0', 'eth1', 'eth2']);
});
