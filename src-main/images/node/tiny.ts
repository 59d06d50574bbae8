/**
 * Tiny Linux: an ext4 image with Debian's busybox (the static one) and our own few files from
 * resources/guest/tiny: a login prompt on the first consoles, DHCP on every Ethernet card. It
 * takes 7 MB on the host.
 * Process 1 is our own (resources/guest/init/init.c says why), all commands are busybox.
 *
 *   const { path } = await buildTiny({ cache })           → a raw ext4 image, no partition table
 *
 * Made once per content in well under a second, without root, and then found in the cache. It is
 * never written afterwards: machines put an overlay on it.
 */
import { mkdtemp, readFile, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Refusal } from '../../base/refusal.ts';
import { cached, contentHash } from './cache.ts';
import { fillExt4, formatExt4, type TreeEntry } from './ext4.ts';
import { compileGuest, guestFlags, guestSources, type GuestArchitecture } from './compile.ts';
import { run } from './run.ts';

export interface TinyRequest {
  cache: string;
  /** The folder with `tiny/`, `init/` and the C sources; by default the one of this checkout. */
  sources?: string;
  /** A static busybox; by default the machine's own. */
  busybox?: string;
  /** The commands that become links to it; by default those it says it has (it is run for that). */
  applets?: string[];
  /** Virtual size; on the host the file takes what its content takes. */
  sizeMib?: number;
  architecture?: GuestArchitecture;
  /** Terminals with a login prompt, in the order of their prompts: names in /dev. */
  consoles?: string[];
  signal?: AbortSignal;
  log?: (line: string) => void;
}

export interface BuiltImage {
  path: string;
  virtualBytes: number;
  /** What it takes on the host's disk. */
  realBytes: number;
  reused: boolean;
}

const folders = [
  'bin', 'dev', 'etc', 'etc/nymph', 'etc/udhcpc', 'mnt', 'proc', 'root', 'run', 'sys', 'tmp',
  'usr', 'usr/local', 'usr/local/bin', 'var', 'var/log', 'var/www',
];
/** Not links to busybox; the second is its init under another name. */
const ours = ['init', 'linuxrc'];
const layout = 4; // raise it when the code below makes something else of the same files

