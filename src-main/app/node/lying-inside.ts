/**
 * A machine that is suspended with the one around it, in whose saved state it is a process of the
 * guest: what finds it there again, in a folder of its own.
 *
 *   suspended-inside/saved.json   when that state was saved: it belongs to no other
 *   suspended-inside/run/         what its run directory held, which does not outlive the host
 */
import { readFileSync } from 'node:fs';
import { cp, lstat, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { makeDirectory } from '../../base/node/files.ts';

const about = z.object({ savedMs: z.number() });
const folderOf = (directory: string) => join(directory, 'suspended-inside');
const aboutFile = (directory: string) => join(folderOf(directory), 'saved.json');

/** `savedMs`: as the saved state of the machine around it says. */
export async function layDown(
  directory: string, runDirectory: string, savedMs: number,
): Promise<void> { // prettier-ignore
  await standUp(directory);
  await makeDirectory(folderOf(directory));
  await copyFiles(runDirectory, join(folderOf(directory), 'run'));
  await writeFile(aboutFile(directory), JSON.stringify({ savedMs }), { mode: 0o600 });
}

/** When the state was saved in which it is; undefined when it is in none. */
export function laidDownMs(directory: string): number | undefined {
  try {
    return about.parse(JSON.parse(readFileSync(aboutFile(directory), 'utf8'))).savedMs;
  } catch {
    return undefined;
  }
}

/** Its run directory is as it was, before anybody looks there. */
export async function layOut(directory: string, runDirectory: string): Promise<void> {
  await makeDirectory(runDirectory);
  await copyFiles(join(folderOf(directory), 'run'), runDirectory);
}

/**
 * It is in no saved state any more: it goes on, or begins anew. Else the next server would look for
 * what it was, and lose what it is.
 */
export async function standUp(directory: string): Promise<void> {
  await rm(folderOf(directory), { recursive: true, force: true });
}

/** Plain files only: sockets and links have no meaning later. */
function copyFiles(from: string, to: string): Promise<void> {
  const plain = async (path: string) => {
    const found = await lstat(path);
    return found.isFile() || found.isDirectory();
  };
  return cp(from, to, { recursive: true, filter: plain });
}
