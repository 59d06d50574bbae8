/**
 * Debian for riscv64: unpacked here, configured by its own programs in a portable machine, then
 * booted with systemd to a login. A smaller set of packages than the image of the app has.
 */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildBootRamdisk } from '../../src-main/app/node/image-makers.ts';
import { nymphPaths } from '../../src-main/app/node/paths.ts';
import { openWorkshop } from '../../src-main/app/node/workshop.ts';
import { run } from '../../src-main/images/node/run.ts';
import { PortableEngine } from '../../src-main/engines/riscv/node/engine.ts';
import { probeConfinement } from '../../src-main/engines/uml/node/launch.ts';
import { buildDebianRiscv } from '../../src-main/images/node/debian-riscv.ts';
import { chooseKernel } from '../../src-main/kernels/kernel.ts';
import { openKernelLibrary } from '../../src-main/kernels/node/library.ts';
import { specSchema } from '../../src-main/machine/spec.ts';

const packages = ['?essential', 'systemd-sysv', 'udev', 'passwd', 'login'];

test('Debian for riscv64 is built without root or binfmt, and boots to a login', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'nymph-debian-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const paths = nymphPaths(process.env, join(directory, 'home'));
  const engine = new PortableEngine(() => 0);
  const all = await openKernelLibrary({ cacheDirectory: paths.kernels }).list();
  const { kernel } = chooseKernel(all, 1, 'auto', 'portable');
  const finish = openWorkshop({
    paths,
    engine: () => engine,
    kernels: { choose: () => ({ kernel, cpus: 2, seccomp: false, choice: '' }) },
    confinement: await probeConfinement(),
  });
  const steps: string[] = [];
  const image = await buildDebianRiscv({
    directory: join(directory, 'made'),
    finish,
    packages,
    onProgress: (_, step) => void steps.push(step),
  });
  assert.ok(steps.includes('Configuring in a machine'), steps.join());
  assert.deepEqual(await readdir(join(directory, 'made')), ['debian-riscv64.ext4']);
  // Without a journal to recover: what the machine did last is there.
  await run('e2fsck', ['-fn', image.path]);
  const { stderr } = await run('debugfs', ['-R', 'stat /nymph-setup', image.path]);
  assert.match(stderr, /File not found/);

  const machine = await engine.launch({
    name: 'deb',
    spec: specSchema.parse({ id: 'de000000', engine: 'portable', cpus: 2 }),
    kernel: { ...kernel, seccomp: false },
    initramfs: await buildBootRamdisk(paths, 'riscv64'),
    disks: [{ id: 'root', index: 0, path: image.path }],
    directory: join(directory, 'made'),
    runDirectory: join(paths.run, 'de000000'),
    confined: false,
  });
  t.after(() => machine.kill());
  const screens = await Promise.all(
    machine.consoles.map(async (console) => {
      let screen = '';
      await new Promise<void>((resolve, reject) => {
        console.onBytes = (bytes) => {
          screen += Buffer.from(bytes).toString();
          if (/deb login: $/.test(screen)) resolve();
        };
        void machine.exited.then(() => reject(new Error(`it ended: ${screen.slice(-2000)}`)));
      });
      return screen;
    }),
  );
  for (const screen of screens) assert.match(screen, /Debian GNU\/Linux/);
});