export async function buildTiny(request: TinyRequest): Promise<BuiltImage> {
  const folder = request.sources ?? guestSources;
  const sources = join(folder, 'tiny');
  const architecture = request.architecture ?? 'x86_64';
  const program = ['init/init.c', 'sys.c', 'sys.h'].map((name) => join(folder, name));
  const busybox = request.busybox ?? (await findBusybox());
  const sizeMib = request.sizeMib ?? 1024;
  const consoles = request.consoles ?? ['tty0', 'tty1'];
  const files = (await readdir(sources, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
  const contents = await Promise.all([busybox, ...program, ...files].map((file) => readFile(file)));
  assertStatic(contents[0] ?? new Uint8Array(0), busybox);
  const hash = contentHash([
    [layout, sizeMib, consoles, request.applets ?? [], architecture, guestFlags].join(' '),
    ...files.map((file) => file.slice(sources.length)),
    ...contents,
  ]);
  const { path, reused } = await cached(request.cache, `tiny-${hash}`, async (scratch) => {
    request.log?.('Making the Tiny Linux image.');
    const applets = request.applets ?? (await appletsOf(busybox, request.signal));
    await make(join(scratch, 'tiny.ext4'), {
      sources, files, program: program.filter((name) => name.endsWith('.c')), architecture,
      busybox, applets, consoles, sizeMib, hash, signal: request.signal,
    });
  });
  const image = join(path, 'tiny.ext4');
  const { size, blocks } = await stat(image);
  return { path: image, virtualBytes: size, realBytes: blocks * 512, reused };
}

/** Where Debian's busybox-static and others put it; a dynamic one is told apart by its content. */
async function findBusybox(): Promise<string> {
  for (const path of ['/bin/busybox', '/usr/bin/busybox']) {
    if (await stat(path).then((found) => found.isFile(), () => false)) return path;
  }
  throw new Refusal(
    'unavailable',
    'Tiny Linux needs busybox; install it with: sudo apt-get install busybox-static.',
  );
}

/** An ELF program header of type PT_INTERP (3) names a dynamic loader, which the image lacks. */
function assertStatic(bytes: Uint8Array, path: string): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const isElf64 = bytes.length > 64 && view.getUint32(0) === 0x7f454c46 && bytes[4] === 2;
  if (!isElf64) throw new Refusal('bad-input', `"${path}" is not a 64-bit Linux program.`);
  const start = Number(view.getBigUint64(32, true));
  const count = view.getUint16(56, true);
  for (let i = 0; i < count; i++) {
    const at = start + i * 56;
    if (at + 4 <= bytes.length && view.getUint32(at, true) !== 3) continue;
    throw new Refusal(
      'unavailable',
      `"${path}" is not static; install one that is with: sudo apt-get install busybox-static.`,
    );
  }
}

async function appletsOf(busybox: string, signal?: AbortSignal): Promise<string[]> {
  const { stdout } = await run(busybox, ['--list'], { signal, package: 'busybox-static' });
  return stdout.split('\n').filter((name) => /^[a-z0-9[_.-]+$/i.test(name) && name !== 'busybox');
}

interface Making {
  sources: string;
  files: string[];
  /** C files of process 1. */
  program: string[];
  architecture: GuestArchitecture;
  busybox: string;
  applets: string[];
  consoles: string[];
  sizeMib: number;
  hash: string;
  signal?: AbortSignal;
}

async function make(image: string, making: Making): Promise<void> {
  await formatExt4(image, { sizeMib: making.sizeMib, label: 'tiny', seed: making.hash,
    signal: making.signal });
  // debugfs takes no blanks in names, and the caller's folders may have some: work through a
  // scratch folder of our own with links to them.
  const scratch = await mkdtemp(join(tmpdir(), 'nymph-tiny-'));
  try {
    await symlink(making.busybox, join(scratch, 'busybox'));
    await symlink(making.sources, join(scratch, 'files'));
    await compileGuest(join(scratch, 'init'), making.program, making);
    await writeFile(join(scratch, 'consoles'), making.consoles.map((tty) => `${tty}\n`).join(''));
    await fillExt4(image, await treeOf(making, scratch), making.signal);
  } finally {
    await rm(scratch, { recursive: true, force: true });
    await rm(`${image}.debugfs`, { force: true });
  }
}

async function treeOf(making: Making, scratch: string): Promise<TreeEntry[]> {
  const tree: TreeEntry[] = folders.map((path) => ({
    path: `/${path}`,
    kind: 'directory',
    mode: path === 'tmp' ? 0o1777 : path === 'root' ? 0o700 : 0o755,
  }));
  const link = (path: string, target: string) =>
    tree.push({ path, kind: 'link', mode: 0o777, target });
  link('/sbin', 'bin');
  link('/usr/bin', '../bin');
  link('/usr/sbin', '../bin');
  tree.push({ path: '/bin/busybox', kind: 'file', mode: 0o755, from: join(scratch, 'busybox') });
  tree.push({ path: '/bin/init', kind: 'file', mode: 0o755, from: join(scratch, 'init') });
  for (const name of making.applets) {
    if (!ours.includes(name)) link(`/bin/${name}`, 'busybox');
  }
  tree.push({
    path: '/etc/nymph/consoles', kind: 'file', mode: 0o644, from: join(scratch, 'consoles'),
  });
  for (const file of making.files) {
    const inside = file.slice(making.sources.length + 1);
    const content = await readFile(file);
    tree.push({
      path: `/${inside}`,
      kind: 'file',
      mode: content.subarray(0, 2).toString() === '#!' ? 0o755 : 0o644,
      from: join(scratch, 'files', inside),
    });
  }
  link('/etc/mtab', '/proc/self/mounts');
  return tree;
}
