/**
 * v86 (npm): a 32-bit PC with one processor in WebAssembly. It boots Debian's kernel for i386, as
 * ours is of another processor, and runs the same programs compiled for it.
 *
 * Its package is fetched into the cache when the bench first wants it: 18 MB that nothing else
 * here needs are no dependency of the project.
 */
import { createHash } from 'node:crypto';
import { globSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { cached } from '../../../src-main/images/node/cache.ts';
import { runProgram } from '../../../src-main/kernels/node/run.ts';
import { benchCache } from '../debian.ts';
import { compilerObstacle } from '../guest-program.ts';
import { memoryMib, words, type Peer } from './peer.ts';
import { initrd } from './programs.ts';
import { qemuTree } from './tcg.ts';
import { debianKernel } from './v86-kernel.ts';
import type { MachineWords } from './v86-machine.ts';

const version = '0.5.462';
const integrity =
  'aKPX7DdzqAKFRv2omDkqSju0uEzlOxzo+II82J5UT7+tZNsboA6kyaNq9NKAnxvo9hzpJ8dQj7vcvcz0J7I2QA==';

let made: Pick<MachineWords, 'library' | 'firmware' | 'kernel' | 'initrd'>;

export const v86: Peer = {
  name: 'v86',
  architecture: 'i386',
  hartsMax: 1,
  cannot: {},
  obstacle: () => compilerObstacle('i386'),
  async prepare(say) {
    const { kernel, modules } = await debianKernel(say);
    made = {
      library: await library(say),
      firmware: join(await qemuTree(say), 'usr/share/seabios'),
      kernel,
      initrd: await initrd('i386', say, modules),
    };
  },
  command(job) {
    const machine: MachineWords = {
      ...made,
      // What guards one program from another's processor would count against v86 alone.
      line: `mitigations=off ${words(job, { disk: '/dev/sda', card: 'eth0' })}`,
      memoryMib,
      ...(job.disk === undefined ? {} : { disk: job.disk }),
      ...(job.cable === undefined ? {} : { cable: 3 }),
    };
    return {
      program: process.execPath,
      args: [join(import.meta.dirname, 'v86-machine.ts'), JSON.stringify(machine)],
      ...(job.cable === undefined ? {} : { fd: job.cable.fd }),
    };
  },
};

async function library(say: (line: string) => void): Promise<string> {
  const { path } = await cached(benchCache, `v86-${version}`, async (scratch) => {
    say(`bringing v86 ${version}`);
    await runProgram(['npm', 'pack', '--silent', `v86@${version}`], { cwd: scratch });
    const [file = ''] = globSync(join(scratch, '*.tgz'));
    const hash = createHash('sha512').update(readFileSync(file)).digest('base64');
    if (hash !== integrity) throw new Error('the package v86 is not the one that is meant');
    await runProgram(['tar', '-xzf', file, '-C', scratch], {});
    await rm(file);
  });
  return join(path, 'package/build');
}
