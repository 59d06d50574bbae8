/** os-release and the processor of a program. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { elfArchitecture, parseOsRelease } from '../../../src-main/disks/system.ts';
import { elfHead } from './inputs.ts';

test('os-release is read with its quotes, comments and surprises', () => {
  const values = parseOsRelease('# note\nID=debian\nPRETTY_NAME="A \\"B\\" \\$C"\nNAME=\'x y\'\n' +
    '__proto__=evil\nlower=no\nVERSION_ID=12\r\n');
  assert.deepEqual({ ...values },
    { ID: 'debian', PRETTY_NAME: 'A "B" $C', NAME: 'x y', VERSION_ID: '12' });
});

test('the processor of a program is told by its header', () => {
  assert.equal(elfArchitecture(elfHead(62)), 'x86_64');
  assert.equal(elfArchitecture(elfHead(243)), 'riscv64');
  assert.equal(elfArchitecture(elfHead(183)), 'aarch64');
  assert.equal(elfArchitecture(elfHead(3)), 'i686');
  assert.equal(elfArchitecture(elfHead(9999)), 'machine-9999');
  assert.equal(elfArchitecture(new TextEncoder().encode('#!/bin/sh\nexec something\n')), undefined);
  assert.equal(elfArchitecture(elfHead(62).subarray(0, 19)), undefined);
});
