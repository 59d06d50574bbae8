/**
 * A user's own firmware in M-mode: Debian's OpenSBI, fetched for the test, starts our kernel on two
 * processors of the portable engine.
 */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildBootRamdisk } from '../../src-main/app/node/image-makers.ts';
import { nymphPaths } from '../../src-main/app/node/paths.ts';
import { run } from '../../src-main/engines/riscv/node/run.ts';
import { riscvSuites } from '../../src-main/kernels/apt-sources.ts';
import { chooseKernel } from '../../src-main/kernels/kernel.ts';
import { openKernelLibrary } from '../../src-main/kernels/node/library.ts';
import { privateApt } from '../../src-main/kernels/node/private-apt.ts';
import { runProgram } from '../../src-main/kernels/node/run.ts';

const place = 'usr/lib/riscv64-linux-gnu/opensbi/generic/fw_dynamic.bin';

test('OpenSBI starts the kernel, which finds its processors by it', async (t) => {
  const cwd = await mkdtemp(join(tmpdir(), 'nymph-firmware-'));
  t.after(() => rm(cwd, { recursive: true, force: true }));
  const directory = join(cwd, 'apt');
  const apt = await privateApt({ directory, suites: riscvSuites, architecture: 'riscv64' });
  await runProgram([...apt, 'update'], { accept: [100] });
  await runProgram([...apt, 'download', 'opensbi'], { cwd });
  const file = (await readdir(cwd)).find((name) => name.endsWith('.deb'))!;
  await runProgram(['dpkg-deb', '-x', join(cwd, file), cwd], {});

  const paths = nymphPaths();
  const kernels = await openKernelLibrary({ cacheDirectory: paths.kernels }).list();
  const { kernel } = chooseKernel(kernels, 2, 'auto', 'portable');
  let screen = '';
  let stop = () => {};
  const ended = await run({
    from: {
      ramMib: 128,
      harts: 2,
      kernel: await readFile(kernel.path),
      initrd: await readFile(await buildBootRamdisk(paths, 'riscv64')),
      firmware: await readFile(join(cwd, place)),
      bootArguments: 'console=ttyS0',
      seed: new Uint8Array(32).fill(7),
    },
    console: {
      write: (bytes) => {
        screen += Buffer.from(bytes).toString('latin1');
        if (/only the agent runs/.test(screen)) stop();
      },
      onInput: () => undefined,
    },
    devices: [],
    onPower: (power) => void (stop = power.stop),
  });
  assert.equal(ended.reason, 'poweroff');
  assert.match(screen, /OpenSBI v\d[\s\S]*Boot HART ID/);
  assert.match(screen, /SBI implementation ID=0x1 /, 'the kernel’s SBI is OpenSBI');
  assert.match(screen, /smp: Brought up 1 node, 2 CPUs/);
});
