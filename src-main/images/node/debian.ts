/**
 * Builds the minimal Debian image with mmdebstrap, as root or as an ordinary user.
 *
 *   const { path } = await buildDebian({ directory, signal, onProgress, log })
 *
 * Packages come from where the machine's own apt gets them, of the machine's own release. The
 * result is a raw ext4 image without partitions, 4 GiB, sparse; it appears in `directory` whole
 * or not at all. It takes a few minutes; cancelling removes everything.
 */
import { mkdir, mkdtemp, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Refusal } from '../../base/refusal.ts';
import {
  customizeScript, debianFiles, debianPackages, dpkgOptions, parseRepositories, resolverPackage,
  sourcesFor, stageOf,
} from '../debian.ts';
import { formatExt4 } from './ext4.ts';
import { run } from './run.ts';
import type { BuiltImage } from './tiny.ts';

export interface DebianRequest {
  /** Where the image and, while it is built, everything else lies: about 1 GiB is needed. */
  directory: string;
  /** Virtual size. */
  sizeMib?: number;
  signal?: AbortSignal;
  /** `fraction` is from 0 to 1 and never goes back. */
  onProgress?: (fraction: number | undefined, step: string) => void;
  log?: (line: string) => void;
}

/** mmdebstrap cleans up after SIGTERM; it holds files that are not ours to remove otherwise. */
const gentleMs = 15_000;

export async function buildDebian(request: DebianRequest): Promise<BuiltImage> {
  const { directory, signal, onProgress } = request;
  await mkdir(directory, { recursive: true });
  const scratch = await mkdtemp(join(directory, '.debian-'));
  try {
    const archive = join(scratch, 'root.tar');
    onProgress?.(0, 'Preparing');
    await bootstrap(scratch, archive, request);
    onProgress?.(0.85, 'Making the disk image');
    const image = join(scratch, 'debian.ext4');
    await imageFrom(archive, image, scratch, request);
    signal?.throwIfAborted();
    await flush(image);
    const path = join(directory, 'debian.ext4');
    await rename(image, path);
    await flush(directory);
    onProgress?.(1, 'Done');
    const { size, blocks } = await stat(path);
    return { path, virtualBytes: size, realBytes: blocks * 512, reused: false };
  } finally {
    await remove(scratch);
  }
}

async function bootstrap(scratch: string, archive: string, request: DebianRequest): Promise<void> {
  const { signal, log, onProgress } = request;
  const codename = await releaseOfHost();
  const sources = sourcesFor(codename, await repositories(signal));
  const packages = [...debianPackages];
  if (await isKnown(resolverPackage, signal)) packages.push(resolverPackage);
  const customize = join(scratch, 'customize');
  await writeFile(customize, customizeScript);
  const files = await layOut(join(scratch, 'files'), debianFiles);
  const folders = [...new Set(files.map(({ to }) => dirname(to)))];
  // Its own temporary folder lies in ours; in user mode other user numbers must reach it.
  const temporary = join(scratch, 'tmp');
  await mkdir(temporary, { mode: 0o1777 });
  await run('chmod', ['1777', temporary]);
  await run('chmod', ['0755', scratch]);
  await run(
    'mmdebstrap',
    [
      '--variant=minbase', '--mode=auto', `--include=${packages.join()}`,
      ...dpkgOptions.map((option) => `--dpkgopt=${option}`),
      '--aptopt=Acquire::Languages "none"', '--aptopt=APT::Install-Recommends "false"',
      ...folders.map((folder) => `--customize-hook=mkdir -p "$1${folder}"`),
      ...files.map(({ from, to }) => `--customize-hook=upload ${quoted(from)} ${to}`),
      `--customize-hook=sh ${quoted(customize)} "$1"`,
      codename, archive, ...sources,
    ],
    {
      signal,
      gentleMs,
      env: { TMPDIR: temporary },
      package: 'mmdebstrap',
      onLine: (line) => {
        log?.(line);
        const stage = stageOf(line);
        if (stage) onProgress?.(stage.fraction, stage.step);
      },
    },
  );
}

/** Files of the new system, laid out on the host. */
export async function layOut(
  folder: string,
  contents: Readonly<Record<string, string>>,
): Promise<{ from: string; to: string }[]> {
  const files: { from: string; to: string }[] = [];
  for (const [to, content] of Object.entries(contents)) {
    const from = join(folder, to);
    await mkdir(dirname(from), { recursive: true });
    await writeFile(from, content);
    files.push({ from, to: `/${to}` });
  }
  return files;
}

/**
 * The archive's owners and modes are kept by unpacking and packing under one fakeroot, which as
 * root is not needed. Device files are left out: the kernel makes its own.
 */
async function imageFrom(
  archive: string,
  image: string,
  scratch: string,
  request: DebianRequest,
): Promise<void> {
  const { signal, log } = request;
  const isRoot = process.getuid?.() === 0;
  const tree = join(scratch, 'tree');
  const state = join(scratch, 'owners');
  await mkdir(tree);
  await writeFile(state, '');
  const under = isRoot ? [] : ['fakeroot', '-i', state, '-s', state, '--'];
  const [program = 'tar', ...rest] = [
    ...under, 'tar', '--extract', '--file', archive, '--directory', tree, '--numeric-owner',
    '--preserve-permissions', '--exclude=./dev/*',
  ];
  await run(program, rest, { signal, onLine: log, package: program });
  await rm(archive);
  await formatExt4(image, {
    sizeMib: request.sizeMib ?? 4096,
    label: 'debian',
    seed: `debian ${scratch}`,
    content: tree,
    under: isRoot ? undefined : ['fakeroot', '-i', state, '--'],
    signal,
  });
}

async function releaseOfHost(): Promise<string> {
  const text = await readFile('/etc/os-release', 'utf8').catch(() => '');
  const codename = /^VERSION_CODENAME=["']?([a-z]+)/m.exec(text)?.[1];
  if (codename) return codename;
  throw new Refusal('unsupported', 'A Debian image can be built on Debian and Ubuntu only.');
}

async function repositories(signal?: AbortSignal) {
  const format = '$(REPO_URI)|$(RELEASE)|$(COMPONENT)';
  const args = ['indextargets', '--format', format, 'Created-By: Packages'];
  const { stdout } = await run('apt-get', args, { signal, package: 'apt' });
  return parseRepositories(stdout);
}

async function isKnown(name: string, signal?: AbortSignal): Promise<boolean> {
  return run('apt-cache', ['show', name], { signal }).then(() => true, () => false);
}

export async function flush(path: string): Promise<void> {
  const handle = await open(path, 'r');
  await handle.sync().finally(() => handle.close());
}

/** What a killed user-mode run left belongs to other user numbers; mmdebstrap can reach it. */
async function remove(folder: string): Promise<void> {
  try {
    await rm(folder, { recursive: true, force: true });
  } catch {
    await run('mmdebstrap', ['--unshare-helper', 'rm', '-rf', join(folder, 'tmp')]).catch(() => {});
    await rm(folder, { recursive: true, force: true });
  }
}

/** mmdebstrap gives hooks to a shell. */
function quoted(path: string): string {
  return `'${path.replaceAll("'", "'\\''")}'`;
}
