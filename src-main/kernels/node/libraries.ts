/**
 * Finds the program loader and the libraries that a program needs on this host, as the loader
 * would, by reading files only: a foreign program is never run to learn this. The sandbox binds
 * exactly these.
 */
import { readFileSync, statSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { Refusal } from '../../base/refusal.ts';
import { readElf, type Elf } from '../elf.ts';
import type { SharedLibrary } from '../kernel.ts';

/** Where the loaders of Debian and Ubuntu look first. */
export const libraryFolder = '/lib/x86_64-linux-gnu';
/** Where the loaders of Debian, Ubuntu and Fedora look when nothing else is said. */
const defaultFolders = [
  libraryFolder,
  '/usr/lib/x86_64-linux-gnu',
  '/lib64',
  '/usr/lib64',
  '/lib',
  '/usr/lib',
];
/**
 * No program names it: the C library opens it when a thread is cancelled, as a kernel does with its
 * helpers when it powers off or reboots, and aborts the program where it is not found.
 */
export const unwinder = 'libgcc_s.so.1';
const librariesMax = 64;
const libraryBytesMax = 256 << 20;

/**
 * The loader first, then libraries in the order they are met.
 * @param root the folder that a kernel with libraries of its own brought them in; `''` is the host.
 * @throws Refusal `unavailable` when there is one too few, or too old a version of it.
 */
export function resolveLibraries(elf: Elf, root = ''): SharedLibrary[] {
  const found = new Map<string, string>();
  const paths = elf.interpreter === undefined ? [] : [existing(root, elf.interpreter)];
  const queue: Elf[] = [elf];
  for (let each = queue.shift(); each !== undefined; each = queue.shift()) {
    for (const name of each.needed) {
      if (found.has(name)) continue;
      if (found.size >= librariesMax) {
        throw new Refusal('bad-input', 'This kernel needs too many libraries.');
      }
      const path = locate(root, name, [...each.runPath, ...defaultFolders]);
      found.set(name, path);
      const library = readElf(readFileSync(join(root, path)));
      if (each === elf) checkVersions(name, elf, library);
      queue.push(library);
    }
  }
  if (found.has('libc.so.6') && !found.has(unwinder)) {
    const path = find(root, unwinder, defaultFolders);
    if (path !== undefined) found.set(unwinder, path);
  }
  for (const path of found.values()) if (!paths.includes(path)) paths.push(path);
  return paths.map((path) => ({ file: join(root, path), seenAs: path }));
}

function checkVersions(name: string, elf: Elf, library: Elf): void {
  const offered = new Set(library.offeredVersions);
  const lacking = (elf.neededVersions.get(name) ?? []).filter((version) => !offered.has(version));
  if (lacking.length === 0) return;
  throw new Refusal(
    'unavailable',
    `This kernel needs ${lacking.sort().at(-1)} of ${name}, which is newer than this machine's.`,
  );
}

function locate(root: string, name: string, folders: readonly string[]): string {
  if (name.includes('/')) return existing(root, name);
  const path = find(root, name, folders);
  if (path === undefined) {
    throw new Refusal('unavailable', `This kernel needs the library ${name}, which is missing.`);
  }
  return path;
}

function find(root: string, name: string, folders: readonly string[]): string | undefined {
  return folders
    .filter((folder) => isAbsolute(folder) && !folder.includes('$'))
    .map((folder) => join(folder, name))
    .find((path) => isLibrary(join(root, path)));
}

function existing(root: string, path: string): string {
  if (isAbsolute(path) && isLibrary(join(root, path))) return path;
  throw new Refusal('unavailable', `This kernel needs the file ${path}, which is missing.`);
}

function isLibrary(path: string): boolean {
  const there = statSync(path, { throwIfNoEntry: false });
  return there !== undefined && there.isFile() && there.size <= libraryBytesMax;
}
