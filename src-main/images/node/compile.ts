/**
 * Compiles our C programs for guests: static, without a libc, some 10 kB each.
 *
 *   await compileGuest(output, [file, …], { architecture: 'x86_64' })
 *
 * Where the compiler is missing the Refusal says which package brings it.
 */
import { join } from 'node:path';
import { run } from './run.ts';

export type GuestArchitecture = 'x86_64' | 'riscv64';

/** The folder of the C sources and of Tiny Linux's files, in this checkout. */
export const guestSources = join(import.meta.dirname, '../../../resources/guest');

const compilers = {
  x86_64: { program: 'gcc', package: 'gcc libc6-dev' },
  riscv64: {
    program: 'riscv64-linux-gnu-gcc',
    package: 'gcc-riscv64-linux-gnu linux-libc-dev-riscv64-cross',
  },
};

/** No libc and nothing that would call one; sections are dropped when nobody uses them. */
export const guestFlags = [
  '-std=gnu11', '-Os', '-Wall', '-Wextra', '-ffreestanding', '-fno-builtin', '-nostdlib',
  '-static', '-fno-pie', '-no-pie', '-fno-stack-protector', '-fno-asynchronous-unwind-tables',
  '-fno-tree-loop-distribute-patterns', '-ffunction-sections', '-fdata-sections',
  '-Wl,--gc-sections,--build-id=none,-z,noseparate-code,-z,norelro', '-s',
];

export async function compileGuest(
  output: string,
  files: readonly string[],
  options: {
    architecture: GuestArchitecture;
    signal?: AbortSignal;
    log?: (line: string) => void;
  },
): Promise<void> {
  const compiler = compilers[options.architecture];
  await run(compiler.program, [...guestFlags, '-o', output, ...files], {
    signal: options.signal,
    onLine: options.log,
    package: compiler.package,
  });
}
