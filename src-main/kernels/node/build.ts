/**
 * Builds a kernel of ours from source to an installed file, in steps that can be cancelled and
 * taken up again:
 *
 *   fetch → unpack → edit → configure → compile → strip → verify → install
 *
 * Use: `buildKernel({cacheDirectory, flavour, …})`. What is installed is whole: it is made in a
 * folder of another name and renamed when everything is written and synced. One builder at a time.
 *
 * Under the cache directory: `source/` edited trees, `objects/KEY/` half-built ones, `log/KEY.log`
 * everything the programs said, `installed/KEY/` the kernels, `apt/` the private apt state.
 */
import { createWriteStream, existsSync, readdirSync } from 'node:fs';
import { open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { delimiter, join } from 'node:path';
import {
  freeBytes,
  makeDirectory,
  readTextIfThere,
  syncDirectory,
  writeFileAtomic,
} from '../../base/node/files.ts';
import { Refusal } from '../../base/refusal.ts';
import { missingOptions, type KernelFlavour } from '../fragment.ts';
import { inspectKernel, type KernelInfo } from '../kernel.ts';
import { inspectImage } from '../image.ts';
import { kernelKey, recipeOf, type KernelRecipe } from '../recipe.ts';
import { acquireLock, type BuildLock } from './lock.ts';
import { openKernelLibrary } from './library.ts';
import { programEnvironment, runProgram, type RunOptions } from './run.ts';
import { prepareSource, type PreparedSource } from './source.ts';

export const buildSteps = [
  'fetch',
  'unpack',
  'edit',
  'configure',
  'compile',
  'strip',
  'verify',
  'install',
] as const;
export type BuildStep = (typeof buildSteps)[number];

export type BuildProgress = {
  readonly step: BuildStep;
  /** 0 to 1 over the whole build; never goes back. */
  readonly fraction: number;
  /** Where everything the programs say is written. */
  readonly logPath: string;
};

export type BuildOptions = {
  cacheDirectory: string;
  flavour: KernelFlavour;
  signal?: AbortSignal;
  /** Ask the mirror for a newer source even when a kernel of this recipe is there already. */
  refresh?: boolean;
  onProgress?: (progress: BuildProgress) => void;
  /** Every line of the log, as it is written. */
  log?: (line: string) => void;
  /** How many compilers at once; as many as there are processors when absent. */
  jobs?: number;
  /** For tests of the recipe: what is built instead of `recipeOf(flavour)`. */
  recipe?: KernelRecipe;
};

/** Where each step begins and ends in the whole, as measured. */
const spans: Record<BuildStep, readonly [number, number]> = {
  fetch: [0, 0.04],
  unpack: [0.04, 0.08],
  edit: [0.08, 0.085],
  configure: [0.085, 0.11],
  compile: [0.11, 0.98],
  strip: [0.98, 0.985],
  verify: [0.985, 0.99],
  install: [0.99, 1],
};

/** The source package and its tree, and the objects of one flavour, with some room. */
const neededBytes = 1400 << 20;
/** Unwind tables are an eighth of the file and nothing in it reads them. */
const compilerFlags = '-fno-asynchronous-unwind-tables -fno-unwind-tables';

/**
 * The kernel of this recipe; at once when it is installed already.
 * @throws Refusal `in-use` another build runs, `unavailable` a program or the mirror is missing,
 * `no-space`, `unsupported`, `cancelled`, or `internal` with what the compiler said last.
 */
export async function buildKernel(options: BuildOptions): Promise<KernelInfo> {
  const recipe = options.recipe ?? recipeOf(options.flavour);
  const library = openKernelLibrary({ cacheDirectory: options.cacheDirectory });
  const there = options.refresh ? undefined : await library.findBuilt(recipe);
  if (there !== undefined) return there;
  checkHost(options.flavour);
  await makeDirectory(options.cacheDirectory);
  if ((await freeBytes(options.cacheDirectory)) < neededBytes) {
    throw new Refusal('no-space', 'Building a kernel needs 1.4 GiB of free disk space.');
  }
  const lock = await acquireLock(
    join(options.cacheDirectory, 'build.lock'),
    'A kernel is being built already.',
  );
  try {
    const id = await new Build(options, recipe, lock).run();
    return await library.get(id);
  } finally {
    await lock.release();
  }
}

/** Removes what builds leave for being resumed; installed kernels stay. */
export async function removeBuildFiles(cacheDirectory: string): Promise<void> {
  const lock = await acquireLock(join(cacheDirectory, 'build.lock'), 'A kernel is being built.');
  try {
    for (const name of ['source', 'objects', 'apt']) {
      await rm(join(cacheDirectory, name), { recursive: true, force: true });
    }
  } finally {
    await lock.release();
  }
}

type Requirement = { program?: string; file?: string; package: string };

/** Programs and headers that a build needs, each with the Debian package it comes in. */
const requirements: readonly Requirement[] = [
  { program: 'gcc', package: 'gcc' },
  { file: '/usr/include/stdio.h', package: 'libc6-dev' },
  { program: 'make', package: 'make' },
  { program: 'flex', package: 'flex' },
  { program: 'bison', package: 'bison' },
  { program: 'bc', package: 'bc' },
  { program: 'strip', package: 'binutils' },
  { program: 'xz', package: 'xz-utils' },
  { program: 'perl', package: 'perl' },
  { program: 'apt-get', package: 'apt' },
  { program: 'dpkg-deb', package: 'dpkg' },
];

const crossCompiler: Requirement = {
  program: 'riscv64-linux-gnu-gcc',
  package: 'gcc-riscv64-linux-gnu',
};

/** How the kernel's own build system is asked for a flavour, and where it leaves what. */
const targets: Record<'um' | 'riscv', { make: string[]; target: string; product: string }> = {
  um: { make: ['ARCH=um'], target: 'linux', product: 'linux' },
  riscv: {
    make: ['ARCH=riscv', 'CROSS_COMPILE=riscv64-linux-gnu-'],
    target: 'Image',
    product: 'arch/riscv/boot/Image',
  },
};

/** The packages that are missing for a build on this machine; empty when it can begin. */
export function missingBuildPackages(
  path = process.env.PATH ?? '',
  flavour: KernelFlavour = 'up',
): string[] {
  const folders = path.split(delimiter).filter((folder) => folder !== '');
  return [...requirements, ...(flavour === 'riscv64' ? [crossCompiler] : [])]
    .filter(({ program, file }) =>
      file === undefined
        ? !folders.some((folder) => existsSync(join(folder, program ?? '')))
        : !existsSync(file),
    )
    .map((each) => each.package);
}

function checkHost(flavour: KernelFlavour): void {
  if (flavour !== 'riscv64' && (process.platform !== 'linux' || process.arch !== 'x64')) {
    throw new Refusal('unsupported', 'User Mode Linux kernels are built on x86-64 Linux only.');
  }
  if (process.platform !== 'linux') {
    throw new Refusal('unsupported', 'Kernels are built on Linux only; import one instead.');
  }
  const missing = missingBuildPackages(undefined, flavour);
  if (missing.length > 0) {
    throw new Refusal(
      'unavailable',
      `Building a kernel needs more packages; install them with: ` +
        `sudo apt-get install --yes ${missing.join(' ')}.`,
    );
  }
}

class Build {
  readonly #options: BuildOptions;
  readonly #recipe: KernelRecipe;
  readonly #lock: BuildLock;
  readonly #logPath: string;
  #write: (line: string) => void = () => {};
  #fraction = 0;

  constructor(options: BuildOptions, recipe: KernelRecipe, lock: BuildLock) {
    this.#options = options;
    this.#recipe = recipe;
    this.#lock = lock;
    const logName = `${recipe.flavour}-${recipe.hash}.log`;
    this.#logPath = join(options.cacheDirectory, 'log', logName);
  }

  /** The id of the kernel that now is installed. */
  async run(): Promise<string> {
    await makeDirectory(join(this.#options.cacheDirectory, 'log'));
    const stream = createWriteStream(this.#logPath, { flags: 'w', mode: 0o600 });
    // A full disk must end the build with a sentence, not the process.
    stream.on('error', () => {});
    this.#write = (line) => {
      stream.write(`${line}\n`);
      this.#options.log?.(line);
    };
    try {
      return await this.#steps();
    } catch (thrown) {
      this.#write(String(thrown));
      throw thrown;
    } finally {
      await new Promise<void>((resolve) => stream.end(() => resolve()));
    }
  }

  async #steps(): Promise<string> {
    const source = await prepareSource({
      cacheDirectory: this.#options.cacheDirectory,
      recipe: this.#recipe,
      refresh: this.#options.refresh,
      onStep: (step, fraction) => this.#progress(step, fraction),
      run: (argv, options) => this.#run(argv, options),
      log: this.#write,
    });
    const id = kernelKey(source.version, this.#recipe);
    const installed = join(this.#options.cacheDirectory, 'installed', id);
    if (existsSync(installed)) return id;
    await this.#forgetOthers(source, id);
    const objects = await makeDirectory(join(this.#options.cacheDirectory, 'objects', id));
    await this.#configure(source, objects);
    await this.#compile(source, objects);
    this.#progress('strip', 0);
    const product = join(objects, this.#target.product);
    const finished = this.#isPortable ? product : `${product}.stripped`;
    if (!this.#isPortable) await this.#run(['strip', '--strip-all', '-o', finished, product]);
    this.#progress('verify', 0);
    if (this.#isPortable) inspectImage(await readFile(finished));
    else await this.#verify(finished);
    this.#progress('install', 0);
    await this.#install(id, finished, source);
    await rm(objects, { recursive: true, force: true });
    await rm(join(this.#options.cacheDirectory, 'apt'), { recursive: true, force: true });
    this.#progress('install', 1);
    return id;
  }

  /** Trees of older sources and recipes: nothing will go on with them. */
  async #forgetOthers(source: PreparedSource, id: string): Promise<void> {
    const { cacheDirectory } = this.#options;
    const names = (place: string) => readdir(join(cacheDirectory, place)).catch(() => []);
    const other = `-${this.#recipe.flavour}-`;
    const doomed = [
      ...(await names('objects'))
        .filter((name) => name !== id && name.includes(other))
        .map((name) => join(cacheDirectory, 'objects', name)),
      ...(await names('source'))
        .map((name) => join(cacheDirectory, 'source', name))
        .filter((path) => path !== source.directory && !path.endsWith('.json')),
    ];
    for (const path of doomed) await rm(path, { recursive: true, force: true });
  }

  /** From nothing each time: it takes seconds, and what has not changed is not compiled anew. */
  async #configure(source: PreparedSource, objects: string): Promise<void> {
    this.#progress('configure', 0);
    const fragment = join(objects, 'nymph.fragment');
    await writeFile(fragment, this.#recipe.fragment);
    const allConfig = `KCONFIG_ALLCONFIG=${fragment}`;
    await this.#run([...this.#make(source, objects), allConfig, 'allnoconfig']);
    const config = await readFile(join(objects, '.config'), 'utf8');
    const missing = missingOptions(this.#recipe.options, config);
    if (missing.length > 0) {
      throw new Refusal(
        'unsupported',
        `The kernel source does not take these options of the recipe: ${missing.join(' ')}.`,
      );
    }
  }

  async #compile(source: PreparedSource, objects: string): Promise<void> {
    const estimatePath = join(this.#options.cacheDirectory, 'estimate.json');
    const before = countObjects(objects);
    const learned = Number((await readEstimates(estimatePath))[this.#recipe.flavour]);
    const total = learned > 0 ? learned : this.#recipe.objectsEstimate;
    let done = before;
    this.#progress('compile', done / total);
    await this.#run([...this.#make(source, objects), `-j${this.#jobs()}`, this.#target.target], {
      onLine: (line) => {
        if (!/^ {2}(CC|AS) {2,}/.test(line)) return;
        done += 1;
        this.#progress('compile', done / total);
      },
    });
    const others = await readEstimates(estimatePath);
    const counts = { ...others, [this.#recipe.flavour]: countObjects(objects) };
    await writeFileAtomic(estimatePath, JSON.stringify(counts));
  }

  /** Runs our own fresh kernel for the two options that print and exit. */
  async #verify(path: string): Promise<void> {
    const report = inspectKernel(await readFile(path));
    const version = (await this.#run([path, '--version'])).trim();
    const missing = missingOptions(this.#recipe.options, await this.#run([path, '--showconfig']));
    if (version !== report.version || report.recipeHash !== this.#recipe.hash || missing.length) {
      throw new Refusal('internal', 'The kernel that came out is not what the recipe says.');
    }
  }

  async #install(id: string, built: string, source: PreparedSource): Promise<void> {
    const home = await makeDirectory(join(this.#options.cacheDirectory, 'installed'));
    const temporary = join(home, `.${id}.partial`);
    await rm(temporary, { recursive: true, force: true });
    await makeDirectory(temporary);
    await copySynced(built, join(temporary, 'linux'));
    const about = {
      flavour: this.#recipe.flavour,
      recipe: this.#recipe.hash,
      source: { package: source.package, version: source.version },
      edits: this.#recipe.edits.map(({ feature, file, why }) => ({ feature, file, why })),
    };
    await writeFileAtomic(join(temporary, 'kernel.json'), `${JSON.stringify(about, null, 2)}\n`);
    await rename(temporary, join(home, id));
    await syncDirectory(home);
  }

  #make(source: PreparedSource, objects: string): string[] {
    const flags = `KCFLAGS=${compilerFlags}`;
    const make = ['nice', '-n', '5', 'make', '-C', source.directory];
    return [...make, ...this.#target.make, `O=${objects}`, flags];
  }

  get #isPortable(): boolean {
    return this.#recipe.flavour === 'riscv64';
  }

  get #target(): (typeof targets)['um'] {
    return targets[this.#isPortable ? 'riscv' : 'um'];
  }

  #jobs(): number {
    return Math.max(1, Math.min(this.#options.jobs ?? availableParallelism(), 64));
  }

  #run(argv: readonly string[], options: RunOptions = {}): Promise<string> {
    this.#write(`$ ${argv.join(' ')}`);
    return runProgram(argv, {
      // The banner names no person and no host.
      env: programEnvironment({ KBUILD_BUILD_USER: 'nymph', KBUILD_BUILD_HOST: 'nymph' }),
      ...options,
      signal: this.#options.signal,
      onGroup: (pid) => this.#lock.setGroup(pid),
      onLine: (line) => {
        this.#write(line);
        options.onLine?.(line);
      },
    });
  }

  #progress(step: BuildStep, within: number): void {
    const [start, end] = spans[step];
    const fraction = start + (end - start) * Math.min(Math.max(within, 0), 1);
    this.#fraction = Math.max(this.#fraction, fraction);
    this.#options.onProgress?.({ step, fraction: this.#fraction, logPath: this.#logPath });
  }
}

function countObjects(directory: string): number {
  const names = readdirSync(directory, { recursive: true }) as string[];
  return names.filter((name) => name.endsWith('.o') && !name.endsWith('vmlinux.o')).length;
}

/** How many objects earlier builds on this machine had; a broken file is as none. */
async function readEstimates(path: string): Promise<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse((await readTextIfThere(path)) ?? '{}');
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

async function copySynced(from: string, to: string): Promise<void> {
  const file = await open(to, 'wx', 0o755);
  try {
    await file.writeFile(await readFile(from));
    await file.sync();
  } finally {
    await file.close();
  }
}
