/**
 * The folder on the host that becomes the whole root of an inner kernel: its program and libraries,
 * boot disk, images and disks. It lies in the outer machine's own folder, which is all that the
 * outer guest can reach, and may change at any moment.
 *
 * Disks are hard links, so what the inner machine writes is in its own files at once. Images are
 * copies, since the outer guest could change what it can reach and they belong to others too.
 */
import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { copyFile, link, lstat, open, rename, stat } from 'node:fs/promises';
import { createHash, randomBytes } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { Refusal } from '../../../base/refusal.ts';
import { cowHeaderBytes, makeCowHeader, parseCowHeader } from '../../../machine/cow.ts';
import type { LaunchPlan, PlannedDisk } from '../../../machine/engine.ts';
import { innerPaths } from '../nest.ts';
import { GuestFolder } from './guest-folder.ts';

const runFile = promisify(execFile);
const insideFolder = 'inside';
const sharedFolder = '.images';

/** Of the machine `id` inside the one whose reachable folder is `directory`. */
export function nestRoot(directory: string, id: string): string {
  return join(directory, insideFolder, id);
}

export async function fillNestRoot(root: string, plan: LaunchPlan): Promise<void> {
  await using outer = await GuestFolder.open(dirname(dirname(root)));
  await using inside = await outer.make(insideFolder);
  await inside.remove(basename(root));
  await using folder = await inside.make(basename(root));
  for (const name of ['proc', 'dev', 'tmp']) await (await folder.make(name))[Symbol.asyncDispose]();
  await copy(plan.kernel.path, folder, innerPaths.kernel);
  for (const { file, seenAs } of plan.kernel.sharedLibraries) await copy(file, folder, seenAs);
  await copy(plan.initramfs, folder, innerPaths.initramfs);
  await using disks = await folder.make(basename(innerPaths.disks));
  await using images = await folder.make(basename(innerPaths.images));
  for (const disk of plan.disks) {
    await linkDisk(disk, disks);
    if (disk.backing === undefined) continue;
    await linkImage(inside, disk.backing, images.at(String(disk.index)));
    await nameImage(disks.at(String(disk.index)), `${innerPaths.images}/${disk.index}`);
  }
}

export async function removeNestRoot(root: string): Promise<void> {
  await using inside = await GuestFolder.open(dirname(root));
  await inside.remove(basename(root));
}

/** Puts a disk where a running inner kernel finds it, in the place of one that was there. */
export async function addNestDisk(root: string, disk: PlannedDisk): Promise<void> {
  await using disks = await GuestFolder.open(join(root, innerPaths.disks));
  await disks.remove(String(disk.index));
  await linkDisk(disk, disks);
}

export async function removeNestDisk(root: string, index: number): Promise<void> {
  await using disks = await GuestFolder.open(join(root, innerPaths.disks));
  await disks.remove(String(index));
}

async function copy(from: string, folder: GuestFolder, path: string): Promise<void> {
  const [first = '', ...others] = path.split('/').filter((step) => step !== '');
  if (others.length === 0) {
    return copyFile(from, folder.at(first), constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
  }
  await using next = await folder.make(first);
  await copy(from, next, others.join('/'));
}

async function linkDisk(disk: PlannedDisk, disks: GuestFolder): Promise<void> {
  await hardLink(disk.path, disks.at(String(disk.index)));
}

async function hardLink(from: string, to: string): Promise<void> {
  await link(from, to).catch((thrown: NodeJS.ErrnoException) => {
    if (thrown.code !== 'EXDEV') throw thrown;
    throw new Refusal('unsupported', 'A machine must lie on the same disk as the one around it.');
  });
}

/** One copy for each outer machine and image, with its date: an overlay names that. */
async function linkImage(inside: GuestFolder, image: string, to: string): Promise<void> {
  const { size, mtimeMs } = await stat(image);
  const key = createHash('sha256').update(`${image} ${size} ${mtimeMs}`).digest('hex').slice(0, 16);
  await using shared = await inside.make(sharedFolder);
  const there = await lstat(shared.at(key)).then((status) => status.isFile(), () => false);
  if (!there) {
    const partial = `${key}.${randomBytes(4).toString('hex')}`;
    // With the last of these cp writes to a file that it has made itself, or fails.
    const words = ['--sparse=always', '--preserve=timestamps', '--remove-destination'];
    await runFile('cp', [...words, '--', image, shared.at(partial)]);
    await rename(shared.at(partial), shared.at(key));
  }
  await hardLink(shared.at(key), to);
}

/** An overlay names its image; the inner kernel complains on its console of a name not its own. */
async function nameImage(overlay: string, backingPath: string): Promise<void> {
  const file = await open(overlay, constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    if (!(await file.stat()).isFile()) return;
    const bytes = new Uint8Array(cowHeaderBytes);
    await file.read(bytes, 0, cowHeaderBytes, 0);
    await file.write(makeCowHeader({ ...parseCowHeader(bytes), backingPath }), 0, undefined, 0);
  } catch (thrown) {
    // A damaged overlay is for the inner kernel to refuse.
    if (!(thrown instanceof Refusal)) throw thrown;
  } finally {
    await file.close();
  }
}
