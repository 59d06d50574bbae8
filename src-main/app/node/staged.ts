/**
 * What a package brings along so that its first start builds nothing: kernels, the boot ramdisk,
 * Tiny Linux and the busybox it is made of, listed with their digests in `staged.json`. They are
 * put where built ones would be, once, and are the same as built ones from then on.
 *
 *   await seedStaged(paths)     // before kernels and images are looked for
 *
 * What must hold: a thing is there whole or not at all, and never with another content than was
 * recorded; a kernel that its user has removed does not come back.
 */
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, readFileSync } from 'node:fs';
import { open, readFile, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createZstdDecompress } from 'node:zlib';
import { z } from 'zod';
import { Refusal } from '../../base/refusal.ts';
import { makeDirectory, syncDirectory, writeFileAtomic } from '../../base/node/files.ts';
import { resourcesPath } from '../../base/node/program.ts';
import { SparseWriter } from '../../disks/node/sparse.ts';
import { builtDirectory } from './image-makers.ts';
import type { Paths } from './paths.ts';

/** A file name and nothing that leads elsewhere. */
const plainName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._+~-]*$/);

export const stagedSchema = z.strictObject({
  format: z.literal('nymph-staged-1'),
  things: z
    .array(
      z.strictObject({
        kind: z.enum(['kernel', 'built']),
        name: plainName,
        files: z
          .array(
            z.strictObject({
              name: plainName,
              /** Of the file as it lies in the package, which is in zstd when `packed`. */
              sha256: z.string().regex(/^[0-9a-f]{64}$/),
              packed: z.boolean(),
              bytes: z.number().int().min(0).max(2 ** 40),
              executable: z.boolean(),
            }),
          )
          .max(64),
      }),
    )
    .max(64),
});
export type Staged = z.infer<typeof stagedSchema>;
type Thing = Staged['things'][number];

export const stagedFile = 'staged.json';

/** The package's folder of these things; undefined in a checkout. */
export function stagedDirectory(): string | undefined {
  const resources = resourcesPath();
  const places = resources === undefined ? [] : [join(resources, 'nymph')];
  places.push(join(import.meta.dirname, '../../../..'));
  return places.find((place) => existsSync(join(place, stagedFile)));
}

/** The busybox of the package, of which its Tiny Linux is made. */
export function stagedBusybox(directory = stagedDirectory()): string | undefined {
  const path = directory && join(directory, 'bin/busybox');
  return path && existsSync(path) ? path : undefined;
}

/** @returns a sentence for each thing that could not be put in its place. */
export async function seedStaged(
  paths: Paths,
  directory = stagedDirectory(),
): Promise<string[]> {
  if (directory === undefined) return [];
  const complaints: string[] = [];
  const note = join(paths.kernels, 'seeded.json');
  const seeded = new Set(readNote(note));
  const before = seeded.size;
  const { things } = stagedSchema.parse(
    JSON.parse(await readFile(join(directory, stagedFile), 'utf8')),
  );
  for (const thing of things) {
    const isKernel = thing.kind === 'kernel';
    const parent = isKernel ? join(paths.kernels, 'installed') : builtDirectory(paths);
    if (existsSync(join(parent, thing.name)) || (isKernel && seeded.has(thing.name))) continue;
    try {
      await seed(join(directory, thing.kind, thing.name), parent, thing);
      if (isKernel) seeded.add(thing.name);
    } catch (thrown) {
      complaints.push(`${thing.name}: ${(thrown as Error).message}`);
    }
  }
  if (seeded.size > before) await writeFileAtomic(note, JSON.stringify([...seeded]));
  return complaints;
}

async function seed(from: string, parent: string, thing: Thing): Promise<void> {
  await makeDirectory(parent);
  const scratch = join(parent, `.seeding-${process.pid}-${thing.name}`);
  try {
    await rm(scratch, { recursive: true, force: true });
    await makeDirectory(scratch);
    for (const file of thing.files) await unpack(from, scratch, file);
    await syncDirectory(scratch);
    await rename(scratch, join(parent, thing.name)).catch((thrown: NodeJS.ErrnoException) => {
      // Another server of another home was quicker; it has put the same there.
      if (thrown.code !== 'ENOTEMPTY' && thrown.code !== 'EEXIST') throw thrown;
    });
    await syncDirectory(parent);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function unpack(from: string, into: string, file: Thing['files'][number]): Promise<void> {
  const hash = createHash('sha256');
  const handle = await open(join(into, file.name), 'wx', file.executable ? 0o755 : 0o644);
  try {
    const writer = new SparseWriter(handle, file.bytes);
    let written = 0;
    const source = createReadStream(join(from, file.name));
    source.on('data', (part) => hash.update(part));
    const take = async (parts: AsyncIterable<Buffer>) => {
      for await (const part of parts) {
        written += part.length;
        if (written > file.bytes) throw damaged(from, file.name);
        await writer.write(part);
      }
    };
    if (file.packed) await pipeline(source, createZstdDecompress(), take);
    else await pipeline(source, take);
    await writer.end();
    // The writer rounds up to whole sectors; a program is as long as it is.
    await handle.truncate(file.bytes);
    if (written !== file.bytes || hash.digest('hex') !== file.sha256) {
      throw damaged(from, file.name);
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function damaged(from: string, name: string): Refusal {
  return new Refusal('bad-input', `${basename(dirname(from))}/${name} of the package is damaged.`);
}

function readNote(path: string): string[] {
  try {
    return z.array(z.string()).parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch {
    return [];
  }
}
