/**
 * A folder of the host as a guest may use it: every file is held by a descriptor, and a name is
 * looked up in the directory that is held, never along a path. So neither a link nor a directory
 * that is exchanged meanwhile leads out of the folder. Linux only: /proc gives descriptors names.
 *
 * Must hold: a link is never followed, what is neither file nor directory never opened, and a file
 * made for a guest has no setuid bit.
 */
import {
  chmodSync, closeSync, constants, fstatSync, fsyncSync, ftruncateSync, linkSync, mkdirSync,
  openSync, readdirSync, readlinkSync, readSync, renameSync, rmdirSync, statfsSync, symlinkSync,
  unlinkSync, utimesSync, writeSync, type BigIntStats,
} from 'node:fs';
import { Refusal } from '../../../base/refusal.ts';
import { FileError } from '../ports.ts';
import type {
  FileChanges, FileStat, FileTime, FolderFile, FolderNode, FolderPort,
} from '../ports.ts';

/** Opens the place, not what is in it; Node does not name it. */
const placeOnly = 0o10000000;
const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY, O_CREAT, O_EXCL, O_DIRECTORY } =
  constants;
const permissions = 0o777;
const errorOf = { io: 5, exists: 17, invalid: 22, notPermitted: 1 } as const;

/** @throws Refusal `not-found` when there is no such folder, `unsupported` off Linux. */
export function hostFolder(path: string, readOnly: boolean): FolderPort {
  if (process.platform !== 'linux') {
    throw new Refusal('unsupported', 'Folders can be shared on Linux only.');
  }
  let root: number;
  try {
    root = openSync(path, placeOnly | O_DIRECTORY);
  } catch {
    throw new Refusal('not-found', `The folder “${path}” that is to be shared is not there.`);
  }
  return {
    readOnly,
    root: () => new HostNode(tried(() => openSync(named(root), placeOnly)), undefined, ''),
    space() {
      const { bsize, blocks, bavail, files, ffree } = tried(() =>
        statfsSync(named(root), { bigint: true }),
      );
      return {
        blockBytes: Number(bsize), total: blocks, free: bavail, files, filesFree: ffree,
      };
    },
  };
}

/** What a descriptor stands for, by a name that calls take. */
function named(fd: number, name?: string): string {
  return name === undefined ? `/proc/self/fd/${fd}` : `/proc/self/fd/${fd}/${name}`;
}

/** Linux's error numbers are the guest's too. */
function tried<T>(work: () => T): T {
  try {
    return work();
  } catch (thrown) {
    const number = (thrown as { errno?: unknown }).errno;
    throw new FileError(typeof number === 'number' ? -number : errorOf.io, String(thrown));
  }
}

class HostNode implements FolderNode {
  private readonly fd: number;
  private readonly above: HostNode | undefined;
  private readonly name: string;
  private users = 1;

  constructor(fd: number, above: HostNode | undefined, name: string) {
    this.fd = fd;
    this.above = above;
    this.name = name;
    above?.retain();
  }

  get parent(): FolderNode {
    return this.above ?? this;
  }

  names(): string[] {
    return this.above ? [...this.above.names(), this.name] : [];
  }

  retain(): this {
    this.users++;
    return this;
  }

  release(): void {
    if (--this.users > 0) return;
    closeSync(this.fd);
    this.above?.release();
  }

  private look(): BigIntStats {
    return tried(() => fstatSync(this.fd, { bigint: true }));
  }

  stat(): FileStat {
    const found = this.look();
    return {
      mode: Number(found.mode),
      inode: found.ino,
      links: found.nlink,
      size: found.size,
      blocks: found.blocks,
      owned: Number(found.uid) === process.getuid?.(),
      accessNs: found.atimeNs,
      modifyNs: found.mtimeNs,
      changeNs: found.ctimeNs,
    };
  }

  child(name: string): FolderNode {
    const fd = tried(() => openSync(named(this.fd, name), placeOnly | O_NOFOLLOW));
    return new HostNode(fd, this, name);
  }

  readLink(): string {
    if (!this.above) throw new FileError(errorOf.invalid, 'not a link');
    const { fd } = this.above;
    return tried(() => readlinkSync(named(fd, this.name)));
  }

  change({ mode, size, times }: FileChanges): void {
    if (mode !== undefined) tried(() => chmodSync(named(this.fd), mode & permissions));
    if (size !== undefined) {
      const fd = this.reopen(O_WRONLY);
      try {
        tried(() => ftruncateSync(fd, size));
      } finally {
        closeSync(fd);
      }
    }
    if (!times) return;
    const before = this.look();
    const seconds = (time: FileTime | undefined, kept: bigint) =>
      time === 'now' ? new Date() : (time ?? Number(kept) / 1e9);
    const access = seconds(times.access, before.atimeNs);
    const modify = seconds(times.modify, before.mtimeNs);
    tried(() => utimesSync(named(this.fd), access, modify));
  }

  list(): string[] {
    return tried(() => readdirSync(named(this.fd)));
  }

  open({ read, write, truncate }: Parameters<FolderNode['open']>[0]): FolderFile {
    const fd = this.reopen(flagsOf(read, write));
    if (truncate && write) tried(() => ftruncateSync(fd, 0));
    return new HostFile(fd);
  }

  /** Opening a pipe would wait, a device would do who knows what: neither is opened. */
  private reopen(flags: number): number {
    if (!isFile(this.look())) {
      throw new FileError(errorOf.notPermitted, 'not an ordinary file');
    }
    return tried(() => openSync(named(this.fd), flags | O_NONBLOCK));
  }

  create(name: string, how: Parameters<FolderNode['create']>[1]): FolderFile {
    const flags = flagsOf(how.read, how.write) | O_CREAT | O_EXCL | O_NOFOLLOW;
    return new HostFile(
      tried(() => openSync(named(this.fd, name), flags, how.mode & permissions)),
    );
  }

  makeDirectory(name: string, mode: number): void {
    tried(() => mkdirSync(named(this.fd, name), mode & permissions));
  }

  makeLink(name: string, target: string): void {
    tried(() => symlinkSync(target, named(this.fd, name)));
  }

  makeHardLink(name: string, to: FolderNode): void {
    const { above, name: oldName } = to as HostNode;
    if (!above) throw new FileError(errorOf.notPermitted, 'the folder itself');
    tried(() => linkSync(named(above.fd, oldName), named(this.fd, name)));
  }

  remove(name: string, directory: boolean): void {
    tried(() => (directory ? rmdirSync : unlinkSync)(named(this.fd, name)));
  }

  rename(name: string, into: FolderNode, newName: string): void {
    const { fd } = into as HostNode;
    tried(() => renameSync(named(this.fd, name), named(fd, newName)));
  }
}

class HostFile implements FolderFile {
  private readonly fd: number;

  constructor(fd: number) {
    this.fd = fd;
  }

  read(offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    const count = tried(() => readSync(this.fd, bytes, 0, length, offset));
    return bytes.subarray(0, count);
  }

  write(offset: number, bytes: Uint8Array): number {
    return tried(() => writeSync(this.fd, bytes, 0, bytes.length, offset));
  }

  flush(): void {
    tried(() => fsyncSync(this.fd));
  }

  close(): void {
    closeSync(this.fd);
  }
}

function flagsOf(read: boolean, write: boolean): number {
  return write ? (read ? O_RDWR : O_WRONLY) : O_RDONLY;
}

function isFile({ mode }: BigIntStats): boolean {
  return (Number(mode) & 0o170000) === 0o100000;
}
