/**
 * A file that appears whole or not at all: `createFile(path)` writes to a temporary name beside
 * it, `finish()` syncs and gives it its name, `abandon()` takes it away again.
 *
 * Must hold: an existing file is never replaced; after `finish` the bytes and the name are on the
 * disk; whatever happens before leaves at most a `.…partial`, which `sweepPartials` removes. Lack
 * of space, found before or midway, is a `no-space` refusal.
 */
import { randomUUID } from 'node:crypto';
import { link, open, readdir, rename, rm, stat, statfs, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { spaceRefusal, syncDirectory } from '../../base/node/files.ts';
import { Refusal } from '../../base/refusal.ts';
import { humanBytes, printable } from '../bytes.ts';

/** What this room asks of the host; tests lend their own. */
export interface DiskHost {
  freeBytes(directory: string): Promise<number>;
  writeAt(handle: FileHandle, data: Uint8Array, position: number): Promise<void>;
}

export const realHost: DiskHost = {
  async freeBytes(directory) {
    const { bavail, bsize } = await statfs(directory);
    return bavail * bsize;
  },
  async writeAt(handle, data, position) {
    let done = 0;
    while (done < data.length) {
      const { bytesWritten } = await handle.write(data, done, data.length - done, position + done);
      done += bytesWritten;
    }
  },
};

/** Left free on the disk by everything here, so that the rest of the computer goes on. */
export const reserveBytes = 64 * 2 ** 20;

/** Refuses unless `bytes` fit into the directory's file system and leave the reserve. */
export async function requireSpace(
  directory: string, bytes: number, host: DiskHost = realHost,
): Promise<void> {
  const free = await host.freeBytes(directory);
  if (bytes + reserveBytes <= free) return;
  throw new Refusal('no-space', `There is not enough space: ${humanBytes(bytes)} are needed, ` +
    `and ${humanBytes(Math.max(0, free - reserveBytes))} are free.`);
}

export class NewFile {
  readonly path: string;
  readonly temporaryPath: string;
  readonly handle: FileHandle;
  #settled = false;

  constructor(path: string, temporaryPath: string, handle: FileHandle) {
    this.path = path;
    this.temporaryPath = temporaryPath;
    this.handle = handle;
  }

  /** Syncs and names the file `path`, or another path of the same directory. */
  async finish(mode: number, path = this.path): Promise<void> {
    try {
      await this.handle.chmod(mode);
      await this.handle.sync();
      await nameExclusively(this.temporaryPath, path);
    } catch (thrown) {
      await this.abandon();
      throw spaceRefusal(thrown);
    }
    this.#settled = true;
    await this.handle.close();
    await syncDirectory(dirname(path));
  }

  async abandon(): Promise<void> {
    if (this.#settled) return;
    this.#settled = true;
    await this.handle.close().catch(() => {});
    await rm(this.temporaryPath, { force: true });
  }
}

export function temporaryName(path: string): string {
  return join(dirname(path), `.${basename(path)}.${process.pid}-${randomUUID()}.partial`);
}

export async function createFile(path: string): Promise<NewFile> {
  await refuseExisting(path);
  const temporary = temporaryName(path);
  try {
    return new NewFile(path, temporary, await open(temporary, 'wx+', 0o600));
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    if (code === 'ENOENT') throw new Refusal('not-found', 'The folder for the file is missing.');
    if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
      throw new Refusal('denied', 'The folder for the file may not be written.');
    }
    throw spaceRefusal(thrown);
  }
}

export async function refuseExisting(path: string): Promise<void> {
  const there = await stat(path).then(() => true, () => false);
  if (there) throw existing(path);
}

function existing(path: string): Refusal {
  return new Refusal('exists', `There is a file "${printable(basename(path))}" already.`);
}

/** A hard link fails where the name exists, which a rename does not. */
async function nameExclusively(temporary: string, path: string): Promise<void> {
  try {
    await link(temporary, path);
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    if (code === 'EEXIST') throw existing(path);
    if (code !== 'EPERM' && code !== 'ENOTSUP' && code !== 'EOPNOTSUPP' && code !== 'ENOSYS') {
      throw thrown;
    }
    // A file system without hard links: the check is no longer one step with the naming.
    await refuseExisting(path);
    await rename(temporary, path);
    return;
  }
  await rm(temporary);
}

/**
 * Removes what killed imports left in a folder, or only what was to become the file `of`. Call it
 * only when none is running there.
 */
export async function sweepPartials(directory: string, of?: string): Promise<string[]> {
  const names = await readdir(directory).catch(() => [] as string[]);
  const partials = names.filter((name) => /^\..+\.\d+-[0-9a-f-]{36}\.partial$/.test(name));
  const doomed = partials.filter((name) => of === undefined || name.startsWith(`.${of}.`));
  for (const name of doomed) await rm(join(directory, name), { recursive: true, force: true });
  return doomed;
}
