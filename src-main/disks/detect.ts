/**
 * What an image holds and whether it boots here: `inspect(source, …)` gives an `ImageReport` and
 * the disk inside. Content decides, never the name.
 *
 * `source` has its compression already off (see `node/open.ts`); its layers are passed in so that
 * the report can name them. Things that are no disk at all are refused with a sentence that says
 * what they are; a disk without a system that boots here gets a report whose verdict says why.
 */
import { Refusal } from '../base/refusal.ts';
import { humanBytes } from './bytes.ts';
import type { Codecs } from './codec.ts';
import { openExt4, type Ext4 } from './ext4.ts';
import { filesystemOf, filesystemSentence, recognise } from './magic.ts';
import { readPartitions, type Partition } from './partitions.ts';
import { backingRefusal, openQcow2, readQcow2Header, type BackingName } from './qcow2.ts';
import { SliceSource, type ByteSource } from './source.ts';
import { identifySystem, type SystemFacts } from './system.ts';
import { scanTar, type TarScan } from './tar.ts';

export interface ReportedPartition {
  index: number;
  startByte: number;
  sizeBytes: number;
  /** `0x83`-like (MBR) or a GUID in lower case (GPT). */
  type: string;
  /** ext4, vfat, swap…; undefined when nothing known was found. */
  filesystem?: string;
}

export interface ReportedRoot extends SystemFacts {
  /** The partition's number, or 0 when the file system fills the whole disk. */
  partition: number;
  filesystem: string;
  label?: string;
  uuid?: string;
}

export interface Verdict {
  native: boolean;
  portable: boolean;
  sentence: string;
}

export interface ImageReport {
  /** From the outside in, for instance `['xz', 'qcow2']` or `['gzip', 'tar']`. */
  layers: string[];
  kind: 'disk' | 'rootfs-tar';
  /** The size of the disk a machine sees; for a tar, of its unpacked files. */
  virtualBytes: number;
  /** The size of the file as it came. */
  storedBytes: number;
  partitionTable: 'none' | 'mbr' | 'gpt';
  partitions: ReportedPartition[];
  root?: ReportedRoot;
  /** The files this one builds on, as they are named in it; read only where they were lent. */
  backing?: string[];
  verdict: Verdict;
}

export interface InspectOptions {
  codecs: Codecs;
  /** Opens the file that a qcow2 image builds on, which its owner has agreed to. */
  lend?: (backing: BackingName) => Promise<ByteSource>;
  /** Wrappers already taken off, outermost first. */
  layers?: string[];
  storedBytes?: number;
  signal?: AbortSignal;
  onProgress?: (position: number) => void;
}

export interface Inspection {
  report: ImageReport;
  /** The plain disk, or the tar itself. */
  disk: ByteSource;
  /** For a tar: what the scan found. */
  tar?: TarScan;
  /** Why `disk` must not be used: it is a part only. */
  incomplete?: Refusal;
}

const filesystemHeadBytes = 0x11000;
const rootsTriedMax = 16;

export async function inspect(source: ByteSource, options: InspectOptions): Promise<Inspection> {
  if (source.size === 0) throw new Refusal('bad-input', 'The file is empty.');
  const layers = options.layers?.slice() ?? [];
  const storedBytes = options.storedBytes ?? source.size;
  let disk = source;
  let found = await recognise(disk);
  if (found.kind === 'qcow2') {
    layers.push('qcow2');
    const { backing, virtualBytes } = await readQcow2Header(source);
    if (backing && !options.lend) {
      return reportPart(source, backing, { layers, storedBytes, virtualBytes });
    }
    disk = await openQcow2(source, options.codecs, options.lend);
    if (disk.size === 0) throw new Refusal('bad-input', 'The disk inside this image is empty.');
    // What lies inside a container is a disk, whatever its first bytes may look like.
    found = { kind: 'partitioned' };
  } else if (found.kind === 'wrapper') {
    throw new Refusal('unsupported', 'This file is compressed too many times over.');
  } else if (found.kind === 'refused') {
    throw new Refusal('unsupported', found.sentence);
  } else if (found.kind === 'tar') {
    return inspectTar(source, [...layers, 'tar'], storedBytes, options);
  } else {
    layers.push('raw');
    if (found.kind === 'unknown') {
      throw new Refusal('unsupported', 'This is not a disk image: it has no partition table, ' +
        'no known file system and no known container format.');
    }
    if (found.kind === 'filesystem' && !found.filesystem.startsWith('ext')) {
      throw new Refusal('unsupported', filesystemSentence(found.filesystem));
    }
  }
  return { report: await reportDisk(disk, layers, storedBytes), disk };
}

/** An image that builds on a file which nobody has agreed to open. */
function reportPart(
  disk: ByteSource, backing: BackingName,
  facts: Pick<ImageReport, 'layers' | 'storedBytes' | 'virtualBytes'>,
): Inspection {
  const incomplete = backingRefusal(backing);
  const report: ImageReport = {
    ...facts,
    kind: 'disk',
    partitionTable: 'none',
    partitions: [],
    backing: [backing.name],
    verdict: { native: false, portable: false, sentence: incomplete.message },
  };
  return { report, disk, incomplete };
}

