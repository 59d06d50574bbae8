/**
 * Boots a real kernel to a busybox userland on the portable engine and powers it off. The kernel
 * (a Debian riscv64 `vmlinux` Image) and an initrd whose /init honours `run=a,b` (commands with
 * commas for spaces) come from NYMPH_RISCV_KERNEL and NYMPH_RISCV_INITRD.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { run } from '../../src-main/engines/riscv/node/run.ts';

const kernel = process.env['NYMPH_RISCV_KERNEL'] ?? '';
const initrd = process.env['NYMPH_RISCV_INITRD'] ?? '';
const absent =
  existsSync(kernel) && existsSync(initrd) ? false : 'NYMPH_RISCV_KERNEL and _INITRD name no files';

async function boot(harts: number, threshold: number, command: string): Promise<string> {
  let screen = '';
  const ended = await run({
    from: {
      ramMib: 512,
      harts,
      kernel: readFileSync(kernel),
      initrd: readFileSync(initrd),
      bootArguments: `console=ttyS0 quiet run=${command}`,
      seed: new Uint8Array(32).fill(7),
    },
    threshold,
    console: {
      write: (bytes) => void (screen += Buffer.from(bytes).toString('latin1')),
      onInput: () => undefined,
    },
    devices: [],
  });
  assert.equal(ended.reason, 'poweroff');
  return screen;
}

test('the interpreter alone boots Linux to its userland', { skip: absent }, async () => {
  assert.match(await boot(1, 0, 'uname,-m'), /riscv64/);
});

test('the translator boots Linux to its userland', { skip: absent }, async () => {
  assert.match(await boot(1, 250, 'uname,-m'), /riscv64/);
});

test('two harts come up and are used', { skip: absent }, async () => {
  assert.match(await boot(2, 250, 'nproc'), /\n2\r/);
});
