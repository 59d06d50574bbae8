/** The table of a machine's life: every event in every state, written out. */
import { suite, test } from 'node:test';
import assert from 'node:assert/strict';
import { isAlive, nextState, type MachineEvent } from '../../../src-main/machine/state.ts';
import { machineState, type MachineState } from '../../../src-main/contract/machine.ts';

const states = machineState.options;
const clean: MachineEvent = { type: 'exited', clean: true };
const dirty: MachineEvent = { type: 'exited', clean: false };
const saved: MachineEvent = { type: 'exited', clean: true, saved: true };

/** Where each event leads from each state; a state that is not named ignores the event. */
const table: [MachineEvent, Partial<Record<MachineState, MachineState>>][] = [
  [{ type: 'started' }, { off: 'starting', crashed: 'starting', suspended: 'starting' }],
  [{ type: 'userland' }, { starting: 'running' }],
  [{ type: 'paused' }, { running: 'paused' }],
  [{ type: 'resumed' }, { paused: 'running' }],
  [{ type: 'stop-asked' }, { starting: 'stopping', running: 'stopping' }],
  [{ type: 'stop-refused' }, { stopping: 'running' }],
  [{ type: 'adopted' }, { off: 'running', crashed: 'running', suspended: 'running' }],
  [clean, { starting: 'off', running: 'off', paused: 'off', stopping: 'off' }],
  [dirty, { starting: 'crashed', running: 'crashed', paused: 'crashed', stopping: 'crashed' }],
  [
    saved,
    { starting: 'suspended', running: 'suspended', paused: 'suspended', stopping: 'suspended' },
  ],
  [{ type: 'saved-found' }, { off: 'suspended', crashed: 'suspended' }],
  [{ type: 'discarded' }, { suspended: 'off' }],
  [{ type: 'reverted', saved: false }, { off: 'off', crashed: 'off', suspended: 'off' }],
  [
    { type: 'reverted', saved: true },
    { off: 'suspended', crashed: 'suspended', suspended: 'suspended' },
  ],
];

suite('a machine’s state', () => {
  for (const [event, row] of table) {
    const how = (end: { clean: boolean; saved?: boolean }) =>
      end.saved ? 'with its state saved' : end.clean ? 'cleanly' : 'dirtily';
    const name = event.type === 'exited' ? `exited ${how(event)}` : event.type;
    test(`after “${name}”`, () => {
      for (const state of states) {
        assert.equal(nextState(state, event), row[state], `from ${state}`);
      }
    });
  }

  test('is alive exactly while there is a process', () => {
    assert.deepEqual(states.filter(isAlive), ['starting', 'running', 'paused', 'stopping']);
  });

  test('can always end, so that none is a trap', () => {
    for (const state of states.filter(isAlive)) assert.equal(nextState(state, clean), 'off');
    for (const state of ['off', 'crashed', 'suspended'] as const) {
      assert.equal(nextState(state, { type: 'started' }), 'starting');
    }
  });
});
