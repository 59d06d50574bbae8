/**
 * The files of a machine inside a portable one, in the outer machine's own folder: its process
 * opens them there, its guest sees disks only.
 *
 * Disks are hard links, so what the inner machine writes is in its own files at once. Images are
 * copies, since the outer process could change what it can reach and they belong to others too.
 */
import { execFile } from 'node:child_process';
import { link, rm, stat } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Refusal } from '../../../base/refusal.ts';
import { makeDirectory } from '../../../base/node/files.ts';

const runFile = promisify(execFile);
const sharedFolder = '.images';

/** Of the machine `id` inside the one whose reachable folder is `directory`. */
export function nestRoot(directory: string, id: string): string {
  return join(directory, 'inside', id);
}

export async function removeNestRoot(root: string): Promise<void> {
  await rm(root, { recursive: true, force: true });
}

export async function hardLink(from: string, to: string): Promise<void> {
  await link(from, to).catch((thrown: NodeJS.ErrnoException) => {
    if (thrown.code !== 'EXDEV') throw thrown;
    throw new Refusal('unsupported', 'A machine must lie on the same disk as the one around it.');
  });
}

/** One copy for each outer machine and image, with its date: an overlay names that. */
export async function sharedImage(inside: string, image: string): Promise<string> {
  const { size, mtimeMs } = await stat(image);
  const key = createHash('sha256').update(`${image} ${size} ${mtimeMs}`).digest('hex').slice(0, 16);
  const folder = await makeDirectory(join(inside, sharedFolder));
  const path = join(folder, key);
  if (await stat(path).then(() => true, () => false)) return path;
  const partial = `${path}.partial`;
  await runFile('cp', ['--sparse=always', '--preserve=timestamps', image, partial]);
  await link(partial, path).catch((thrown: NodeJS.ErrnoException) => {
    if (thrown.code !== 'EEXIST') throw thrown;
  });
  await rm(partial, { force: true });
  return path;
}
