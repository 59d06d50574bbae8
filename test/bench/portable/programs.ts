/**
 * What a guest of the table is given: an initial RAM disk with the programs under `guest/` as its
 * first program; and a disk, with data to read and write and with Debian's newest C compiler proper
 * for its processor and a large file to compile.
 */
import { execFileSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { copyFile, mkdir, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { writeFileAtomic } from '../../../src-main/base/node/files.ts';
import { cached, contentHash } from '../../../src-main/images/node/cache.ts';
import { formatExt4 } from '../../../src-main/images/node/ext4.ts';
import { writeCpio, type CpioEntry } from '../../../src-main/base/cpio.ts';
import { kernelSuites } from '../../../src-main/kernels/apt-sources.ts';
import { benchCache, loaderOf, unpacked, type Architecture } from '../debian.ts';
import { guestProgram, type Say } from '../guest-program.ts';
import { largeSource } from './large-source.ts';

const dataMib = 32;
const diskMib = 192;

/**
 * An initial RAM disk with the program as /init, and modules of a kernel in the order in which it
 * loads them; not compressed, so that no peer takes longer to boot for that.
 */
export async function initrd(
  architecture: Architecture, say: Say, modules: readonly string[] = [],
): Promise<string> {
  const program = await guestProgram(architecture, say);
  const path = join(program, '..', 'initrd');
  await writeFileAtomic(path, writeCpio([
    { kind: 'directory', path: 'dev', mode: 0o755 },
    { kind: 'character', path: 'dev/console', mode: 0o600, major: 5, minor: 1 },
    { kind: 'directory', path: 'modules', mode: 0o755 },
    ...modules.map((from, index): CpioEntry => ({
      kind: 'file', path: `modules/${index + 100}.ko`, mode: 0o644, content: readFileSync(from),
    })),
    { kind: 'file', path: 'init', mode: 0o755, content: readFileSync(program) },
  ]));
  return path;
}

/** A folder with `cc1`, its loader and libraries, and `large.c`. */
export async function compilerTools(architecture: Architecture, say: Say): Promise<string> {
  const wanted = { architecture, packages: ['cpp'], suites: kernelSuites, say };
  const tree = await unpacked('cpp', wanted);
  const source = largeSource();
  const { path } = await cached(
    benchCache, `tools-${architecture}-${contentHash([source])}`, async (scratch) => {
      const { loader, libraries } = loaderOf(tree);
      const [compiler] = globSync(join(tree, 'usr/libexec/gcc/*/*/cc1'));
      if (compiler === undefined) throw new Error(`the package cpp holds no cc1 in ${tree}`);
      await copyFile(compiler, join(scratch, 'cc1'));
      await copyFile(loader, join(scratch, 'ld.so'));
      await writeFile(join(scratch, 'large.c'), source);
      await mkdir(join(scratch, 'lib'));
      const needed = 'lib{c,m,isl,mpc,mpfr,gmp,z,zstd,gcc_s,dl}.so.+([0-9])';
      for (const file of globSync(join(libraries, needed))) {
        await copyFile(file, join(scratch, 'lib', basename(file)));
      }
    });
  return path;
}

/** An ext4 image with `data` and, under `tools`, the compiler; to be copied, not written. */
export async function disk(architecture: Architecture, say: Say): Promise<string> {
  const tools = await compilerTools(architecture, say);
  const { path } = await cached(benchCache, `disk-${basename(tools)}`, async (scratch) => {
    const content = join(scratch, 'content');
    await mkdir(content);
    await writeFile(join(content, 'data'), new Uint8Array(dataMib << 20).fill(0x55));
    execFileSync('cp', ['-r', tools, join(content, 'tools')]);
    const image = join(scratch, 'disk.img');
    await formatExt4(image, { sizeMib: diskMib, label: 'bench', seed: tools, content });
    await rm(content, { recursive: true });
  });
  return join(path, 'disk.img');
}
