/**
 * Machines on disk: a folder each, named like the machine, with `machine.yaml` and `disks/`.
 * Making one is a rename of a finished folder, deleting one a rename into the trash, so a kill at
 * any moment leaves whole machines only.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, lstatSync } from 'node:fs';
import { readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Refusal } from '../../base/refusal.ts';
import { makeDirectory, syncDirectory, writeFileAtomic } from '../../base/node/files.ts';
import {
  checkName, newSpecText, parseSpec, type DiskSpec, type SpecInput,
} from '../../machine/spec.ts'; // prettier-ignore
import type { TrashedMachine } from '../../contract/machine.ts';
import { finishExchange } from './exchange.ts';
import type { Paths } from './paths.ts';

export const specFile = 'machine.yaml';
/** Being made, or being deleted: of no use to anybody after a kill. */
const unfinished = /^\.(new|gone)-/;
const specKeptCount = 5;

/**
 * The file of a disk. A guest writes the folder of its disks, so what lies there may be a link to
 * anywhere, which is none.
 * @throws Refusal `not-found`.
 */
export function diskFile(
  name: string,
  directory: string,
  { id, file }: Pick<DiskSpec, 'id' | 'file'>,
): string {
  const path = join(directory, 'disks', file);
  if (lstatSync(path, { throwIfNoEntry: false })?.isFile()) return path;
  throw new Refusal('not-found', `The disk “${id}” of “${name}” has lost its file.`);
}

export class MachineStore {
  private readonly paths: Paths;
  private readonly nowMs: () => number;

  constructor(paths: Paths, nowMs: () => number) {
    this.paths = paths;
    this.nowMs = nowMs;
  }

  /** Clears what a kill left half made, and lists what is whole. */
  async open(): Promise<string[]> {
    await makeDirectory(this.paths.machines);
    await makeDirectory(this.paths.trash);
    for (const parent of [this.paths.machines, this.paths.trash]) {
      for (const name of await readdir(parent)) {
        if (unfinished.test(name)) await rm(join(parent, name), { recursive: true, force: true });
      }
    }
    const names = await this.names();
    for (const directory of names.map((name) => this.directory(name))) {
      await finishExchange(directory);
      await this.sweepTemporary(directory);
    }
    return names;
  }

  async names(): Promise<string[]> {
    const entries = await readdir(this.paths.machines, { withFileTypes: true });
    return entries
      .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
      .map((entry) => entry.name)
      .sort();
  }

  directory(name: string): string {
    return join(this.paths.machines, name);
  }

  exists(name: string): boolean {
    return existsSync(this.directory(name));
  }

  readSpec(name: string): Promise<string> {
    return readFile(join(this.directory(name), specFile), 'utf8');
  }

  /** Keeps the last few versions beside it, under `history/`. */
  async writeSpec(name: string, text: string): Promise<void> {
    const path = join(this.directory(name), specFile);
    const before = await readFile(path, 'utf8').catch(() => undefined);
    if (before === text) return;
    if (before !== undefined) await this.keepVersion(name, before);
    await writeFileAtomic(path, text, 0o644);
  }

  /**
   * `spec` is the machine, or the text of its machine.yaml. `fill` makes the disks in the folder
   * it is given; if it throws, nothing remains.
   */
  async create(
    name: string,
    spec: SpecInput | string,
    fill: (directory: string) => Promise<void>,
  ): Promise<void> {
    checkName(name);
    if (this.exists(name)) throw new Refusal('exists', `There is a machine “${name}” already.`);
    const building = join(this.paths.machines, `.new-${name}-${randomBytes(4).toString('hex')}`);
    try {
      await makeDirectory(join(building, 'disks'));
      await fill(join(building, 'disks'));
      const text = typeof spec === 'string' ? spec : newSpecText(spec);
      await writeFileAtomic(join(building, specFile), text, 0o644);
      if (this.exists(name)) throw new Refusal('exists', `There is a machine “${name}” already.`);
      await rename(building, this.directory(name));
      await syncDirectory(this.paths.machines);
    } catch (thrown) {
      await rm(building, { recursive: true, force: true });
      throw thrown;
    }
  }

  async rename(name: string, newName: string): Promise<void> {
    checkName(newName);
    if (this.exists(newName))
      throw new Refusal('exists', `There is a machine “${newName}” already.`);
    await rename(this.directory(name), this.directory(newName));
    await syncDirectory(this.paths.machines);
  }

