/**
 * Partition tables: `readPartitions(source)` gives what an MBR (with its chain of logical
 * partitions) or a GPT says, in table order with Linux's numbering.
 *
 * A GPT is believed only with correct checksums; when the header at the front is broken, the one
 * at the end of the disk is used. Every chain and table has a limit; a partition that does not
 * fit into the disk is a `bad-input` refusal, because such a file is cut off. (UEFI 2.10, 5.3)
 */
import { Refusal } from '../base/refusal.ts';
import { crc32, hasAt, u64, viewOf } from './bytes.ts';
import type { ByteSource } from './source.ts';

export interface Partition {
  /** As the kernel counts: 1…128, logical ones from 5; 0 never appears here. */
  index: number;
  startByte: number;
  sizeBytes: number;
  /** `0x83`-like for MBR; a lower-case GUID for GPT. */
  type: string;
  /** The name in a GPT entry, if there is one. */
  name?: string;
}

export interface PartitionTable {
  scheme: 'none' | 'mbr' | 'gpt';
  partitions: Partition[];
  /** True when a GPT was read from its copy at the end of the disk. */
  fromBackup?: boolean;
}

const partitionsMax = 256;
const logicalMax = 60;

export async function readPartitions(source: ByteSource): Promise<PartitionTable> {
  const none: PartitionTable = { scheme: 'none', partitions: [] };
  if (source.size < 1024) return none;
  const sector = await source.read(0, 512);
  const hasMbr = hasAt(sector, 510, '\u0055\u00aa');
  const protective = hasMbr && [446, 462, 478, 494].some((at) => sector[at + 4] === 0xee);
  const gpt = await readGpt(source, protective);
  if (gpt) return checked(gpt, source.size);
  if (!hasMbr) return none;
  return checked(await readMbr(source, sector), source.size);
}

function checked(table: PartitionTable, size: number): PartitionTable {
  for (const { index, startByte, sizeBytes } of table.partitions) {
    if (startByte + sizeBytes > size) {
      throw new Refusal('bad-input', `The image is cut off or damaged: partition ${index} ends ` +
        'behind the end of the disk.');
    }
  }
  return table;
}

async function readGpt(
  source: ByteSource, protective: boolean,
): Promise<PartitionTable | undefined> {
  let seen = false;
  for (const sectorBytes of [512, 4096]) {
    if (source.size < 3 * sectorBytes) continue;
    const primary = await gptAt(source, sectorBytes, sectorBytes);
    if (primary?.partitions) return { scheme: 'gpt', partitions: primary.partitions };
    const lastStart = Math.floor(source.size / sectorBytes - 1) * sectorBytes;
    const backup = await gptAt(source, lastStart, sectorBytes);
    if (backup?.partitions) {
      return { scheme: 'gpt', partitions: backup.partitions, fromBackup: true };
    }
    if (primary ?? backup) seen = true;
  }
  if (!seen && !protective) return undefined;
  throw new Refusal('bad-input', 'The partition table (GPT) of this disk is damaged, ' +
    'and so is its copy at the end.');
}

/** Undefined: no header here. Without `partitions`: a header with a wrong checksum or field. */
async function gptAt(
  source: ByteSource, position: number, sectorBytes: number,
): Promise<{ partitions?: Partition[] } | undefined> {
  const header = await source.read(position, 512);
  if (!hasAt(header, 0, 'EFI PART')) return undefined;
  const view = viewOf(header);
  const headerBytes = view.getUint32(12, true);
  if (headerBytes < 92 || headerBytes > 512) return {};
  const unsigned = header.slice(0, headerBytes);
  unsigned.fill(0, 16, 20);
  if (crc32(unsigned) !== view.getUint32(16, true)) return {};
  if (view.getBigUint64(24, true) !== BigInt(position / sectorBytes)) return {};
  const entriesAt = view.getBigUint64(72, true) * BigInt(sectorBytes);
  const count = view.getUint32(80, true);
  const entryBytes = view.getUint32(84, true);
  if (entryBytes < 128 || entryBytes > 4096 || entryBytes % 8 !== 0) return {};
  if (count > 4096 || entriesAt + BigInt(count * entryBytes) > BigInt(source.size)) return {};
  const entries = await source.read(Number(entriesAt), count * entryBytes);
  if (crc32(entries) !== view.getUint32(88, true)) return {};
  return { partitions: gptEntries(entries, count, entryBytes, sectorBytes) };
}

