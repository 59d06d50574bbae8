/**
 * What a package should bring along (the other end of staged.ts): a finished kernel of each
 * flavour (today's recipe if it is built, else the newest), the boot ramdisk, and Tiny Linux with
 * the busybox that it was made of. What can be made here in moments is made; a kernel that is not
 * built yet is a Refusal.
 *
 *   const { things, busybox } = await gatherForPackage(nymphPaths());
 *   await stageThing(thing, directory)      // one row of staged.json, its files beside it
 */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { constants, createZstdCompress } from 'node:zlib';
import { Refusal } from '../../base/refusal.ts';
import { makeDirectory } from '../../base/node/files.ts';
import { buildTiny } from '../../images/node/tiny.ts';
import { openKernelLibrary } from '../../kernels/node/library.ts';
import { recipeOf } from '../../kernels/recipe.ts';
import { buildBootRamdisk, builtDirectory, tinyKey } from './image-makers.ts';
import type { Paths } from './paths.ts';
import type { Staged } from './staged.ts';

export interface Gathered {
  readonly things: { kind: 'kernel' | 'built'; directory: string; about: string }[];
  /** The static busybox of the native Tiny Linux. */
  readonly busybox: string;
  /** Why a package made here has nothing for the portable engine. */
  readonly leftOut?: string;
}

const busyboxPlaces = ['/bin/busybox', '/usr/bin/busybox'];
const packedFromBytes = 1 << 20;

/** @throws Refusal `unavailable` when a kernel is not built or busybox is not there. */
export async function gatherForPackage(paths: Paths): Promise<Gathered> {
  const library = openKernelLibrary({ cacheDirectory: paths.kernels });
  const things: Gathered['things'] = [];
  for (const flavour of ['up', 'smp', 'riscv64'] as const) {
    const today = await library.findBuilt(recipeOf(flavour));
    const kernel = today ?? (await library.list()).find((each) => each.flavour === flavour);
    if (kernel) {
      const about = `Linux ${kernel.version} (${flavour}), ${kernel.id}`;
      things.push({ kind: 'kernel', directory: dirname(kernel.path), about });
    } else if (flavour !== 'riscv64') {
      throw new Refusal('unavailable', `The kernel “${flavour}” is not built yet.`);
    }
  }
  const busybox = busyboxPlaces.find((path) => existsSync(path));
  if (!busybox) throw new Refusal('unavailable', 'The package busybox-static is missing.');
  const cache = builtDirectory(paths);
  const made = [
    { path: await buildBootRamdisk(paths, 'x86_64'), about: 'the boot ramdisk' },
    { path: (await buildTiny({ cache, busybox })).path, about: 'Tiny Linux' },
  ];
  for (const { path, about } of made) {
    things.push({ kind: 'built', directory: dirname(path), about });
  }
  const hasPortable = things.some(({ about }) => about.includes('(riscv64)'));
  const portable = hasPortable ? await gatherPortable(paths) : 'its kernel is not built here';
  if (typeof portable === 'string') return { things, busybox, leftOut: portable };
  return { things: [...things, ...portable], busybox };
}

/** All of the portable engine but its kernel, or why it cannot be made here. */
async function gatherPortable(paths: Paths): Promise<Gathered['things'] | string> {
  const cache = builtDirectory(paths);
  try {
    const boot = await buildBootRamdisk(paths, 'riscv64');
    const tiny = await tinyKey(paths, 'tiny-riscv64');
    const names = (await readdir(cache)).filter((name) => name.startsWith('busybox-riscv64-'));
    return [basename(dirname(boot)), tiny, ...names].map((name) => ({
      kind: 'built',
      directory: join(cache, name),
      about: `the portable engine’s ${name.replace(/-[0-9a-f]*$/, '')}`,
    }));
  } catch (thrown) {
    if (thrown instanceof Refusal) return thrown.message;
    throw thrown;
  }
}

/** Copies a thing's files to `directory/kind/name`, the big ones packed. @returns its row. */
export async function stageThing(
  { kind, directory: from }: Gathered['things'][number],
  directory: string,
): Promise<Staged['things'][number]> {
  const name = basename(from);
  const to = await makeDirectory(join(directory, kind, name), 0o755);
  const files: Staged['things'][number]['files'] = [];
  for (const file of (await readdir(from)).sort()) {
    const { size: bytes, mode } = await stat(join(from, file));
    const packed = bytes >= packedFromBytes;
    const hash = createHash('sha256');
    const source = createReadStream(join(from, file));
    const target = createWriteStream(join(to, file), { flags: 'wx', mode: 0o644 });
    const level = { params: { [constants.ZSTD_c_compressionLevel]: 15 } };
    if (packed) await pipeline(source, createZstdCompress(level), tee(hash), target);
    else await pipeline(source, tee(hash), target);
    const sha256 = hash.digest('hex');
    files.push({ name: file, sha256, packed, bytes, executable: (mode & 0o111) !== 0 });
  }
  return { kind, name, files };
}

function tee(hash: ReturnType<typeof createHash>) {
  return async function* (parts: AsyncIterable<Buffer>) {
    for await (const part of parts) {
      hash.update(part);
      yield part;
    }
  };
}