  async moveToTrash(name: string): Promise<void> {
    await rename(this.directory(name), join(this.paths.trash, `${name}@${this.nowMs()}`));
    await syncDirectory(this.paths.trash);
  }

  async trash(): Promise<TrashedMachine[]> {
    const found: TrashedMachine[] = [];
    for (const { name, trashedMs, entry } of await this.trashed()) {
      const realBytes = await folderBytes(join(this.paths.trash, entry)).catch(() => undefined);
      // Purged while we looked.
      if (realBytes !== undefined) found.push({ name, trashedMs, realBytes });
    }
    return found;
  }

  /** The folders in the trash, the newest first. */
  private async trashed(): Promise<{ name: string; trashedMs: number; entry: string }[]> {
    const entries = (await readdir(this.paths.trash)).filter((entry) => !unfinished.test(entry));
    return entries
      .flatMap((entry) => {
        const [name, at] = entry.split('@');
        return name && at ? [{ name, trashedMs: Number(at), entry }] : [];
      })
      .sort((a, b) => b.trashedMs - a.trashedMs);
  }

  /** Names in the trash whose disks lie over an image: they could not be brought back without. */
  async trashedUsers(image: string): Promise<string[]> {
    const users: string[] = [];
    for (const { name, entry } of await this.trashed()) {
      try {
        const spec = parseSpec(await readFile(join(this.paths.trash, entry, specFile), 'utf8'));
        if (spec.disks.some((disk) => disk.image === image)) users.push(name);
      } catch {
        // A machine.yaml that nobody can read names no image.
      }
    }
    return users;
  }

  /** Brings back the machine of that name that was thrown away last. */
  async recover(name: string): Promise<void> {
    const entry = await this.latest(name);
    if (this.exists(name)) {
      throw new Refusal('exists', `There is a machine “${name}” now; rename it first.`);
    }
    await rename(join(this.paths.trash, entry), this.directory(name));
    await syncDirectory(this.paths.machines);
  }

  async purge(name: string): Promise<void> {
    await this.erase(this.paths.trash, await this.latest(name));
  }

  /** For good and past the trash: a throw-away machine. */
  async discard(name: string): Promise<void> {
    if (this.exists(name)) await this.erase(this.paths.machines, name);
  }

  /** Out of sight first, so that a kill midway leaves no machine with half its files. */
  private async erase(parent: string, entry: string): Promise<void> {
    const doomed = join(parent, `.gone-${entry}-${randomBytes(4).toString('hex')}`);
    await rename(join(parent, entry), doomed);
    await rm(doomed, { recursive: true, force: true });
  }

  /** What atomic writes leave when they are cut off, beside the files they were to become. */
  private async sweepTemporary(directory: string): Promise<void> {
    for (const folder of [directory, join(directory, 'logs'), join(directory, 'history')]) {
      for (const name of await readdir(folder).catch((): string[] => [])) {
        if (/^\..*\.[0-9a-f]{8}\.tmp$/.test(name)) await rm(join(folder, name), { force: true });
      }
    }
    const snapshots = join(directory, 'snapshots');
    for (const name of await readdir(snapshots).catch((): string[] => [])) {
      if (unfinished.test(name)) await rm(join(snapshots, name), { recursive: true, force: true });
    }
  }

  private async latest(name: string): Promise<string> {
    const entries = (await readdir(this.paths.trash)).filter(
      (entry) => entry.split('@')[0] === name,
    );
    const last = entries.sort((a, b) => Number(a.split('@')[1]) - Number(b.split('@')[1])).at(-1);
    if (!last) throw new Refusal('not-found', `There is no “${name}” in the trash.`);
    return last;
  }

  private async keepVersion(name: string, text: string): Promise<void> {
    const directory = await makeDirectory(join(this.directory(name), 'history'));
    await writeFileAtomic(join(directory, `${this.nowMs()}.yaml`), text, 0o644);
    const kept = (await readdir(directory)).sort();
    for (const old of kept.slice(0, Math.max(0, kept.length - specKeptCount))) {
      await rm(join(directory, old), { force: true });
    }
  }
}

/** What a folder occupies on the host, in bytes of allocated blocks. */
export async function folderBytes(path: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(path, { withFileTypes: true, recursive: true })) {
    if (entry.isFile()) bytes += (await stat(join(entry.parentPath, entry.name))).blocks * 512;
  }
  return bytes;
}
