/**
 * The kernels on this machine: those built by our recipe, files that were imported, and the one
 * that the `user-mode-linux` package brings. Nothing in here runs a kernel; what a file says of
 * itself is read, and a file that is none of ours is taken for hostile.
 *
 * Use: `openKernelLibrary({cacheDirectory})`. A kernel is a folder `installed/ID/` with the program
 * and `kernel.json`; a folder with such a name is whole, and is put there and taken away by rename.
 */
import { constants, existsSync, readFileSync } from 'node:fs';
import { open, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import {
  makeDirectory,
  readTextIfThere,
  spaceRefusal,
  syncDirectory,
  writeFileAtomic,
} from '../../base/node/files.ts';
import { Refusal } from '../../base/refusal.ts';
import { compareVersions } from '../debian-version.ts';
import { isElf } from '../elf.ts';
import {
  chooseKernel,
  inspectKernel,
  type KernelChoice,
  type KernelInfo,
  type KernelOrigin,
} from '../kernel.ts';
import { inspectImage, isRiscvImage } from '../image.ts';
import type { KernelRecipe } from '../recipe.ts';
import { resolveLibraries } from './libraries.ts';
import { isDebianPackage, readKernelPackage } from './package.ts';

export type KernelLibraryOptions = {
  cacheDirectory: string;
  /** The packaged kernel; where Debian puts it when absent. */
  packagedPath?: string;
  /** Whether this host's processor has AMX or the like; found out when absent. */
  wideState?: boolean;
};

/** Says of a folder where its kernel came from. A packaged one has its libraries with it. */
type About = { flavour: KernelOrigin; recipe?: string; source?: { version: string } };

/** What the file itself says. */
type Said = Pick<KernelInfo, 'version' | 'engine' | 'features' | 'sharedLibraries'>;

type Entry = { id: string; about: About; builtMs: number };

const packagedId = 'packaged';
/** Those that are not of our recipe, in the order they are listed, after ours. */
const foreignOrigins: readonly KernelOrigin[] = ['imported', 'packaged'];
/** Beside the kernel, where it needs modules to find its disk. */
const modulesFile = 'modules.cpio';
const kernelBytesMax = 256 << 20;
const kernelsMax = 200;
const namePattern = /^[a-zA-Z0-9][a-zA-Z0-9._+~-]{0,118}$/;

export function openKernelLibrary(options: KernelLibraryOptions): KernelLibrary {
  return new KernelLibrary(options);
}

export class KernelLibrary {
  readonly #home: string;
  readonly #defaultPath: string;
  readonly #packagedPath: string;
  readonly #wideState: boolean;
  /** By path, size and time of change: reading a kernel takes tens of milliseconds. */
  readonly #reports = new Map<string, Said>();

  constructor(options: KernelLibraryOptions) {
    this.#home = join(options.cacheDirectory, 'installed');
    this.#defaultPath = join(options.cacheDirectory, 'default-kernel');
    this.#packagedPath = options.packagedPath ?? '/usr/bin/linux.uml';
    this.#wideState = options.wideState ?? hasWideState();
  }

  /** Newest of our own first, then imported ones, then the packaged one; broken ones left out. */
  async list(): Promise<KernelInfo[]> {
    const chosen = await this.#defaultIds();
    const kernels: KernelInfo[] = [];
    for (const { id, about } of await this.#entries()) {
      const kernel = await this.#load(id, this.#program(id), about.flavour, chosen);
      if (kernel !== undefined) kernels.push(kernel);
    }
    const packaged = await this.#load(packagedId, this.#packagedPath, 'packaged', chosen);
    if (packaged !== undefined) kernels.push(packaged);
    return kernels;
  }

  /** @throws Refusal `not-found`. */
  async get(id: string): Promise<KernelInfo> {
    const kernel = (await this.list()).find((each) => each.id === id);
    if (kernel === undefined) throw new Refusal('not-found', `There is no kernel named ${id}.`);
    return kernel;
  }

  /** The newest kernel of exactly this recipe, whatever its source version. */
  async findBuilt(recipe: KernelRecipe): Promise<KernelInfo | undefined> {
    for (const { id, about } of await this.#entries()) {
      if (about.recipe !== recipe.hash || about.flavour !== recipe.flavour) continue;
      const chosen = await this.#defaultIds();
      const kernel = await this.#load(id, this.#program(id), about.flavour, chosen);
      if (kernel !== undefined) return kernel;
    }
    return undefined;
  }

  /**
   * Copies a file in, or what is needed of Debian's package of a RISC-V kernel. Nothing is changed
   * when it is refused.
   * @throws Refusal `not-found`, `bad-input` no such kernel, `unavailable` a library it needs is
   * missing here, `exists`, `no-space`.
   */
  async importFile(path: string, name: string = defaultName(path)): Promise<KernelInfo> {
    if (!namePattern.test(name) || name === packagedId) {
      throw new Refusal('usage', 'A kernel name is made of letters, digits, dots and dashes.');
    }
    if ((await this.#ids()).includes(name)) {
      throw new Refusal('exists', `There is a kernel named ${name} already.`);
    }
    const { kernel, modules } = await takeKernel(path, `${this.#home}.${name}`);
    read(kernel);
    await makeDirectory(this.#home);
    const temporary = join(this.#home, `.${name}.import`);
    try {
      await rm(temporary, { recursive: true, force: true });
      await makeDirectory(temporary);
      await writeFileAtomic(join(temporary, 'linux'), kernel, 0o755);
      if (modules) await writeFileAtomic(join(temporary, modulesFile), modules);
      await writeFileAtomic(join(temporary, 'kernel.json'), '{"flavour":"imported"}\n');
      await rename(temporary, join(this.#home, name));
      await syncDirectory(this.#home);
    } catch (thrown) {
      await rm(temporary, { recursive: true, force: true });
      throw spaceRefusal(thrown, name);
    }
    return this.get(name);
  }

  /**
   * A machine that runs it goes on; whether one still names it is for the caller to know.
   * @throws Refusal `not-found`, `unsupported` for the packaged kernel.
   */
  async remove(id: string): Promise<void> {
    if (id === packagedId) {
      throw new Refusal('unsupported', 'This kernel belongs to the package user-mode-linux.');
    }
    if (!(await this.#ids()).includes(id)) {
      throw new Refusal('not-found', `There is no kernel named ${id}.`);
    }
    const doomed = join(this.#home, `.${id}.removed`);
    await rm(doomed, { recursive: true, force: true });
    await rename(join(this.#home, id), doomed);
    await rm(doomed, { recursive: true, force: true });
    await this.#writeDefaults((await this.#defaultIds()).filter((each) => each !== id));
  }

  /**
   * The default of its engine; `undefined` goes back to choosing by engine and processors.
   * @throws Refusal `not-found`.
   */
  async setDefault(id: string | undefined): Promise<void> {
    if (id === undefined) return this.#writeDefaults([]);
    const { engine } = await this.get(id);
    const others = (await this.list()).filter(
      (kernel) => kernel.default && kernel.engine !== engine,
    );
    await this.#writeDefaults([id, ...others.map((kernel) => kernel.id)]);
  }

  async #writeDefaults(ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return rm(this.#defaultPath, { force: true });
    await writeFileAtomic(this.#defaultPath, ids.map((id) => `${id}\n`).join(''));
  }

  /** The kernel for a machine; see `chooseKernel`. */
  async choose(cpus: number, preferredId?: string): Promise<KernelChoice> {
    return chooseKernel(await this.list(), cpus, preferredId);
  }

  async #ids(): Promise<string[]> {
    const names = await readdir(this.#home).catch((): string[] => []);
    return names
      .filter((name) => namePattern.test(name))
      .slice(0, kernelsMax)
      .sort();
  }

  /** Ours first: newest source, then newest recipe, that is, built last. Then by name. */
  async #entries(): Promise<Entry[]> {
    const entries: Entry[] = [];
    for (const id of await this.#ids()) {
      const about = await this.#about(id);
      const there = await stat(this.#program(id)).catch(() => undefined);
      if (about && there) entries.push({ id, about, builtMs: there.mtimeMs });
    }
    const version = ({ about }: Entry) => about.source?.version ?? '';
    const rank = ({ about }: Entry) => foreignOrigins.indexOf(about.flavour);
    return entries.sort((a, b) => {
      if (rank(a) !== rank(b)) return rank(a) - rank(b);
      if (a.about.flavour === 'imported') return a.id < b.id ? -1 : 1;
      return compareVersions(version(b), version(a)) || b.builtMs - a.builtMs;
    });
  }

  #program(id: string): string {
    return join(this.#home, id, 'linux');
  }

  /** Where the libraries of a kernel are: on the host, or in its own folder. */
  async #root(id: string): Promise<string> {
    const root = join(this.#home, id, 'libraries');
    return (await stat(root).catch(() => undefined)) ? root : '';
  }

  async #about(id: string): Promise<About | undefined> {
    try {
      const text = await readTextIfThere(join(this.#home, id, 'kernel.json'));
      const about = JSON.parse(text ?? '') as About;
      if (!['up', 'smp', 'riscv64', ...foreignOrigins].includes(about.flavour)) return undefined;
      return typeof (about.source?.version ?? '') === 'string' ? about : undefined;
    } catch {
      return undefined;
    }
  }

  /** At most one for each engine. */
  async #defaultIds(): Promise<string[]> {
    const text = await readTextIfThere(this.#defaultPath).catch(() => undefined);
    return (text ?? '').split('\n').filter((line) => line !== '');
  }

  /** Undefined for what is not there or does not hold what it should. */
  async #load(
    id: string,
    path: string,
    flavour: KernelOrigin,
    chosen: readonly string[],
  ): Promise<KernelInfo | undefined> {
    try {
      const { size, mtimeMs } = await stat(path);
      const key = `${path} ${size} ${mtimeMs}`;
      let known = this.#reports.get(key);
      if (known === undefined) {
        known = read(await readKernelFile(path), await this.#root(id));
        if (this.#reports.size >= kernelsMax) this.#reports.clear();
        this.#reports.set(key, known);
      }
      const modules = join(dirname(path), modulesFile);
      const beside = flavour === 'imported' && existsSync(modules) ? { modules } : {};
      const about = { id, flavour, path, sizeBytes: size, default: chosen.includes(id), ...beside };
      const kernel = { ...about, ...known };
      const runs = known.engine === 'portable' || known.features.wideState || !this.#wideState;
      return runs ? kernel : { ...kernel, obstacle: tooWide(known.version) };
    } catch (thrown) {
      if (thrown instanceof Refusal || 'code' in (thrown as object)) return undefined;
      throw thrown;
    }
  }
}

/** @throws Refusal `bad-input` no kernel of either engine, `unavailable` a library is missing. */
function read(bytes: Uint8Array, root = ''): Said {
  if (!isRiscvImage(bytes)) {
    const { elf, version, features } = inspectKernel(bytes);
    return { version, features, engine: 'native', sharedLibraries: resolveLibraries(elf, root) };
  }
  const { version, ...found } = inspectImage(bytes);
  const features = { ...noFeatures, ...found };
  return { version, engine: 'portable', sharedLibraries: [], features };
}

/** Of a RISC-V kernel: all but processors is the engine's, or a matter of its drivers. */
const noFeatures = {
  smp: false,
  seccomp: false,
  flushReachesHost: true,
  nesting: false,
  initrd: true,
  vectorNetwork: false,
  hostfs: false,
  mconsole: false,
  partitions: true,
  balloon: false,
  wideState: true,
};

function tooWide(version: string): string {
  return `Linux ${version} is too old for this host’s processor, which has AMX.`;
}

function hasWideState(): boolean {
  try {
    return /^flags\s*:.*\bamx_tile\b/m.test(readFileSync('/proc/cpuinfo', 'latin1'));
  } catch {
    return false;
  }
}

/** A kernel from its file, or from a package, which is taken apart in `scratch`. */
async function takeKernel(
  path: string,
  scratch: string,
): Promise<{ kernel: Uint8Array; modules?: Uint8Array }> {
  const bytes = await readKernelFile(path);
  if (!isDebianPackage(bytes)) return { kernel: bytes };
  await makeDirectory(scratch);
  try {
    return await readKernelPackage(path, { scratch });
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** The whole of a regular file of bearable size that begins as a kernel does. */
async function readKernelFile(path: string): Promise<Uint8Array> {
  // Without O_NONBLOCK the opening of a pipe would wait for a writer.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((thrown) => {
    const code = (thrown as NodeJS.ErrnoException).code;
    if (code === 'ENOENT') throw new Refusal('not-found', 'There is no such file.');
    if (code === 'EACCES') throw new Refusal('denied', 'This file may not be read.');
    throw thrown;
  });
  try {
    const { size } = await file.stat().then((there) => (there.isFile() ? there : { size: -1 }));
    if (size < 0) throw new Refusal('bad-input', 'This is not a regular file.');
    const head = new Uint8Array(64);
    await file.read(head, 0, head.length, 0);
    if (!isElf(head) && !isRiscvImage(head) && !isDebianPackage(head))
      throw new Refusal('bad-input', 'This is not a program, so not a kernel.');
    if (size > kernelBytesMax) throw new Refusal('bad-input', 'This file is too large.');
    const bytes = new Uint8Array(size);
    let at = 0;
    while (at < size) {
      const { bytesRead } = await file.read(bytes, at, size - at, at);
      if (bytesRead === 0) throw new Refusal('bad-input', 'This file shrank while it was read.');
      at += bytesRead;
    }
    return bytes;
  } finally {
    await file.close();
  }
}

/** What a kernel is called after the file that it comes from. */
export function defaultName(path: string): string {
  const name = basename(path)
    .replace(/^linux-(?:image|binary|modules)-([^_]+)_.*\.deb$/, 'linux-$1')
    .replace(/[^a-zA-Z0-9._+~-]/g, '-')
    .slice(0, 100);
  return /^[a-zA-Z]/.test(name) ? name : `kernel-${name}`;
}
