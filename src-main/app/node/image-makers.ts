/**
 * How images come to be: from a file somebody hands in, or from a recipe of ours. Each maker fills
 * a folder that becomes the image when it returns.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { makeDirectory } from '../../base/node/files.ts';
import type { ImageReport } from '../../contract/things.ts';
import { openImage } from '../../disks/node/import.ts';
import type { ImageReport as DiskReport } from '../../disks/detect.ts';
import { copySparse } from '../../disks/node/sparse.ts';
import { buildDebian } from '../../images/node/debian.ts';
import { buildDebianRiscv, type RunInImage } from '../../images/node/debian-riscv.ts';
import { buildInitramfs, type GuestArchitecture } from '../../images/node/initramfs.ts';
import { riscvBusybox } from '../../images/node/riscv-busybox.ts';
import { buildTiny } from '../../images/node/tiny.ts';
import type { JobHandle } from '../jobs.ts';
import type { Paths } from './paths.ts';
import { stagedBusybox } from './staged.ts';

export type Made = { rawPath: string; report: ImageReport };

export const workFile = 'work.raw';

/** What a file is; nothing of it stays. */
export async function inspectFile(path: string, scratchParent: string): Promise<ImageReport> {
  await makeDirectory(scratchParent);
  const directory = await mkdtemp(join(scratchParent, 'inspect-'));
  try {
    const image = await openImage({ path, directory });
    await image.close();
    return forClients(image.report);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

export type ImageRecipe = 'tiny' | 'tiny-riscv64' | 'debian' | 'debian-riscv64';

export const architectureOf = { native: 'x86_64', portable: 'riscv64' } as const;

/** Terminals with a prompt, by the names that the portable engine's guests have for them. */
const portableConsoles = ['ttyS0', 'hvc1'];

/** `finish` runs a machine of the portable engine, which Debian for riscv64 needs. */
export async function buildImage(
  recipe: ImageRecipe,
  directory: string,
  parts: { paths: Paths; finish: RunInImage; job?: JobHandle },
): Promise<Made> {
  const { paths, finish, job } = parts;
  if (recipe === 'debian' || recipe === 'debian-riscv64') {
    const request = {
      directory,
      signal: job?.signal,
      onProgress: (fraction: number | undefined, step: string) => job?.report(fraction, step),
      log: (line: string) => job?.log(line),
    };
    const foreign = recipe === 'debian-riscv64';
    const built = await (foreign
      ? buildDebianRiscv({ ...request, finish })
      : buildDebian(request));
    return { rawPath: built.path, report: await inspectFile(built.path, directory) };
  }
  const rawPath = join(directory, workFile);
  const built = await builtTiny(recipe, paths, job);
  await copySparse(built.path, rawPath, { mode: 0o444, signal: job?.signal });
  return { rawPath, report: await inspectFile(rawPath, directory) };
}

/** Changes when Tiny Linux would be made differently. */
export async function tinyKey(paths: Paths, recipe: 'tiny' | 'tiny-riscv64'): Promise<string> {
  const { path } = await builtTiny(recipe, paths);
  return basename(dirname(path));
}

/** A raw image in the cache: to be copied, not written. */
export async function builtTiny(
  recipe: 'tiny' | 'tiny-riscv64',
  paths: Paths,
  job?: JobHandle,
): Promise<{ path: string }> {
  const cache = builtDirectory(paths);
  const signal = job?.signal;
  if (recipe === 'tiny') return buildTiny({ cache, signal, busybox: stagedBusybox() });
  const busybox = await riscvBusybox({ cache, signal, log: (line) => job?.log(line) });
  return buildTiny({
    cache,
    signal,
    busybox: busybox.path,
    applets: busybox.applets,
    architecture: 'riscv64',
    consoles: portableConsoles,
  });
}

const ramdisks = new Map<string, Promise<string>>();

/** The small initramfs with the agent that every machine boots through. */
export function buildBootRamdisk(paths: Paths, architecture: GuestArchitecture): Promise<string> {
  const cache = builtDirectory(paths);
  const key = `${architecture} ${cache}`;
  let ramdisk = ramdisks.get(key);
  if (!ramdisk) {
    ramdisk = buildInitramfs({ cache, architecture }).then(({ path }) => path);
    // A missing compiler may be installed later, so a failure is not remembered.
    ramdisk.catch(() => ramdisks.delete(key));
    ramdisks.set(key, ramdisk);
  }
  return ramdisk;
}

/** Boot ramdisks and built images, keyed by content: may be deleted at any time. */
export function builtDirectory(paths: Paths): string {
  return join(paths.cache, 'built');
}

/** A report as the contract has it. */
export function forClients(report: DiskReport): ImageReport {
  const { verdict, ...rest } = report;
  return {
    ...rest,
    engine: verdict.native ? 'native' : verdict.portable ? 'portable' : 'none',
    sentence: verdict.sentence,
  };
}
