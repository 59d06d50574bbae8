/** The files below a machine's disks, made by the disks room under the names this room uses. */
import { createOverlay } from '../../disks/node/overlay.ts';
import { copySparse, createBlankDisk } from '../../disks/node/sparse.ts';

/** An empty copy-on-write overlay over an image that is never written. */
export async function makeOverlay(path: string, backing: string): Promise<void> {
  await createOverlay(path, backing);
}

export function makeBlankDisk(path: string, bytes: number): Promise<void> {
  return createBlankDisk(path, bytes);
}

/** The machine's own copy of an image: sparse, and reflinked where the file system can. */
export function makeDiskCopy(path: string, source: string): Promise<void> {
  return copySparse(source, path, { mode: 0o600 });
}
