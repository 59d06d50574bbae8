/** What other threads see of a hart's timers. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { bare, engines } from '../../../isa/bare.ts';

const never = 0xffff_ffff_ffff_ffffn;

test('the next deadline is the first that is still to come, whatever bits are set', () => {
  const { state } = bare(engines[0]!).hart;
  assert.equal(state.nextDeadline(0), never);
  state.setWide('stimecmp', 500n);
  state.setWide('vsdeadline', 300n);
  state.setWord('irq', 0x60);
  assert.equal(state.nextDeadline(100), 300n);
  assert.equal(state.nextDeadline(300), 500n);
  assert.equal(state.nextDeadline(500), never);
});

test('what is due raises its bit once', () => {
  const { state } = bare(engines[0]!).hart;
  state.setWide('vsdeadline', 300n);
  assert.equal(state.ring(299), false);
  assert.equal(state.ring(300), true);
  assert.equal(state.word('irq'), 0x40);
  assert.equal(state.ring(301), false);
});
