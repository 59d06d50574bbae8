/**
 * Finds the program loader and the libraries that a program needs on this host, as the loader
 * would, by reading files only: a foreign program is never run to learn this. The sandbox binds
 * exactly these.
 */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { Refusal } from '../../base/refusal.ts';
import { readElf, type Elf } from '../elf.ts';

/** Where the loaders of Debian, Ubuntu and Fedora look when nothing else is said. */
const defaultFolders = [
  '/lib/x86_64-linux-gnu',
  '/usr/lib/x86_64-linux-gnu',
  '/lib64',
  '/usr/lib64',
  '/lib',
  '/usr/lib',
];
const librariesMax = 64;
const libraryBytesMax = 256 << 20;

/**
 * Absolute paths: the loader first, then libraries in the order they are met.
 * @throws Refusal `unavailable` when this host lacks one, or has too old a version of it.
 */
export function resolveLibraries(elf: Elf, folders: readonly string[] = defaultFolders): string[] {
  const found = new Map<string, string>();
  const paths = elf.interpreter === undefined ? [] : [existing(elf.interpreter)];
  const queue: Elf[] = [elf];
  for (let each = queue.shift(); each !== undefined; each = queue.shift()) {
    for (const name of each.needed) {
      if (found.has(name)) continue;
      if (found.size >= librariesMax) {
        throw new Refusal('bad-input', 'This kernel needs too many libraries.');
      }
      const path = locate(name, [...each.runPath, ...folders]);
      found.set(name, path);
      const library = readElf(readFileSync(path));
      if (each === elf) checkVersions(name, elf, library);
      queue.push(library);
    }
  }
  for (const path of found.values()) if (!paths.includes(path)) paths.push(path);
  return paths;
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

function locate(name: string, folders: readonly string[]): string {
  if (name.includes('/')) return existing(name);
  const path = folders
    .filter((folder) => isAbsolute(folder) && !folder.includes('$'))
    .map((folder) => join(folder, name))
    .find(isLibrary);
  if (path === undefined) {
    throw new Refusal('unavailable', `This kernel needs the library ${name}, which is missing.`);
  }
  return path;
}

function existing(path: string): string {
  if (isAbsolute(path) && existsSync(path) && isLibrary(path)) return path;
  throw new Refusal('unavailable', `This kernel needs the file ${path}, which is missing.`);
}

function isLibrary(path: string): boolean {
  const there = statSync(path, { throwIfNoEntry: false });
  return there !== undefined && there.isFile() && there.size <= libraryBytesMax;
}
