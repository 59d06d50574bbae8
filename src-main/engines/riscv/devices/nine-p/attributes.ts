/**
 * Files as 9P2000.L tells of them: qid (type[1] version[4] path[8]), attributes, directory entries.
 * A file of the machine's owner is root's in the guest, every other one nobody's.
 */
import { FileError } from '../../ports.ts';
import type { FileChanges, FileStat, FileTime, FolderNode } from '../../ports.ts';
import { Writer, headerBytes } from './message.ts';
import type { Reader } from './message.ts';

const basic = 0x7ffn;
const nobody = 65534;
const typeMask = 0o170000;
const directory = 0o040000;
const link = 0o120000;
const second = 1_000_000_000n;

/** The bits of a request to change attributes. */
const valid = {
  mode: 1, uid: 2, gid: 4, size: 8, access: 0x10, modify: 0x20, accessSet: 0x80, modifySet: 0x100,
} as const; // prettier-ignore
const denied = 1;

export function writeQid(to: Writer, { mode, inode, changeNs }: FileStat): void {
  const kind = mode & typeMask;
  to.u8(kind === directory ? 0x80 : kind === link ? 0x02 : 0);
  to.u32(Number(BigInt.asUintN(32, changeNs))).u64(inode);
}

export function writeAttributes(to: Writer, stat: FileStat): void {
  const owner = stat.owned ? 0 : nobody;
  to.u64(basic);
  writeQid(to, stat);
  to.u32(stat.mode).u32(owner).u32(owner).u64(stat.links).u64(0n).u64(stat.size);
  to.u64(4096n).u64(stat.blocks);
  for (const ns of [stat.accessNs, stat.modifyNs, stat.changeNs, 0n]) {
    to.u64(ns / second).u64(ns % second);
  }
  to.u64(0n).u64(0n);
}

/** Owners cannot be changed: to root, which is the owner of all it makes, is no change. */
export function changesOf(from: Reader): FileChanges {
  const what = from.u32();
  const mode = from.u32();
  const owners = [
    [what & valid.uid, from.u32()],
    [what & valid.gid, from.u32()],
  ] as const;
  if (owners.some(([asked, owner]) => asked !== 0 && owner !== 0)) {
    throw new FileError(denied, 'owners stay');
  }
  const size = Number(from.u64());
  const time = (asked: number, given: number): FileTime | undefined => {
    const seconds = Number(from.u64()) + Number(from.u64()) / 1e9;
    return (what & given) !== 0 ? seconds : (what & asked) !== 0 ? 'now' : undefined;
  };
  const access = time(valid.access, valid.accessSet);
  const modify = time(valid.modify, valid.modifySet);
  return {
    ...((what & valid.mode) === 0 ? {} : { mode }),
    ...((what & valid.size) === 0 ? {} : { size }),
    ...(access === undefined && modify === undefined ? {} : { times: { access, modify } }),
  };
}

/** Entries of a directory from `offset` on, as many as go into `room` bytes. */
export function writeEntries(
  node: FolderNode,
  names: readonly string[],
  offset: bigint,
  room: number,
): Uint8Array {
  const entries = new Writer();
  for (let at = Number(offset); at < names.length; at++) {
    const one = new Writer();
    try {
      const stat = statOf(node, names[at]!);
      writeQid(one, stat);
      one.u64(BigInt(at + 1)).u8((stat.mode & typeMask) >> 12).text(names[at]!);
    } catch (thrown) {
      // It went while the directory was read.
      if (thrown instanceof FileError) continue;
      throw thrown;
    }
    const bytes = one.done(0, 0).subarray(headerBytes);
    if (entries.length - headerBytes + bytes.length > room) break;
    entries.data(bytes);
  }
  return entries.done(0, 0).subarray(headerBytes);
}

function statOf(node: FolderNode, name: string): FileStat {
  if (name === '.') return node.stat();
  if (name === '..') return node.parent.stat();
  const child = node.child(name);
  try {
    return child.stat();
  } finally {
    child.release();
  }
}
