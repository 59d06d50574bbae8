/**
 * Files that are either as they were or as they were meant to be, never in between: written to a
 * temporary name, synced, renamed, and the folder synced, so that neither a kill nor a full disk
 * nor a crash of the host leaves half a file.
 */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, open, readFile, rename, rm, statfs } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { Refusal } from '../refusal.ts';

export async function writeFileAtomic(path: string, data: string | Uint8Array, mode = 0o600) {
  const directory = dirname(path);
  const temporary = join(directory, `.${basename(path)}.${randomBytes(4).toString('hex')}.tmp`);
  try {
    const file = await open(temporary, 'wx', mode);
    try {
      await file.writeFile(data);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (thrown) {
    await rm(temporary, { force: true });
    throw spaceRefusal(thrown, path);
  }
  await syncDirectory(directory);
}

export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

export async function readTextIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw thrown;
  }
}

export async function makeDirectory(path: string, mode = 0o700): Promise<string> {
  await mkdir(path, { recursive: true, mode });
  return path;
}

/** Free bytes for us on the file system that holds `path` or its nearest existing parent. */
export async function freeBytes(path: string): Promise<number> {
  let place = path;
  while (!existsSync(place)) place = dirname(place);
  const { bavail, bsize } = await statfs(place);
  return bavail * bsize;
}

/**
 * A full disk, quota or file size limit as a plain sentence; anything else passes through.
 * @param path the file being written, where its name says something to a person.
 */
export function spaceRefusal(thrown: unknown, path?: string): unknown {
  const code = (thrown as NodeJS.ErrnoException | undefined)?.code;
  if (code === 'EFBIG') {
    return new Refusal('no-space', 'The file would be larger than this file system allows.');
  }
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return thrown;
  const where = path === undefined ? '' : ` while ${basename(path)} was written`;
  return new Refusal('no-space', `The disk became full${where}; nothing was kept.`);
}
