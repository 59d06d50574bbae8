/**
 * Fetches the newest `user-mode-linux` package that the machine's mirror has, together with the C
 * library it was built with, for a host on which no kernel can run yet: none is installed, or the
 * installed one is too old for the processor. It takes seconds and needs no root; the kernel serves
 * until our own is built.
 *
 * Use: `fetchPackagedKernel({ cacheDirectory })`. What is installed is whole: it is laid out in a
 * folder of another name, synced and renamed. Its libraries are seen only inside a compartment, in
 * the place of the host's, so a host without compartments cannot use it.
 */
import { open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { makeDirectory, syncDirectory, writeFileAtomic } from '../../base/node/files.ts';
import { Refusal } from '../../base/refusal.ts';
import { kernelSuites } from '../apt-sources.ts';
import { newestVersion } from '../debian-version.ts';
import { readElf } from '../elf.ts';
import type { KernelInfo } from '../kernel.ts';
import { libraryFolder, unwinder } from './libraries.ts';
import { acquireLock, type BuildLock } from './lock.ts';
import { openKernelLibrary } from './library.ts';
import { privateApt } from './private-apt.ts';
import { runProgram, type RunOptions } from './run.ts';

export type FetchOptions = {
  cacheDirectory: string;
  signal?: AbortSignal;
  /** What it is at, in one or two words. */
  onStep?: (step: string) => void;
  log?: (line: string) => void;
  /** Where the machine keeps its apt configuration. */
  aptDirectory?: string;
};

const kernelPackage = 'user-mode-linux';
const libraryPackages = ['libgcc-s1', 'libc6'];
const filesMax = 16;

/**
 * @throws Refusal `in-use` a kernel is being fetched or built, `unavailable` the mirror has none
 * that runs here or cannot be reached, `cancelled`, `no-space`.
 */
export async function fetchPackagedKernel(options: FetchOptions): Promise<KernelInfo> {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Refusal('unsupported', 'User Mode Linux kernels run on x86-64 Linux only.');
  }
  await makeDirectory(options.cacheDirectory);
  const lock = await acquireLock(
    join(options.cacheDirectory, 'build.lock'),
    'A kernel is being fetched or built already.',
  );
  const work = join(options.cacheDirectory, 'fetch');
  try {
    await rm(work, { recursive: true, force: true });
    await makeDirectory(work);
    const { tree, version } = await fetchTree(work, options, lock);
    const id = `packaged-${version.replace(/[^\w.+~-]/g, '-')}`;
    await install(tree, join(options.cacheDirectory, 'installed'), id, version);
    const library = openKernelLibrary({ cacheDirectory: options.cacheDirectory });
    const kernel = await library.get(id);
    if (kernel.obstacle === undefined) return kernel;
    await library.remove(id);
    throw new Refusal('unavailable', kernel.obstacle);
  } finally {
    await rm(work, { recursive: true, force: true });
    await lock.release();
  }
}

/** All packages unpacked into one tree, and the version of the kernel's. */
async function fetchTree(
  work: string,
  { signal, log, onStep, aptDirectory }: FetchOptions,
  lock: BuildLock,
): Promise<{ tree: string; version: string }> {
  const run = (argv: readonly string[], more: RunOptions = {}) =>
    runProgram(argv, {
      signal,
      onLine: log,
      onGroup: (pid) => lock.setGroup(pid),
      cwd: work,
      ...more,
    });
  const directory = join(work, 'apt');
  const apt = await privateApt({ directory, suites: kernelSuites, aptDirectory });
  onStep?.('asking the mirror');
  // A suite that the mirror does not have is a failure to apt, and none to us.
  await run([...apt, 'update'], { accept: [100] });
  const cache = ['apt-cache', ...apt.slice(1), 'madison'];
  const tree = join(work, 'tree');
  let version = '';
  for (const name of [...libraryPackages, kernelPackage]) {
    version = newestVersion(await run([...cache, name]), name) ?? '';
    if (version === '') {
      throw new Refusal(
        'unavailable',
        `The mirror of this machine has no package ${name}, or it cannot be reached.`,
      );
    }
    onStep?.(`fetching ${name}`);
    await run([...apt, 'download', `${name}=${version}`]);
    const file = (await readdir(work)).find((each) => each.startsWith(`${name}_`));
    if (file === undefined) throw new Refusal('unavailable', `${name} did not arrive.`);
    await run(['dpkg-deb', '-x', join(work, file), tree]);
  }
  return { tree, version };
}

async function install(tree: string, home: string, id: string, version: string): Promise<void> {
  const found = await filesByName(tree);
  const partial = join(home, `.${id}.partial`);
  await rm(partial, { recursive: true, force: true });
  await makeDirectory(partial);
  try {
    const kernel = await copy(found, 'linux.uml', join(partial, 'linux'));
    await copyLibraries(found, kernel, join(partial, 'libraries'));
    const about = { flavour: 'packaged', source: { package: kernelPackage, version } };
    await writeFileAtomic(join(partial, 'kernel.json'), `${JSON.stringify(about, null, 2)}\n`);
    await rm(join(home, id), { recursive: true, force: true });
    await rename(partial, join(home, id));
    await syncDirectory(home);
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
}

/** The loader where the kernel names it, its libraries where every loader looks first. */
async function copyLibraries(
  found: ReadonlyMap<string, string>,
  kernel: Uint8Array,
  root: string,
): Promise<void> {
  const { interpreter, needed } = readElf(kernel);
  const names = [...needed, unwinder];
  const wanted = new Map(names.map((name) => [basename(name), join(libraryFolder, name)]));
  if (interpreter !== undefined) wanted.set(basename(interpreter), interpreter);
  for (const [name, path] of wanted) {
    if (wanted.size > filesMax) throw new Refusal('unsupported', 'This kernel needs too much.');
    const bytes = await copy(found, name, join(root, path));
    for (const next of readElf(bytes).needed) {
      // A map goes on to what is added while it is walked.
      if (!wanted.has(basename(next))) wanted.set(basename(next), join(libraryFolder, next));
    }
  }
}

async function copy(
  found: ReadonlyMap<string, string>,
  name: string,
  to: string,
): Promise<Uint8Array> {
  const from = found.get(name);
  if (from === undefined) throw new Refusal('unsupported', `The packages hold no ${name}.`);
  const bytes = await readFile(from);
  await makeDirectory(dirname(to));
  const file = await open(to, 'wx', 0o755);
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
  return bytes;
}

/** Regular files only, so that no link of a package leads out of it. */
async function filesByName(tree: string): Promise<Map<string, string>> {
  const entries = await readdir(tree, { recursive: true, withFileTypes: true });
  return new Map(
    entries
      .filter((entry) => entry.isFile())
      .map((entry) => [entry.name, join(entry.parentPath, entry.name)]),
  );
}
