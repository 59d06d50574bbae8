/** One sentence for each way a machine can end. */
import { suite, test } from 'node:test';
import assert from 'node:assert/strict';
import { explainExit } from '../../../src-main/app/exit-reason.ts';
import { deviceName } from '../../../src-main/app/device-name.ts';
import type { ExitReport } from '../../../src-main/machine/engine.ts';

const panic = ['[ 1.0] Kernel panic - not syncing: sysrq triggered crash'];

suite('a machine that ended', () => {
  const cases: [string, ExitReport, boolean, string[], boolean, string?][] = [
    ['by itself with 0 is off', { code: 0 }, false, [], true],
    ['as it was asked to is off, however it looks', { signal: 'SIGKILL' }, true, panic, true],
    ['in a panic', { code: 134, signal: 'SIGABRT' }, false, panic, false,
      'The kernel panicked: sysrq triggered crash.'],
    ['in a panic though its code is 0', { code: 0 }, false, panic, false,
      'The kernel panicked: sysrq triggered crash.'],
    ['killed from outside', { signal: 'SIGKILL' }, false, [], false,
      'It was killed from outside Nymph, or the host ran out of memory.'],
    ['by another signal', { code: 139, signal: 'SIGSEGV' }, false, [], false,
      'The kernel ended with SIGSEGV.'],
    ['for want of memory', { code: 1 }, false, ['Out of memory: Killed process 1'], false,
      'The guest ran out of memory.'],
    ['with an error', { code: 3 }, false, ['hello'], false, 'The kernel ended with exit code 3.'],
    ['unseen, after halting', {}, false, ['reboot: Power down'], true],
    ['unseen, with no word', {}, false, ['login:'], false,
      'It ended while no server was watching it.'],
    ['unseen, in a panic', {}, false, panic, false, 'The kernel panicked: sysrq triggered crash.'],
  ];
  for (const [what, report, asked, lines, clean, reason] of cases) {
    test(what, () => {
      assert.deepEqual(explainExit(report, asked, lines), reason ? { clean, reason } : { clean });
    });
  }

  test('is told of its last panic, not of an earlier boot’s', () => {
    const lines = ['Kernel panic - not syncing: old', 'boot', 'Kernel panic - not syncing: new.'];
    assert.equal(explainExit({ code: 134 }, false, lines).reason, 'The kernel panicked: new.');
    const again = [...lines, '── web started ──', 'login:'];
    assert.match(explainExit({ signal: 'SIGKILL' }, false, again).reason!, /killed from outside/);
    assert.deepEqual(explainExit({ code: 0 }, false, again), { clean: true });
  });
});

test('disks are called as the guest calls them', () => {
  assert.deepEqual(['native', 'portable'].map((engine) => deviceName(engine as 'native', 2)), [
    'ubdc',
    'vdc',
  ]);
});
