/** Our side: the portable engine with its usual kernel, a machine in a process of its own. */
import { join } from 'node:path';
import { nymphPaths } from '../../../src-main/app/node/paths.ts';
import { buildKernel } from '../../../src-main/kernels/node/build.ts';
import { compilerObstacle } from '../guest-program.ts';
import type { MachineWords } from './nymph-machine.ts';
import { memoryMib, words, type Peer } from './peer.ts';
import { initrd } from './programs.ts';

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
      args: [join(import.meta.dirname, 'nymph-machine.ts'), JSON.stringify(machine)],
      ...(job.cable === undefined ? {} : { fd: job.cable.fd }),
    };
  },
};
