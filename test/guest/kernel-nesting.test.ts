/**
 * A kernel of ours hosts another. Without the edits of feature `nesting` the first program of an
 * inner kernel dies of SIGSYS, because its filter sees a wrong instruction pointer; and one that
 * traces its programs ends at once, because the outer one knows no emulated system calls.
 */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { KernelInfo } from '../../src-main/kernels/kernel.ts';
import { bootGuest, guestArchive, ourKernel, type GuestFile } from './kernel-guest.ts';

/** The kernel itself, what it needs to run, and an initial RAM disk for it. */
function innerFiles(kernel: KernelInfo, script: string, files: GuestFile[] = []): GuestFile[] {
  return [
    ...[{ file: kernel.path, seenAs: '/linux' }, ...kernel.sharedLibraries].map(
      ({ file, seenAs }) => ({ path: seenAs.slice(1), bytes: readFileSync(file), mode: 0o755 }),
    ),
    { path: 'inner', bytes: guestArchive(script, files) },
  ];
}

function runInner(memoryMib: number, mode: 'ptrace' | 'seccomp' = 'seccomp'): string {
  const seccomp = mode === 'seccomp' ? 'on' : 'off';
  return [
    'mkdir -p /tmp/u && export TMPDIR=/dev/shm HOME=/tmp',
    `/linux mem=${memoryMib}M initrd=/inner rdinit=/init uml_dir=/tmp/u quiet \\`,
    `  con=null con0=null,fd:1 ubd0=/dev/null seccomp=${seccomp} 2>&1 </dev/null`,
  ].join('\n');
}

for (const mode of ['ptrace', 'seccomp']) {
  test(`a kernel boots to userland inside one that runs by ${mode}`, async (t) => {
    const kernel = await ourKernel('up');
    const guest = bootGuest(t, kernel, {
      script: `echo OUTER $(cat /proc/uptime)\n${runInner(48)}\necho BACK`,
      files: innerFiles(kernel, 'echo INNER $(uname -r)'),
      memoryMib: 160,
      arguments: mode === 'seccomp' ? ['seccomp=on'] : [],
    });
    await guest.line('OUTER');
    assert.equal(await guest.line('INNER'), `INNER ${kernel.version}`);
    await guest.line('BACK');
  });
}

test('an inner kernel can trace its programs', async (t) => {
  const kernel = await ourKernel('up');
  const guest = bootGuest(t, kernel, {
    script: `${runInner(48, 'ptrace')}\necho BACK`,
    files: innerFiles(kernel, 'echo INNER $(uname -r)'),
    memoryMib: 160,
  });
  assert.equal(await guest.line('INNER'), `INNER ${kernel.version}`);
  await guest.line('BACK');
  assert.doesNotMatch(guest.output(), /relay unknown signal/);
});

test('a third level boots to userland', async (t) => {
  const kernel = await ourKernel('up');
  const innermost = innerFiles(kernel, 'echo INNERMOST $(uname -r)');
  const guest = bootGuest(t, kernel, {
    script: runInner(144),
    files: innerFiles(kernel, runInner(40), innermost),
    memoryMib: 320,
    arguments: ['seccomp=on'],
  });
  assert.equal(await guest.line('INNERMOST'), `INNERMOST ${kernel.version}`);
});
