/**
 * Our side: the portable engine with its usual kernel, a machine in a process of its own, started
 * as the app does, with what Node keeps of our sources.
 */
import { execFileSync } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { nodeOptions } from '../../../src-main/engines/riscv/node/options.ts';
import { nymphPaths } from '../../../src-main/app/node/paths.ts';
import { buildKernel } from '../../../src-main/kernels/node/build.ts';
import { benchCache } from '../debian.ts';
import { compilerObstacle } from '../guest-program.ts';
import type { MachineWords } from './nymph-machine.ts';
import { memoryMib, words, type Peer } from './peer.ts';
import { initrd } from './programs.ts';

const warm = join(import.meta.dirname, '../../../src-main/engines/riscv/node/warm.ts');
const env = { NODE_COMPILE_CACHE: join(benchCache, 'code') };
let made: { kernel: string; initrd: string } | undefined;

/** The kernel and RAM disk, of which every riscv64 machine here gets the same. */
export async function riscvFiles(say: (line: string) => void): Promise<NonNullable<typeof made>> {
  const kernel = await buildKernel({
    cacheDirectory: nymphPaths().kernels, flavour: 'riscv64',
  });
  made ??= { kernel: kernel.path, initrd: await initrd('riscv64', say) };
  return made;
}

export const nymph: Peer = {
  name: 'nymph',
  architecture: 'riscv64',
  hartsMax: 2,
  cannot: {},
  obstacle: () => compilerObstacle('riscv64'),
  async prepare(say) {
    await riscvFiles(say);
    await mkdir(env.NODE_COMPILE_CACHE, { recursive: true });
    execFileSync(process.execPath, [...nodeOptions, warm], { env: { ...process.env, ...env } });
  },
  command(job) {
    const machine: MachineWords = {
      ...made!,
      line: words(job, { disk: '/dev/vda', card: 'eth0' }),
      harts: job.harts,
      memoryMib,
      ...(job.disk === undefined ? {} : { disk: job.disk }),
      ...(job.cable === undefined ? {} : { cable: 3 }),
    };
    return {
      program: process.execPath,
      args: [
        ...nodeOptions, join(import.meta.dirname, 'nymph-machine.ts'), JSON.stringify(machine),
      ],
      env,
      ...(job.cable === undefined ? {} : { fd: job.cable.fd }),
    };
  },
};
