/**
 * A big paste arrives whole at a slow reader, and so does what is typed next. Without the edits
 * of feature `input` the line is deaf once its buffer was full, on the console and on the serial
 * line alike.
 */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { bootGuest, ourKernel } from './kernel-guest.ts';

const paste = Buffer.from(
  Array.from({ length: 8192 }, (_, index) => `${String(index).padStart(7, '0')}\n`).join(''),
);

for (const [device, argument] of [
  ['tty1', 'con1=fd:0'],
  ['ttyS0', 'ssl0=fd:0'],
] as const) {
  test(`64 KiB pasted into ${device} arrive whole at a program that reads late`, async (t) => {
    const guest = bootGuest(t, await ourKernel('up'), {
      // The line is open while nobody reads, so that its buffer fills before the first read.
      script: [
        `exec 5</dev/${device}`,
        'stty raw -echo <&5; echo READY; sleep 1',
        `echo "ARRIVED $(dd bs=64 count=${paste.length / 64} iflag=fullblock <&5 2>/dev/null |`,
        '  sha256sum)"',
        'echo "AFTER $(dd bs=5 count=1 iflag=fullblock <&5 2>/dev/null)"',
      ].join('\n'),
      arguments: [argument],
      input: true,
    });
    await guest.line('READY');
    guest.process.stdin?.on('error', () => undefined).write(paste);
    const digest = createHash('sha256').update(paste).digest('hex');
    assert.equal(await guest.line('ARRIVED'), `ARRIVED ${digest}  -`);
    guest.process.stdin?.write('typed');
    assert.equal(await guest.line('AFTER'), 'AFTER typed');
  });
}
