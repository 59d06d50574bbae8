/**
 * The boot file system that every machine gets, whatever its image: one program, `/init`, built
 * from the C sources in resources/guest, in a gzipped cpio archive of some 10 kB.
 *
 *   const { path } = await buildInitramfs({ cache })      → pass it as `initrd=` to the kernel
 *
 * It is built once per content of the sources (about a second) and then found in the cache, so a
 * compiler is needed only the first time. The program says in boot.c which words of the kernel's
 * command line it reads.
 */
import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { writeCpio } from '../../base/cpio.ts';
import { cached, contentHash } from './cache.ts';
import { compileGuest, guestFlags, guestSources, type GuestArchitecture } from './compile.ts';

export type { GuestArchitecture };

export interface InitramfsRequest {
  /** The folder that holds what is built; made when it is missing. */
  cache: string;
  /** The folder of the C sources; by default the one of this checkout. */
  sources?: string;
  architecture?: GuestArchitecture;
  signal?: AbortSignal;
  log?: (line: string) => void;
}

export interface Initramfs {
  /** The archive, for the kernel. */
  path: string;
  /** The program alone, an ELF file. */
  agentPath: string;
  reused: boolean;
}

export async function buildInitramfs(request: InitramfsRequest): Promise<Initramfs> {
  const architecture = request.architecture ?? 'x86_64';
  const folder = request.sources ?? guestSources;
  const names = (await readdir(folder)).filter((name) => /\.[ch]$/.test(name)).sort();
  const sources = await Promise.all(names.map((name) => readFile(join(folder, name))));
  const hash = contentHash([architecture, ...guestFlags, ...names, ...sources]);
  const { path, reused } = await cached(request.cache, `boot-${architecture}-${hash}`, (scratch) =>
    make(scratch, folder, names, architecture, request),
  );
  return { path: join(path, 'initramfs.gz'), agentPath: join(path, 'agent'), reused };
}

async function make(
  scratch: string,
  folder: string,
  names: string[],
  architecture: GuestArchitecture,
  request: InitramfsRequest,
): Promise<void> {
  const agent = join(scratch, 'agent');
  const files = names.filter((name) => name.endsWith('.c')).map((name) => join(folder, name));
  request.log?.('Compiling the boot program.');
  await compileGuest(agent, files, { architecture, signal: request.signal, log: request.log });
  const archive = writeCpio([
    { kind: 'directory', path: 'dev', mode: 0o755 },
    // The kernel opens it for process 1 before anything is mounted.
    { kind: 'character', path: 'dev/console', mode: 0o600, major: 5, minor: 1 },
    { kind: 'directory', path: 'proc', mode: 0o755 },
    { kind: 'directory', path: 'sys', mode: 0o755 },
    { kind: 'directory', path: 'r', mode: 0o755 },
    { kind: 'file', path: 'init', mode: 0o755, content: await readFile(agent) },
  ]);
  const packed = await promisify(gzip)(archive, { level: 9 });
  await writeFile(join(scratch, 'initramfs.gz'), packed);
}
