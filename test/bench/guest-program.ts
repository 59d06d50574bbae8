/**
 * The programs under `guest/`, one static file of them, compiled for a processor at bench time:
 *
 *   const path = await guestProgram('riscv64', say)
 *   const image = await programDisk('riscv64', say)    // an ext4 image with it alone, as `work`
 *
 * The compilers are of one family and get the same options; i386 is compiled for SSE2, which is
 * the best for an emulator.
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, globSync, mkdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { cached, contentHash } from '../../src-main/images/node/cache.ts';
import { formatExt4 } from '../../src-main/images/node/ext4.ts';
import { benchCache, ownSuites, unpacked, type Architecture } from './debian.ts';

export type Say = (line: string) => void;

const compilers: Record<Architecture, string> = {
  riscv64: 'riscv64-linux-gnu-gcc', i386: 'gcc', amd64: 'gcc',
};
const options = ['-O2', '-static', '-Wall', '-Wextra'];

export function compilerObstacle(architecture: Architecture): string | undefined {
  const program = compilers[architecture];
  const there = (process.env['PATH'] ?? '').split(':').some((at) => existsSync(join(at, program)));
  return there ? undefined : `${program} is not installed`;
}

/** The path of the program, compiled now or before from the same source. */
export async function guestProgram(architecture: Architecture, say: Say): Promise<string> {
  const sources = globSync(join(import.meta.dirname, 'guest/*.[ch]')).sort();
  const hash = contentHash([options.join(' '), ...sources.map((path) => readFileSync(path))]);
  const { path } = await cached(benchCache, `guest-${architecture}-${hash}`, async (scratch) => {
    const more = architecture === 'i386' ? await i386Options(say) : [];
    const files = sources.filter((file) => file.endsWith('.c'));
    execFileSync(compilers[architecture],
      [...options, ...more, '-o', join(scratch, 'work'), ...files, '-lm']);
  });
  return join(path, 'work');
}

export async function programDisk(architecture: Architecture, say: Say): Promise<string> {
  const program = await guestProgram(architecture, say);
  const name = `${basename(dirname(program))}-disk`;
  const { path } = await cached(benchCache, name, async (scratch) => {
    const content = join(scratch, 'content');
    mkdirSync(content);
    copyFileSync(program, join(content, 'work'));
    const image = join(scratch, 'programs.img');
    await formatExt4(image, { sizeMib: 16, label: 'programs', seed: 'programs', content });
  });
  return join(path, 'programs.img');
}

/** The host's compiler knows i386; what its C library needs comes from its own release. */
async function i386Options(say: Say): Promise<string[]> {
  const [major = ''] = execFileSync('gcc', ['-dumpversion'], { encoding: 'utf8' }).split('.');
  const packages = ['libc6-dev', `libgcc-${major.trim()}-dev`];
  const tree = await unpacked('libc-dev', {
    architecture: 'i386', packages, suites: ownSuites, say,
  });
  const [libgcc = ''] = globSync(join(tree, 'usr/lib/gcc/*/*/libgcc.a'));
  return [
    ...['-m32', '-march=pentium4', '-mfpmath=sse', `--sysroot=${tree}`],
    ...['-isystem', join(tree, 'usr/include/i386-linux-gnu')],
    ...[join(tree, 'usr/lib/i386-linux-gnu'), join(libgcc, '..')]
      .flatMap((place) => [`-B${place}`, `-L${place}`]),
  ];
}
