/**
 * A folder of things that are made once: each lies under a name with the hash of all it was made
 * from, and is there whole or not at all.
 *
 *   cached(directory, 'tiny-3f2a…', async (scratch) => { …write into scratch… }) → its folder
 *
 * It is made in a scratch folder beside it, flushed, then renamed. Two makers at once do the work
 * twice and the second one's result is thrown away; both get the same folder.
 */
import { createHash } from 'node:crypto';
import { access, mkdir, mkdtemp, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

export async function cached(
  directory: string,
  name: string,
  make: (scratch: string) => Promise<void>,
): Promise<{ path: string; reused: boolean }> {
  const path = join(directory, name);
  if (await exists(path)) return { path, reused: true };
  await mkdir(directory, { recursive: true });
  await removeLeftovers(directory);
  const scratch = await mkdtemp(join(directory, '.making-'));
  try {
    await make(scratch);
    for (const file of await readdir(scratch)) await flush(join(scratch, file));
    await rename(scratch, path).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
      await rm(scratch, { recursive: true, force: true });
    });
    await flush(directory);
  } catch (error) {
    await rm(scratch, { recursive: true, force: true });
    throw error;
  }
  return { path, reused: false };
}

/** The hash that names a cached thing: of every part, with its length, in order. */
export function contentHash(parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) {
    const bytes = typeof part === 'string' ? Buffer.from(part) : part;
    hash.update(`${bytes.length}:`).update(bytes);
  }
  return hash.digest('hex').slice(0, 32);
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(() => true, () => false);
}

/** What a killed maker left: older than a day, so that nobody is still at it. */
async function removeLeftovers(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    if (!name.startsWith('.making-')) continue;
    const path = join(directory, name);
    const made = await stat(path).catch(() => undefined);
    if (made && Date.now() - made.mtimeMs > 86_400_000) {
      await rm(path, { recursive: true, force: true });
    }
  }
}

async function flush(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
