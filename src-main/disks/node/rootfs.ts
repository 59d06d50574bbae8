/**
 * A tar of a root file system becomes an ext4 disk, without root rights: unpacked under
 * `fakeroot`, which remembers owners and device nodes, and put into the image by `mke2fs -d`.
 *
 * The tar must have passed `scanTar`, which refuses every entry that would leave the folder.
 *
 * Must hold: the unpacked folder is gone afterwards, however it ends; the two programs get an
 * environment of our own and are ended with their children when the work is cancelled.
 */
import { spawn } from 'node:child_process';
import { mkdir, rm, stat } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { Refusal } from '../../base/refusal.ts';
import { printable } from '../bytes.ts';
import type { ByteSource } from '../source.ts';
import type { TarScan } from '../tar.ts';
import { createFile, realHost, requireSpace, temporaryName, type NewFile } from './new-file.ts';
import { throwIfCancelled, type WorkOptions } from './sparse.ts';

const mib = 2 ** 20;
const searchPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

// $1 the folder, $2 the image, $3 its number of inodes. tar reads its standard input. The features
// are spelled out (and the host's mke2fs.conf left aside) so that every host makes the same disk.
const script = `set -e
tar -x -p -f - -C "$1" --numeric-owner --same-owner --delay-directory-restore \\
  --xattrs --xattrs-include='security.capability' --warning=no-timestamp
echo unpacked
mke2fs -q -F -t ext4 -b 4096 -I 256 -m 1 -N "$3" -d "$1" -O "$4" "$2"`;
const features = 'has_journal,extent,huge_file,flex_bg,64bit,dir_nlink,extra_isize,metadata_csum,' +
  'sparse_super,large_file,filetype,resize_inode,dir_index,ext_attr';

/** The disk's size: room for growth, and never so small that a system cannot start on it. */
export function rootfsBytes(contentBytes: number): number {
  const wanted = Math.ceil((contentBytes * 1.3) / mib) * mib + 64 * mib;
  return Math.max(256 * mib, wanted);
}

/** Names the programs that are missing, for a doctor or a sentence. */
export async function missingRootfsPrograms(): Promise<string[]> {
  const missing: string[] = [];
  for (const program of ['fakeroot', 'tar', 'mke2fs']) {
    const places = searchPath.split(delimiter).map((folder) => join(folder, program));
    const there = await Promise.all(places.map((place) => stat(place).catch(() => undefined)));
    if (!there.some((status) => status?.isFile())) missing.push(program);
  }
  return missing;
}

/** Builds the disk in a new file beside `path`; the caller finishes or abandons it. */
export async function buildRootfs(
  tar: ByteSource, scan: TarScan, path: string, options: WorkOptions = {},
): Promise<NewFile> {
  const missing = await missingRootfsPrograms();
  if (missing.length > 0) {
    throw new Refusal('unavailable', `Making a disk from a tar needs ${missing.join(' and ')}: ` +
      'install the packages fakeroot, tar and e2fsprogs.');
  }
  const bytes = rootfsBytes(scan.contentBytes);
  // The files are there twice for a moment: unpacked, and inside the disk.
  const host = options.host ?? realHost;
  await requireSpace(dirname(path), 2 * scan.contentBytes + 32 * mib, host);
  const file = await createFile(path);
  const folder = temporaryName(join(dirname(path), 'unpacked'));
  try {
    await mkdir(folder, { mode: 0o700 });
    await file.handle.truncate(bytes);
    const inodes = Math.max(Math.floor(bytes / 16384), Math.ceil(scan.entries * 1.2) + 4096);
    const args = [folder, file.temporaryPath, String(inodes), features];
    await runBuild(tar, args, options);
    return file;
  } catch (thrown) {
    await file.abandon();
    throw thrown;
  } finally {
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

async function runBuild(tar: ByteSource, args: string[], options: WorkOptions): Promise<void> {
  throwIfCancelled(options.signal);
  const child = spawn('fakeroot', ['--', 'sh', '-c', script, 'sh', ...args], {
    detached: true, // its own process group, so that all of it can be ended
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { PATH: searchPath, LC_ALL: 'C.UTF-8', HOME: '/nonexistent', MKE2FS_CONFIG: '/dev/null' },
  });
  let complaint = '';
  child.stderr.on('data', (part: Buffer) => {
    complaint = (complaint + part.toString()).slice(-4096);
  });
  child.stdout.on('data', () => options.onProgress?.(tar.size, tar.size, 'making the disk'));
  child.stdin.on('error', () => {}); // tar ended early: its exit code tells
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  const end = (): void => endGroup(child.pid);
  options.signal?.addEventListener('abort', end, { once: true });
  try {
    await feed(tar, child.stdin, options).catch((thrown: unknown) => {
      end();
      throw thrown;
    }).finally(() => child.stdin.end());
    const code = await ended;
    throwIfCancelled(options.signal);
    if (code !== 0) throw buildRefusal(complaint);
  } finally {
    options.signal?.removeEventListener('abort', end);
    await ended.catch(() => {});
  }
}

/** An interrupt lets fakeroot end its own daemon; what ignores it is killed soon after. */
function endGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  const send = (signal: NodeJS.Signals): void => {
    try {
      process.kill(-pid, signal);
    } catch {
      // It has ended already.
    }
  };
  send('SIGINT');
  setTimeout(() => send('SIGKILL'), 2000).unref();
}

async function feed(
  tar: ByteSource, stdin: NodeJS.WritableStream, options: WorkOptions,
): Promise<void> {
  const unitBytes = 256 * 1024;
  for (let at = 0; at < tar.size; at += unitBytes) {
    throwIfCancelled(options.signal);
    const part = await tar.read(at, Math.min(unitBytes, tar.size - at));
    const failed = await new Promise<boolean>((resolve) => {
      stdin.write(part, (error) => resolve(error !== null && error !== undefined));
    });
    if (failed) return;
    options.onProgress?.(Math.min(at + unitBytes, tar.size), tar.size, 'unpacking files');
  }
}

function buildRefusal(complaint: string): Refusal {
  if (/No space left|Disk quota|ext2 filesystem.*full/i.test(complaint)) {
    return new Refusal('no-space', 'There is not enough space to unpack this tar; ' +
      'nothing was kept.');
  }
  const line = complaint.trim().split('\n').findLast((text) => !/Exiting with/.test(text)) ?? '';
  const said = line.replace(/^(tar|mke2fs|sh): /, '').replace(/\/\S*\.partial\//g, '');
  return new Refusal('bad-input', `The tar could not be made into a disk: ${printable(said)}.`);
}