function gptEntries(
  entries: Uint8Array, count: number, entryBytes: number, sectorBytes: number,
): Partition[] {
  const partitions: Partition[] = [];
  const view = viewOf(entries);
  for (let i = 0; i < count && partitions.length < partitionsMax; i++) {
    const at = i * entryBytes;
    const type = guid(entries.subarray(at, at + 16));
    if (type === '00000000-0000-0000-0000-000000000000') continue;
    const first = u64(view, at + 32, true);
    const last = u64(view, at + 40, true);
    if (last < first) throw new Refusal('bad-input', `Partition ${i + 1} ends before it begins.`);
    const name = utf16(entries.subarray(at + 56, at + 128));
    partitions.push({
      index: i + 1,
      startByte: first * sectorBytes,
      sizeBytes: (last - first + 1) * sectorBytes,
      type,
      ...(name ? { name } : {}),
    });
  }
  return partitions;
}

function guid(bytes: Uint8Array): string {
  const hex = (indexes: number[]): string =>
    indexes.map((i) => bytes[i]!.toString(16).padStart(2, '0')).join('');
  return [hex([3, 2, 1, 0]), hex([5, 4]), hex([7, 6]), hex([8, 9]), hex([10, 11, 12, 13, 14, 15])]
    .join('-');
}

function utf16(bytes: Uint8Array): string {
  let text = '';
  for (let i = 0; i + 1 < bytes.length; i += 2) {
    const unit = bytes[i]! | (bytes[i + 1]! << 8);
    if (unit === 0) break;
    text += String.fromCharCode(unit);
  }
  return text.toWellFormed();
}

async function readMbr(source: ByteSource, sector: Uint8Array): Promise<PartitionTable> {
  const partitions: Partition[] = [];
  let extended: { start: number; sectors: number } | undefined;
  mbrEntries(sector).forEach((entry, i) => {
    if (!entry) return;
    if (isExtended(entry.type)) extended ??= entry;
    else partitions.push(asPartition(i + 1, entry.start, entry.sectors, entry.type));
  });
  if (extended) partitions.push(...(await readLogical(source, extended.start)));
  return { scheme: partitions.length > 0 ? 'mbr' : 'none', partitions };
}

interface MbrEntry { start: number; sectors: number; type: number }

function mbrEntries(sector: Uint8Array): (MbrEntry | undefined)[] {
  const view = viewOf(sector);
  return [446, 462, 478, 494].map((at) => {
    const type = sector[at + 4]!;
    const start = view.getUint32(at + 8, true);
    const sectors = view.getUint32(at + 12, true);
    return type === 0 || sectors === 0 || start === 0 ? undefined : { start, sectors, type };
  });
}

function isExtended(type: number): boolean {
  return type === 0x05 || type === 0x0f || type === 0x85;
}

function asPartition(index: number, start: number, sectors: number, type: number): Partition {
  const hex = type.toString(16).padStart(2, '0');
  return { index, startByte: start * 512, sizeBytes: sectors * 512, type: `0x${hex}` };
}

/** The chain of logical partitions: each link names one partition and the next link. */
async function readLogical(source: ByteSource, base: number): Promise<Partition[]> {
  const partitions: Partition[] = [];
  const visited = new Set<number>();
  let link = base;
  while (partitions.length < logicalMax && !visited.has(link)) {
    visited.add(link);
    const sector = await source.read(link * 512, 512);
    if (!hasAt(sector, 510, '\u0055\u00aa')) break;
    const entries = mbrEntries(sector).filter((entry) => entry !== undefined);
    const data = entries.find((entry) => !isExtended(entry.type));
    if (data) {
      const index = 5 + partitions.length;
      partitions.push(asPartition(index, link + data.start, data.sectors, data.type));
    }
    const next = entries.find((entry) => isExtended(entry.type));
    if (!next) break;
    link = base + next.start;
  }
  return partitions;
}
