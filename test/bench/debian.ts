/**
 * Packages of Debian, of any processor, brought from the machine's own mirror with all that they
 * depend on and unpacked into the bench's folder of the cache: nothing is installed. A program of
 * the host's processor among them is run by the loader and with the libraries that came along, so
 * it may come from a newer release than the host is.
 *
 *   const tree = await unpacked('qemu', { architecture: 'amd64', packages: ['…'], … })
 *   spawn(...loaded(tree, 'usr/bin/qemu-system-riscv64'))
 */
import { globSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { nymphPaths } from '../../src-main/app/node/paths.ts';
import { cached } from '../../src-main/images/node/cache.ts';
import type { AptSource, Release } from '../../src-main/kernels/apt-sources.ts';
import { privateApt } from '../../src-main/kernels/node/private-apt.ts';
import { runProgram } from '../../src-main/kernels/node/run.ts';

/** As Debian names them. */
export type Architecture = 'riscv64' | 'i386' | 'amd64';

export const benchCache = join(nymphPaths().cache, 'bench');

export interface Wanted {
  architecture: Architecture;
  packages: readonly string[];
  /** Of which releases: from the newest that the mirror has, or the host's own only. */
  suites: (entries: readonly AptSource[], release: Release) => AptSource[];
  say: (line: string) => void;
}

/** The folder that `name` was unpacked into, now or before. */
export async function unpacked(name: string, wanted: Wanted): Promise<string> {
  const { architecture, packages, suites, say } = wanted;
  const { path } = await cached(benchCache, `${name}-${architecture}`, async (scratch) => {
    say(`bringing ${packages.join(' ')} for ${architecture}`);
    const directory = join(scratch, 'apt');
    const apt = await privateApt({ directory, suites, architecture });
    // A suite that the mirror does not have is a failure to apt, and none to us.
    await runProgram([...apt, 'update'], { accept: [100] });
    const options = ['--download-only', '--no-install-recommends', '--yes'];
    await runProgram([...apt, ...options, 'install', ...packages], {});
    await mkdir(join(scratch, 'tree'));
    for (const file of globSync(join(directory, 'cache/archives/*.deb'))) {
      await runProgram(['dpkg-deb', '-x', file, join(scratch, 'tree')], {});
    }
    await rm(directory, { recursive: true });
  });
  return join(path, 'tree');
}

/** The host's own release alone. */
export function ownSuites(entries: readonly AptSource[], release: Release): AptSource[] {
  return entries
    .filter(({ components, suites }) =>
      components.includes('main') && suites.includes(release.codename))
    .map((entry) => ({ ...entry, components: ['main'] }));
}

/** The loader of a tree, and where its libraries are. */
export function loaderOf(tree: string): { loader: string; libraries: string } {
  const [loader] = globSync(join(tree, '{usr/lib,lib}/{,*-linux-gnu/}ld-linux*.so.*'));
  const [libc] = globSync(join(tree, '{usr/lib,lib}/*-linux-gnu/libc.so.6'));
  if (loader === undefined || libc === undefined) throw new Error(`no C library in ${tree}`);
  return { loader, libraries: join(libc, '..') };
}

/** The beginning of a command that runs a program of the tree on this host. */
export function loaded(tree: string, program: string): string[] {
  const { loader, libraries } = loaderOf(tree);
  return [loader, '--library-path', libraries, join(tree, program)];
}
