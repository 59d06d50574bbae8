/**
 * The Node that runs our other processes, and where it finds our files. In a checkout and in a
 * server without a window that is this very program. In the packaged app it is not: Electron
 * cannot be made a plain Node there (its fuse RunAsNode is off) and only Electron reads its
 * archive, so the package carries a Node and a copy of the program beside it.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** Electron's own folder in a package; undefined under plain Node. */
export function resourcesPath(): string | undefined {
  return (process as { resourcesPath?: string }).resourcesPath;
}

/** The program to spawn for a process of ours. */
export function nodeProgram(): string {
  if (process.versions['electron'] === undefined) return process.execPath;
  const packed = join(resourcesPath() ?? '', 'nymph/bin/node');
  // Electron in a checkout: the Node that came with the dependencies.
  return existsSync(packed)
    ? packed
    : join(import.meta.dirname, '../../../node_modules/node/bin/node');
}

/** The same file of ours where a process outside of Electron can read it. */
export function outsideArchive(path: string, resources = resourcesPath()): string {
  if (resources === undefined) return path;
  const archive = join(resources, 'app.asar');
  if (path !== archive && !path.startsWith(`${archive}/`)) return path;
  return join(resources, 'nymph/program', path.slice(archive.length));
}
