/**
 * Debian's own kernel, out of its package (`linux-image-*-riscv64`): the boot image, and the
 * modules without which it finds no disk, as an archive that stands before the boot file system.
 * Since Linux 7.2 they are packages of their own, `linux-binary-…` and `linux-modules-…`, which are
 * then looked for beside it.
 *
 *   const { kernel, modules } = await readKernelPackage(path, { scratch });
 *
 * In the archive `modules/order` names the files in it, each after those it needs; the boot program
 * (resources/guest/boot.c) loads them so. Nothing of the package is run, and nothing of it outside
 * `scratch` is read: a link in it is no file.
 */
import { readdir, readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { writeCpio, type CpioEntry } from '../../base/cpio.ts';
import { Refusal } from '../../base/refusal.ts';
import { dependsOf, loadOrder, moduleName, wantedModules } from '../modules.ts';
import { runProgram } from './run.ts';

export interface KernelPackage {
  readonly kernel: Uint8Array;
  readonly modules: Uint8Array;
}

const beside = '; put linux-binary-… and linux-modules-… of the same kernel beside it.';
const moduleRoots = ['usr/lib/modules', 'lib/modules'];
const fileBytesMax = 256 << 20;
const unpackers: Record<string, readonly string[]> = {
  '.xz': ['xz', '--decompress', '--keep'],
  '.zst': ['zstd', '--decompress', '--quiet'],
  '.gz': ['gzip', '--decompress', '--keep'],
};

/** A Debian package begins as every `ar` archive does. */
export function isDebianPackage(head: Uint8Array): boolean {
  return Buffer.from(head.subarray(0, 8)).toString('latin1') === '!<arch>\n';
}

/** @throws Refusal `bad-input` no package, or none of a kernel with modules; `unavailable`. */
export async function readKernelPackage(
  path: string,
  { scratch, signal }: { scratch: string; signal?: AbortSignal },
): Promise<KernelPackage> {
  for (const file of await parts(path)) await unpackPackage(file, scratch, signal);
  const files = await filesIn(scratch, ['boot', ...moduleRoots]);
  const image = files.find(({ name }) => /^vmlinu[xz](-|$)/.test(name));
  if (!image) throw new Refusal('bad-input', `There is no kernel in this package${beside}`);
  const entries: CpioEntry[] = [{ kind: 'directory', path: 'modules', mode: 0o700 }];
  const modules = await readModules(files, signal);
  for (const [name, content] of modules) {
    entries.push({ kind: 'file', path: `modules/${name}.ko`, mode: 0o600, content });
  }
  const order = [...modules.keys()].map((name) => `${name}.ko\n`).join('');
  entries.push({ kind: 'file', path: 'modules/order', mode: 0o600, content: Buffer.from(order) });
  return { kernel: await unpacked(image.path), modules: writeCpio(entries) };
}

/** The package itself, and those of the same kernel in the same folder. */
async function parts(path: string): Promise<string[]> {
  const version = /^linux-(?:image|binary|modules)-(.+\.deb)$/.exec(basename(path))?.[1];
  if (version === undefined) return [path];
  const there = await readdir(dirname(path));
  const names = ['image', 'binary', 'modules'].map((part) => `linux-${part}-${version}`);
  return names.filter((name) => there.includes(name)).map((name) => join(dirname(path), name));
}

async function unpackPackage(path: string, scratch: string, signal?: AbortSignal): Promise<void> {
  await runProgram(['dpkg-deb', '--extract', path, scratch], { signal }).catch((thrown) => {
    const failed = thrown instanceof Refusal && thrown.code === 'internal';
    throw failed ? new Refusal('bad-input', 'This Debian package cannot be unpacked.') : thrown;
  });
}

/** Name → content, in the order in which they are to be loaded. */
async function readModules(
  files: readonly PackedFile[],
  signal?: AbortSignal,
): Promise<Map<string, Uint8Array>> {
  const paths = new Map<string, string>();
  for (const { name, path } of files) {
    const module = moduleName(name);
    if (module !== undefined) paths.set(module, path);
  }
  const contents = new Map<string, Uint8Array>();
  const needs = new Map<string, readonly string[]>();
  const pending = [...wantedModules];
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    const path = paths.get(name);
    if (path === undefined || needs.has(name)) continue;
    const content = await moduleContent(path, signal);
    contents.set(name, content);
    needs.set(name, dependsOf(content));
    pending.push(...needs.get(name)!);
  }
  const order = loadOrder(wantedModules, (name) => needs.get(name));
  if (order.length > 0) return new Map(order.map((name) => [name, contents.get(name)!]));
  throw new Refusal('bad-input', `There are no modules in this package${beside}`);
}

/** A module as the kernel takes it, uncompressed. */
async function moduleContent(path: string, signal?: AbortSignal): Promise<Uint8Array> {
  const packing = /\.(xz|zst|gz)$/.exec(path)?.[0];
  if (packing === undefined) return readFile(path);
  await runProgram([...unpackers[packing]!, path], { signal });
  return readFile(path.slice(0, -packing.length));
}

type PackedFile = { name: string; path: string };

/** Ordinary files at any depth of these folders, those that are there. */
async function filesIn(root: string, folders: readonly string[]): Promise<PackedFile[]> {
  const files: PackedFile[] = [];
  for (const folder of folders) {
    const place = join(root, folder);
    const entries = await readdir(place, { recursive: true, withFileTypes: true }).catch(() => []);
    for (const entry of entries.filter((each) => each.isFile())) {
      files.push({ name: entry.name, path: join(entry.parentPath, entry.name) });
    }
  }
  return files;
}

async function unpacked(path: string): Promise<Uint8Array> {
  const bytes = await readFile(path);
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  return promisify(gunzip)(bytes, { maxOutputLength: fileBytesMax });
}