async function inspectTar(
  source: ByteSource, layers: string[], storedBytes: number, options: InspectOptions,
): Promise<Inspection> {
  const tar = await scanTar(source, options);
  const facts = await identifySystem(tar.tree);
  const root: ReportedRoot = { partition: 0, filesystem: 'tar', ...facts };
  if (!facts.init && !facts.architecture && !facts.osName) {
    throw new Refusal('unsupported', 'This tar holds no root file system: there is no init ' +
      'program, no shell and no os-release in it.');
  }
  const report: ImageReport = {
    layers, storedBytes, root,
    kind: 'rootfs-tar',
    virtualBytes: tar.contentBytes,
    partitionTable: 'none',
    partitions: [],
    verdict: judge(root),
  };
  return { report, disk: source, tar };
}

async function reportDisk(
  disk: ByteSource, layers: string[], storedBytes: number,
): Promise<ImageReport> {
  const whole = await filesystemAt(disk);
  // A boot sector inside a file system is no partition table, whatever its bytes look like.
  const table = whole
    ? { scheme: 'none' as const, partitions: [] }
    : await readPartitions(disk);
  const partitions: ReportedPartition[] = [];
  for (const partition of table.partitions) {
    const { index, startByte, sizeBytes, type } = partition;
    const filesystem = await filesystemAt(windowOf(disk, partition));
    partitions.push({ index, startByte, sizeBytes, type, ...(filesystem ? { filesystem } : {}) });
  }
  const { root, trouble } = await findRoot(disk, whole, partitions);
  return {
    layers, storedBytes, partitions,
    kind: 'disk',
    virtualBytes: disk.size,
    partitionTable: table.scheme,
    ...(root ? { root } : {}),
    verdict: root ? judge(root) : judgeWithout(whole, partitions, trouble),
  };
}

function windowOf(disk: ByteSource, part: Pick<Partition, 'startByte' | 'sizeBytes'>): ByteSource {
  return new SliceSource(disk, part.startByte, part.sizeBytes);
}

async function filesystemAt(source: ByteSource): Promise<string | undefined> {
  return filesystemOf(await source.read(0, Math.min(source.size, filesystemHeadBytes)));
}

/** The first ext file system with an init wins; then one with a system at all. */
async function findRoot(
  disk: ByteSource, whole: string | undefined, partitions: ReportedPartition[],
): Promise<{ root?: ReportedRoot; trouble?: Refusal }> {
  if (whole?.startsWith('ext')) return { root: await rootIn(disk, 0, whole) };
  let second: ReportedRoot | undefined;
  let trouble: Refusal | undefined;
  let tried = 0;
  for (const partition of partitions) {
    if (!partition.filesystem?.startsWith('ext') || ++tried > rootsTriedMax) continue;
    try {
      const window = windowOf(disk, partition);
      const root = await rootIn(window, partition.index, partition.filesystem);
      if (root.init) return { root };
      if (root.osName ?? root.architecture) second ??= root;
    } catch (thrown) {
      // One damaged partition does not hide a good one behind it.
      if (!(thrown instanceof Refusal)) throw thrown;
      trouble ??= thrown;
    }
  }
  return { root: second, trouble };
}

async function rootIn(
  source: ByteSource, partition: number, filesystem: string,
): Promise<ReportedRoot> {
  const ext4: Ext4 = await openExt4(source);
  if (ext4.sizeBytes > source.size) {
    throw new Refusal('bad-input', 'The image is cut off: its file system has ' +
      `${humanBytes(ext4.sizeBytes)}, and only ${humanBytes(source.size)} are there.`);
  }
  const facts = await identifySystem(ext4);
  return {
    partition, filesystem, ...facts,
    ...(ext4.label ? { label: ext4.label } : {}),
    ...(/[1-9a-f]/.test(ext4.uuid) ? { uuid: ext4.uuid } : {}),
  };
}

function judge(root: ReportedRoot): Verdict {
  const no = { native: false, portable: false };
  const name = root.osName ?? 'A Linux system';
  const { architecture } = root;
  if (!root.init) {
    return { ...no, sentence: root.osName || architecture
      ? `${name} without an init program: there is nothing that a kernel could start.`
      : 'A file system without a system on it: it can be attached as a second disk.' };
  }
  if (architecture === 'x86_64') {
    return { native: true, portable: false,
      sentence: `${name} for x86-64: boots on the native engine.` };
  }
  if (architecture === 'riscv64') {
    return { native: false, portable: true,
      sentence: `${name} for 64-bit RISC-V: boots on the portable engine.` };
  }
  if (architecture === undefined) {
    return { ...no, sentence: `${name}, but no program in it tells which processor it is for.` };
  }
  return { ...no, sentence: `${name} is made for ${architecture} processors; the engines here ` +
    'run x86-64 (native) and 64-bit RISC-V (portable).' };
}

function judgeWithout(
  whole: string | undefined, partitions: ReportedPartition[], trouble: Refusal | undefined,
): Verdict {
  const no = { native: false, portable: false };
  if (trouble) return { ...no, sentence: trouble.message };
  if (whole && partitions.length === 0) return { ...no, sentence: filesystemSentence(whole) };
  if (partitions.length === 0) {
    return { ...no, sentence: 'A disk without partitions or a known file system: it can be ' +
      'attached to a machine, and nothing boots from it.' };
  }
  const found = [...new Set(partitions.map((part) => part.filesystem ?? 'unknown'))].join(', ');
  const windows = partitions.some((part) => part.filesystem === 'ntfs');
  return { ...no, sentence: 'No Linux root file system (ext2, ext3 or ext4) was found; ' +
    `${windows ? 'this looks like a Windows disk with' : 'the partitions hold'} ${found}.` };
}
