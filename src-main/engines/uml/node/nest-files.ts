/**
 * The folder on the host that becomes the whole root of an inner kernel: its program and libraries,
 * boot disk, images and disks. It lies in the outer machine's own folder, which is all that the
 * outer guest can reach.
 *
 * Disks are hard links, so what the inner machine writes is in its own files at once. Images are
 * copies, since the outer guest could change what it can reach and they belong to others too.
 */
import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { copyFile, link, rm, stat } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { Refusal } from '../../../base/refusal.ts';
import { makeDirectory } from '../../../base/node/files.ts';
import type { LaunchPlan } from '../../../machine/engine.ts';
import { innerPaths } from '../nest.ts';

const runFile = promisify(execFile);
const sharedFolder = '.images';

/** Of the machine `id` inside the one whose reachable folder is `directory`. */
export function nestRoot(directory: string, id: string): string {
  return join(directory, 'inside', id);
}

export async function fillNestRoot(root: string, plan: LaunchPlan): Promise<void> {
  await rm(root, { recursive: true, force: true });
  for (const folder of ['', 'proc', 'dev', 'tmp', innerPaths.disks, innerPaths.images]) {
    await makeDirectory(join(root, folder));
  }
  await copy(plan.kernel.path, join(root, innerPaths.kernel));
  for (const { file, seenAs } of plan.kernel.sharedLibraries) await copy(file, join(root, seenAs));
  await copy(plan.initramfs, join(root, innerPaths.initramfs));
  for (const disk of plan.disks) {
    await hardLink(disk.path, join(root, innerPaths.disks, String(disk.index)));
    if (disk.backing === undefined) continue;
    const image = await sharedImage(dirname(root), disk.backing);
    await hardLink(image, join(root, innerPaths.images, String(disk.index)));
  }
}

export async function removeNestRoot(root: string): Promise<void> {
  await rm(root, { recursive: true, force: true });
}

async function copy(from: string, to: string): Promise<void> {
  await makeDirectory(dirname(to));
  await copyFile(from, to, constants.COPYFILE_FICLONE);
}

async function hardLink(from: string, to: string): Promise<void> {
  await link(from, to).catch((thrown: NodeJS.ErrnoException) => {
    if (thrown.code !== 'EXDEV') throw thrown;
    throw new Refusal('unsupported', 'A machine must lie on the same disk as the one around it.');
  });
}

/** One copy for each outer machine and image, with its date: an overlay names that. */
async function sharedImage(inside: string, image: string): Promise<string> {
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
