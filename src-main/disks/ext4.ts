/**
 * A read-only look into ext2, ext3 and ext4: `openExt4(source)`, then `stat`, `readFile`, `list`
 * by path. Enough to tell what system is on a disk; it never writes and replays no journal.
 *
 * Handled: 64bit, flex_bg, meta_bg, extents and the old block map, inline data, hashed
 * directories (read as plain lists), symlinks followed inside the file system only. Checksums are
 * not verified: what is read is only shown, never trusted.
 *
 * Must hold: every block number is checked by the source; extent trees are at most 5 deep,
 * symlinks followed at most 40 times, files and directories read at most to the limit given.
 * (Linux Documentation/filesystems/ext4)
 */
import { Refusal } from '../base/refusal.ts';
import { textOf, viewOf } from './bytes.ts';
import { CachedSource, limited, type ByteSource } from './source.ts';

export interface FileStatus {
  kind: 'file' | 'directory' | 'symlink' | 'other';
  sizeBytes: number;
  /** Permission bits, 0 to 0o7777. */
  mode: number;
}

/** Any tree of files that can be asked by absolute path; symlinks are followed inside it. */
export interface FileTree {
  stat(path: string): Promise<FileStatus | undefined>;
  /** At most the first `limitBytes` bytes; undefined when there is no such regular file. */
  readFile(path: string, limitBytes: number): Promise<Uint8Array | undefined>;
}

export interface Ext4 extends FileTree {
  readonly label: string;
  readonly uuid: string;
  readonly sizeBytes: number;
  /** Names in a directory, without `.` and `..`; undefined when there is no such directory. */
  list(path: string): Promise<string[] | undefined>;
}

interface Inode {
  number: number;
  mode: number;
  sizeBytes: number;
  flags: number;
  block: Uint8Array; // the 60 bytes of i_block
  raw: Uint8Array;
}

const incompat = {
  compression: 0x1, journalDevice: 0x8, metaBg: 0x10, is64: 0x80, dirData: 0x1000,
  known: 0x3ffdf,
};
const inodeFlags = { encrypted: 0x800, extents: 0x80000, inlineData: 0x10000000 };
const directoryBytesMax = 16 * 2 ** 20;
const linksMax = 40;

export async function openExt4(source: ByteSource): Promise<Ext4> {
  return openSuperblock(new CachedSource(limited(source, 200_000, 512 * 2 ** 20)));
}

async function openSuperblock(source: ByteSource): Promise<Ext4Reader> {
  if (source.size < 2048) throw damaged('it is too short');
  const sb = await source.read(1024, 1024);
  const view = viewOf(sb);
  if (view.getUint16(56, true) !== 0xef53) throw damaged('its superblock is missing');
  const dynamic = view.getUint32(76, true) >= 1;
  const features = dynamic ? view.getUint32(96, true) : 0;
  refuseFeatures(features);
  const is64 = (features & incompat.is64) !== 0;
  const logBlock = view.getUint32(24, true);
  if (logBlock > 6) throw damaged('its block size is impossible');
  const blockBytes = 1024 << logBlock;
  const inodeBytes = dynamic ? view.getUint16(88, true) : 128;
  if (inodeBytes < 128 || inodeBytes > blockBytes || (inodeBytes & (inodeBytes - 1)) !== 0) {
    throw damaged('its inode size is impossible');
  }
  const descriptorBytes = is64 ? view.getUint16(254, true) : 32;
  if (descriptorBytes < 32 || descriptorBytes > blockBytes || descriptorBytes % 4 !== 0) {
    throw damaged('its group descriptors are impossible');
  }
  const inodesPerGroup = view.getUint32(40, true);
  const blocksPerGroup = view.getUint32(32, true);
  if (inodesPerGroup === 0 || blocksPerGroup === 0) throw damaged('its groups are empty');
  const blocks = view.getUint32(4, true) + (is64 ? view.getUint32(336, true) * 2 ** 32 : 0);
  return new Ext4Reader(source, {
    blockBytes, inodeBytes, inodesPerGroup, blocksPerGroup, is64,
    descriptorBytes,
    inodes: view.getUint32(0, true),
    firstDataBlock: view.getUint32(20, true),
    metaBg: (features & incompat.metaBg) !== 0,
    firstMetaBg: view.getUint32(260, true),
    sparseSuper: dynamic && (view.getUint32(100, true) & 1) !== 0,
    fileType: (features & 2) !== 0,
    label: textOf(sb.subarray(120, 136)),
    uuid: uuidOf(sb.subarray(104, 120)),
    sizeBytes: blocks * blockBytes,
  });
}

