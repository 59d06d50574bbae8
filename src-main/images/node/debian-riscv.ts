/**
 * Builds the minimal Debian image for riscv64 on any processor, as root or as an ordinary user and
 * without binfmt: packages are unpacked here, and configured by their own programs in a machine
 * that boots the unfinished image.
 *
 *   const { path } = await buildDebianRiscv({ directory, finish, signal, onProgress, log })
 *
 * `finish` is that machine: whoever calls has an engine. The result is as that of `buildDebian`.
 */
import { mkdir, mkdtemp, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Refusal } from '../../base/refusal.ts';
import type { AptSource } from '../../kernels/apt-sources.ts';
import { privateApt } from '../../kernels/node/private-apt.ts';
import { customizeScript, debianFiles, dpkgOptions } from '../debian.ts';
import {
  consoleRule, riscvSources, setupDone, setupFolder, setupProgram, setupScript, SetupProgress,
  targetSources, unpackScript, wantedPackages,
} from '../debian-riscv.ts';
import { flush, layOut, type DebianRequest } from './debian.ts';
import { formatExt4 } from './ext4.ts';
import { run } from './run.ts';
import type { BuiltImage } from './tiny.ts';

/** Runs a program of an image as process 1 of a machine, until that machine is off. */
export type RunInImage = (wanted: {
  image: string;
  program: string;
  signal?: AbortSignal;
  /** Each line of its console. */
  onLine: (line: string) => void;
}) => Promise<void>;

export interface DebianRiscvRequest extends DebianRequest {
  finish: RunInImage;
  /** Patterns of apt; for a test, a smaller system than ours. */
  packages?: readonly string[];
}

const imageName = 'debian-riscv64.ext4';

export async function buildDebianRiscv(request: DebianRiscvRequest): Promise<BuiltImage> {
  const { directory, signal, onProgress } = request;
  await mkdir(directory, { recursive: true });
  const scratch = await mkdtemp(join(directory, '.debian-'));
  try {
    onProgress?.(0, 'Reading the package lists');
    const { archives, sources } = await fetch(scratch, request);
    onProgress?.(0.2, 'Unpacking');
    const image = join(scratch, 'root.ext4');
    await unpack(scratch, { archives, sources, image }, request);
    onProgress?.(0.3, 'Starting a machine to configure it');
    await configure(image, (await readdir(archives)).length, request);
    signal?.throwIfAborted();
    await flush(image);
    const path = join(directory, imageName);
    await rename(image, path);
    await flush(directory);
    onProgress?.(1, 'Done');
    const { size, blocks } = await stat(path);
    return { path, virtualBytes: size, realBytes: blocks * 512, reused: false };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** The packages, checked by apt against the signed lists. */
async function fetch(
  scratch: string,
  { signal, log, onProgress, packages = wantedPackages }: DebianRiscvRequest,
): Promise<{ archives: string; sources: readonly AptSource[] }> {
  const directory = join(scratch, 'apt');
  let sources: AptSource[] = [];
  const [program = '', ...options] = await privateApt({
    directory,
    suites: (entries, release) => (sources = riscvSources(entries, release)),
    architecture: 'riscv64',
  });
  const ask = (args: string[]) =>
    run(program, [...options, ...args], { signal, onLine: log, package: 'apt' });
  // A suite that the mirror does not have is a failure to apt, and none to us.
  await ask(['update']).catch(unlessCancelled);
  onProgress?.(0.05, 'Downloading packages');
  const wanted = ['install', '--yes', '--download-only', '--no-install-recommends'];
  await ask(['-o', 'Debug::NoLocking=1', ...wanted, ...packages]).catch((thrown) => {
    unlessCancelled(thrown);
    throw new Refusal(
      'unavailable',
      'The mirror of this machine does not have Debian for riscv64, or it cannot be reached.',
    );
  });
  return { archives: join(directory, 'cache/archives'), sources };
}

function unlessCancelled(thrown: unknown): void {
  if (thrown instanceof Refusal && thrown.code === 'cancelled') throw thrown;
}

/** Owners are kept by doing it all under one fakeroot, which as root is not needed. */
async function unpack(
  scratch: string,
  { archives, sources, image }: { archives: string; sources: readonly AptSource[]; image: string },
  { signal, log, sizeMib }: DebianRequest,
): Promise<void> {
  const tree = join(scratch, 'tree');
  const state = join(scratch, 'owners');
  await writeFile(state, '');
  const script = join(scratch, 'unpack');
  await writeFile(script, unpackScript);
  await mkdir(tree, { mode: 0o755 });
  const isRoot = process.getuid?.() === 0;
  const under = isRoot ? [] : ['fakeroot', '-i', state, '-s', state, '--'];
  const inTree = async (argv: readonly string[]) => {
    const [program = 'sh', ...rest] = [...under, ...argv];
    await run(program, rest, { signal, onLine: log, package: program });
  };
  await inTree(['sh', script, archives, tree, join(scratch, 'work')]);
  const files = await layOut(join(scratch, 'files'), {
    ...debianFiles,
    'etc/apt/sources.list.d/debian.sources': targetSources(sources),
    'etc/apt/apt.conf.d/90nymph': 'Acquire::Languages "none";\nAPT::Install-Recommends "false";\n',
    'etc/dpkg/dpkg.cfg.d/nymph': dpkgOptions.map((option) => `${option}\n`).join(''),
    'etc/udev/rules.d/80-nymph-console.rules': consoleRule,
    [setupProgram.slice(1)]: setupScript,
    [`${setupFolder.slice(1)}/customize`]: customizeScript,
  });
  for (const { from, to } of files) {
    await inTree(['install', '-D', '-m', to === setupProgram ? '755' : '644', from, tree + to]);
  }
  await formatExt4(image, {
    sizeMib: sizeMib ?? 4096,
    label: 'debian',
    seed: `debian ${scratch}`,
    content: tree,
    under: isRoot ? undefined : ['fakeroot', '-i', state, '--'],
    signal,
  });
  await rm(tree, { recursive: true });
}

/** The machine says how far it is; without its last word the image is not whole. */
async function configure(image: string, total: number, request: DebianRiscvRequest): Promise<void> {
  const progress = new SetupProgress(total);
  let done = false;
  let failure = '';
  await request.finish({
    image,
    program: setupProgram,
    signal: request.signal,
    onLine: (line) => {
      request.log?.(line);
      if (line === setupDone) done = true;
      if (/error|failed/i.test(line)) failure = line;
      request.onProgress?.(0.3 + 0.68 * progress.take(line), 'Configuring in a machine');
    },
  });
  request.signal?.throwIfAborted();
  if (done) return;
  throw new Refusal('internal', `Debian could not be configured: ${failure || 'it said nothing'}.`);
}
