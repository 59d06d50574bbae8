/**
 * Debian's static busybox for riscv64, fetched from the machine's own mirror, checked by apt
 * against the signed lists, unpacked and kept. Its list of commands is read from the program, since
 * it cannot be run here.
 *
 *   const { path, applets } = await riscvBusybox({ cache })
 */
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Refusal } from '../../base/refusal.ts';
import { riscvSuites } from '../../kernels/apt-sources.ts';
import { privateApt } from '../../kernels/node/private-apt.ts';
import { cached } from './cache.ts';
import { run } from './run.ts';

export interface RiscvBusybox {
  path: string;
  applets: string[];
}

const packageName = 'busybox-static';
/** Raise it when another busybox is wanted than the one that is kept. */
const edition = 1;
const appletsMin = 100;

export async function riscvBusybox(request: {
  cache: string;
  signal?: AbortSignal;
  log?: (line: string) => void;
}): Promise<RiscvBusybox> {
  const { path } = await cached(request.cache, `busybox-riscv64-${edition}`, async (scratch) => {
    await fetch(scratch, request);
  });
  const program = join(path, 'busybox');
  return { path: program, applets: appletNames(await readFile(program)) };
}

async function fetch(
  scratch: string,
  { signal, log }: { signal?: AbortSignal; log?: (line: string) => void },
): Promise<void> {
  const work = join(scratch, 'work');
  await mkdir(work);
  log?.('Fetching busybox for riscv64.');
  const directory = join(work, 'apt');
  const apt = await privateApt({ directory, suites: riscvSuites, architecture: 'riscv64' });
  const [program = '', ...options] = apt;
  const ask = (args: string[]) =>
    run(program, [...options, ...args], { signal, onLine: log, directory: work, package: 'apt' });
  // A suite that the mirror does not have is a failure to apt, and none to us.
  await ask(['update']).catch((thrown: unknown) => {
    if (thrown instanceof Refusal && thrown.code === 'cancelled') throw thrown;
  });
  await ask(['download', packageName]).catch((thrown: unknown) => {
    if (thrown instanceof Refusal && thrown.code === 'cancelled') throw thrown;
    throw new Refusal(
      'unavailable',
      'Tiny Linux for RISC-V needs the package busybox-static:riscv64, which the mirror of this ' +
        'machine does not have, or it cannot be reached.',
    );
  });
  const found = (await readdir(work)).find((name) => name.startsWith(`${packageName}_`));
  if (found === undefined) throw new Refusal('unavailable', 'The busybox package did not arrive.');
  const tree = join(work, 'tree');
  await run('dpkg-deb', ['-x', join(work, found), tree], { signal, package: 'dpkg' });
  await copyFile(await programIn(tree), join(scratch, 'busybox'));
  await writeFile(join(scratch, 'package'), `${found}\n`);
  await rm(work, { recursive: true, force: true });
}

async function programIn(tree: string): Promise<string> {
  for (const place of ['usr/bin/busybox', 'bin/busybox']) {
    const path = join(tree, place);
    if (await readFile(path).then(() => true, () => false)) return path;
  }
  throw new Refusal('unsupported', 'The package busybox-static holds no busybox.');
}

/** The names of its commands lie in it one after the other, sorted, `[` and `[[` first. */
export function appletNames(program: Uint8Array): string[] {
  const text = Buffer.from(program.buffer, program.byteOffset, program.length);
  const start = text.indexOf('[\0[[\0', 0, 'latin1');
  const names: string[] = [];
  for (let at = start; start >= 0 && at < text.length; ) {
    const end = text.indexOf(0, at);
    const name = text.toString('latin1', at, end < 0 ? at : end);
    if (!/^[a-z0-9[_.-]{1,32}$/i.test(name)) break;
    names.push(name);
    at = end + 1;
  }
  if (names.length < appletsMin) {
    throw new Refusal('unsupported', 'The commands of this busybox cannot be listed.');
  }
  return names.filter((name) => name !== 'busybox');
}