function refuseFeatures(features: number): void {
  const strange = features & ~incompat.known;
  if (features & incompat.journalDevice) {
    throw new Refusal('unsupported', 'This is only the journal of an ext file system.');
  }
  if (features & (incompat.compression | incompat.dirData) || strange !== 0) {
    throw new Refusal('unsupported', 'This ext4 file system uses features not known here.');
  }
}

function damaged(how: string): Refusal {
  return new Refusal('bad-input', `The ext file system is damaged: ${how}.`);
}

function uuidOf(bytes: Uint8Array): string {
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

interface Geometry {
  blockBytes: number;
  inodeBytes: number;
  inodesPerGroup: number;
  blocksPerGroup: number;
  descriptorBytes: number;
  inodes: number;
  firstDataBlock: number;
  metaBg: boolean;
  firstMetaBg: number;
  sparseSuper: boolean;
  is64: boolean;
  fileType: boolean;
  label: string;
  uuid: string;
  sizeBytes: number;
}

class Ext4Reader implements Ext4 {
  readonly label: string;
  readonly uuid: string;
  readonly sizeBytes: number;
  readonly #source: ByteSource;
  readonly #geometry: Geometry;

  constructor(source: ByteSource, geometry: Geometry) {
    this.#source = source;
    this.#geometry = geometry;
    this.label = geometry.label;
    this.uuid = geometry.uuid;
    this.sizeBytes = geometry.sizeBytes;
  }

  async stat(path: string): Promise<FileStatus | undefined> {
    const inode = await this.#find(path);
    if (!inode) return undefined;
    const kinds: Record<number, FileStatus['kind']> = {
      0x8000: 'file', 0x4000: 'directory', 0xa000: 'symlink',
    };
    const kind = kinds[inode.mode & 0xf000] ?? 'other';
    return { kind, sizeBytes: inode.sizeBytes, mode: inode.mode & 0o7777 };
  }

  async readFile(path: string, limitBytes: number): Promise<Uint8Array | undefined> {
    const inode = await this.#find(path);
    if (!inode || (inode.mode & 0xf000) !== 0x8000) return undefined;
    return this.#content(inode, limitBytes);
  }

  async list(path: string): Promise<string[] | undefined> {
    const inode = await this.#find(path);
    if (!inode || (inode.mode & 0xf000) !== 0x4000) return undefined;
    const names: string[] = [];
    await this.#entries(inode, (name) => {
      if (name !== '.' && name !== '..') names.push(name);
      return false;
    });
    return names;
  }

  /** The inode at `path`, the last symlink followed too. */
  async #find(path: string): Promise<Inode | undefined> {
    const left = parts(path).reverse();
    let trail: Inode[] = [await this.#inode(2)];
    let links = 0;
    let names = 0;
    while (left.length > 0) {
      if (++names > 4096) return undefined;
      const name = left.pop() as string;
      const here = trail[trail.length - 1] as Inode;
      if (name === '..') {
        if (trail.length > 1) trail.pop();
        continue;
      }
      if ((here.mode & 0xf000) !== 0x4000) return undefined;
      const next = await this.#child(here, name);
      if (next === undefined) return undefined;
      const inode = await this.#inode(next);
      if ((inode.mode & 0xf000) !== 0xa000) {
        trail.push(inode);
        continue;
      }
      if (++links > linksMax) return undefined;
      const target = await this.#target(inode);
      if (target.startsWith('/')) trail = trail.slice(0, 1);
      left.push(...parts(target).reverse());
    }
    return trail[trail.length - 1];
  }

  async #target(inode: Inode): Promise<string> {
    if (inode.sizeBytes > 4096) throw damaged('a symbolic link is too long');
    const fast = inode.sizeBytes < 60 &&
      !(inode.flags & (inodeFlags.inlineData | inodeFlags.extents));
    if (fast) return textOf(inode.block.subarray(0, inode.sizeBytes));
    return textOf(await this.#content(inode, 4096));
  }

  async #child(directory: Inode, wanted: string): Promise<number | undefined> {
    let found: number | undefined;
    await this.#entries(directory, (name, inode) => {
      if (name !== wanted) return false;
      found = inode;
      return true;
    });
    return found;
  }

  /** Calls `visit` for each entry until it says true. */
  async #entries(
    directory: Inode, visit: (name: string, inode: number) => boolean,
  ): Promise<void> {
    if (directory.flags & inodeFlags.inlineData) {
      // The first 4 bytes are the parent's number; the list follows, then its overflow.
      if (this.#scan(directory.block.subarray(4), visit)) return;
      this.#scan(this.#inlineOverflow(directory), visit);
      return;
    }
    const size = Math.min(directory.sizeBytes, directoryBytesMax);
    const blockBytes = this.#geometry.blockBytes;
    for (let block = 0; block * blockBytes < size; block++) {
      const physical = await this.#physical(directory, block);
      if (physical === 0) continue;
      const bytes = await this.#source.read(physical * blockBytes, blockBytes);
      if (this.#scan(bytes, visit)) return;
    }
  }

  #scan(bytes: Uint8Array, visit: (name: string, inode: number) => boolean): boolean {
    const view = viewOf(bytes);
    let at = 0;
    while (at + 8 <= bytes.length) {
      const inode = view.getUint32(at, true);
      const length = view.getUint16(at + 4, true);
      // The high byte of the name's length is the file type wherever that feature is on.
      const nameBytes = this.#geometry.fileType ? bytes[at + 6]! : view.getUint16(at + 6, true);
      const whole = length === 0xffff || length === 0 ? bytes.length - at : length;
      if (whole < 8 || at + whole > bytes.length) return false;
      if (inode !== 0 && nameBytes > 0 && 8 + nameBytes <= whole) {
        const name = textOf(bytes.subarray(at + 8, at + 8 + nameBytes));
        if (visit(name, inode)) return true;
      }
      at += whole;
    }
    return false;
  }

  async #inode(number: number): Promise<Inode> {
    const g = this.#geometry;
    if (number < 1 || number > g.inodes) throw damaged('an inode number is out of range');
    const group = Math.floor((number - 1) / g.inodesPerGroup);
    const descriptor = viewOf(await this.#descriptor(group));
    const high = g.is64 && g.descriptorBytes >= 64 ? descriptor.getUint32(0x28, true) : 0;
    const table = descriptor.getUint32(8, true) + high * 2 ** 32;
    const index = (number - 1) % g.inodesPerGroup;
    const raw = await this.#source.read(table * g.blockBytes + index * g.inodeBytes, g.inodeBytes);
    const view = viewOf(raw);
    const mode = view.getUint16(0, true);
    const isFile = (mode & 0xf000) === 0x8000 || (mode & 0xf000) === 0x4000;
    const sizeHigh = isFile ? view.getUint32(108, true) : 0;
    return {
      number, mode, raw,
      sizeBytes: view.getUint32(4, true) + sizeHigh * 2 ** 32,
      flags: view.getUint32(32, true),
      block: raw.subarray(40, 100),
    };
  }

  async #descriptor(group: number): Promise<Uint8Array> {
    const g = this.#geometry;
    const perBlock = Math.floor(g.blockBytes / g.descriptorBytes);
    const meta = Math.floor(group / perBlock);
    let block = g.firstDataBlock + 1 + meta;
    if (g.metaBg && meta >= g.firstMetaBg) {
      const first = meta * perBlock;
      const copy = !g.sparseSuper || holdsSuperblock(first) ? 1 : 0;
      block = g.firstDataBlock + first * g.blocksPerGroup + copy;
    }
    const position = block * g.blockBytes + (group % perBlock) * g.descriptorBytes;
    return this.#source.read(position, g.descriptorBytes);
  }

  async #content(inode: Inode, limitBytes: number): Promise<Uint8Array> {
    const length = Math.min(inode.sizeBytes, limitBytes);
    if (inode.flags & inodeFlags.encrypted) throw damaged('a file is encrypted');
    if (inode.flags & inodeFlags.inlineData) return this.#inline(inode, length);
    const out = new Uint8Array(length);
    const blockBytes = this.#geometry.blockBytes;
    for (let at = 0; at < length; at += blockBytes) {
      const physical = await this.#physical(inode, at / blockBytes);
      if (physical === 0) continue;
      const part = Math.min(blockBytes, length - at);
      out.set(await this.#source.read(physical * blockBytes, part), at);
    }
    return out;
  }

  #inline(inode: Inode, length: number): Uint8Array {
    const out = new Uint8Array(length); // what was never written reads as zeros
    out.set(inode.block.subarray(0, Math.min(60, length)));
    if (length > 60) out.set(this.#inlineOverflow(inode).subarray(0, length - 60), 60);
    return out;
  }

  /** The value of the `system.data` attribute inside the inode: inline data beyond 60 bytes. */
  #inlineOverflow(inode: Inode): Uint8Array {
    const { raw } = inode;
    const none = raw.subarray(0, 0);
    if (raw.length < 132) return none;
    const view = viewOf(raw);
    const start = 128 + view.getUint16(128, true);
    if (start + 4 > raw.length || view.getUint32(start, true) !== 0xea020000) return none;
    const base = start + 4;
    for (let at = base; at + 16 <= raw.length && view.getUint32(at, true) !== 0;) {
      const nameBytes = raw[at]!;
      const name = textOf(raw.subarray(at + 16, at + 16 + nameBytes));
      const from = base + view.getUint16(at + 2, true);
      const size = view.getUint32(at + 8, true);
      if (raw[at + 1] === 7 && name === 'data') {
        if (from + size > raw.length) throw damaged('inline data leaves its inode');
        return raw.subarray(from, from + size);
      }
      at += (16 + nameBytes + 3) & ~3;
    }
    return none;
  }

  /** The block that holds logical block `logical`, or 0 for a hole. */
  async #physical(inode: Inode, logical: number): Promise<number> {
    return inode.flags & inodeFlags.extents
      ? this.#extent(inode.block, logical, 0)
      : this.#mapped(inode.block, logical);
  }

  async #extent(node: Uint8Array, logical: number, depthSeen: number): Promise<number> {
    const view = viewOf(node);
    if (view.getUint16(0, true) !== 0xf30a) throw damaged('an extent tree is broken');
    const count = view.getUint16(2, true);
    const depth = view.getUint16(6, true);
    if (count * 12 + 12 > node.length) throw damaged('an extent tree is broken');
    if (depth + depthSeen > 5) throw damaged('an extent tree is too deep');
    let below = 0;
    for (let i = 1; i <= count; i++) {
      const at = i * 12;
      const first = view.getUint32(at, true);
      if (first > logical) break;
      if (depth > 0) {
        below = view.getUint32(at + 4, true) + view.getUint16(at + 8, true) * 2 ** 32;
        continue;
      }
      const length = view.getUint16(at + 4, true);
      // Above 32768 the extent is reserved but not written yet: it reads as zeros.
      if (length <= 32768 && logical < first + length) {
        const start = view.getUint16(at + 6, true) * 2 ** 32 + view.getUint32(at + 8, true);
        return start + (logical - first);
      }
    }
    if (below === 0) return 0;
    const blockBytes = this.#geometry.blockBytes;
    const child = await this.#source.read(below * blockBytes, blockBytes);
    if (viewOf(child).getUint16(6, true) !== depth - 1) throw damaged('an extent tree is broken');
    return this.#extent(child, logical, depthSeen + 1);
  }

  /** The map of ext2 and ext3: 12 direct blocks, then one, two and three levels of tables. */
  async #mapped(block: Uint8Array, logical: number): Promise<number> {
    const perBlock = this.#geometry.blockBytes / 4;
    const roots = viewOf(block);
    if (logical < 12) return roots.getUint32(logical * 4, true);
    let rest = logical - 12;
    for (let levels = 1; levels <= 3; levels++) {
      if (rest >= perBlock ** levels) {
        rest -= perBlock ** levels;
        continue;
      }
      let table = roots.getUint32((11 + levels) * 4, true);
      for (let level = levels - 1; level >= 0 && table !== 0; level--) {
        const index = Math.floor(rest / perBlock ** level) % perBlock;
        const position = table * this.#geometry.blockBytes + index * 4;
        table = viewOf(await this.#source.read(position, 4)).getUint32(0, true);
      }
      return table;
    }
    return 0;
  }
}

function parts(path: string): string[] {
  return path.split('/').filter((part) => part !== '' && part !== '.');
}

/** With sparse superblocks: groups 0, 1 and the powers of 3, 5 and 7. */
function holdsSuperblock(group: number): boolean {
  if (group <= 1) return true;
  return [3, 5, 7].some((base) => {
    let power = base;
    while (power < group) power *= base;
    return power === group;
  });
}
