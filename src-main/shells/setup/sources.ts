/**
 * A fingerprint of a set of sources, so that what is made from them is made again exactly when
 * one of them changes: by content, since a checkout touches every time stamp.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';

const filesMax = 10_000;

/** All files under these files and folders, sorted, without `skip`ped names. */
export function filesUnder(paths: readonly string[], skip?: (path: string) => boolean): string[] {
  const found: string[] = [];
  const visit = (path: string) => {
    if (skip?.(path)) return;
    if (found.length > filesMax) throw new Error('There are too many source files.');
    let entries;
    try {
      entries = readdirSync(path, { withFileTypes: true });
    } catch (thrown) {
      const { code } = thrown as NodeJS.ErrnoException;
      if (code === 'ENOTDIR') found.push(path);
      else if (code !== 'ENOENT') throw thrown;
      return;
    }
    for (const { name } of entries) visit(join(path, name));
  };
  paths.forEach(visit);
  return found.sort();
}

export function fingerprint(root: string, files: readonly string[]): string {
  const hash = createHash('sha256');
  for (const file of files) {
    const content = readFileSync(file);
    hash.update(`${relative(root, file)}\0${content.length}\0`).update(content);
  }
  return hash.digest('hex');
}
