/**
 * Reads 64-bit little-endian RISC-V ELF executables: where their segments go. Everything in the
 * file is checked against the file's own length; addresses are checked by whoever loads.
 */
import { Refusal } from '../../../base/refusal.ts';

export interface Segment {
  address: bigint;
  bytes: Uint8Array;
  memoryBytes: number;
}

export interface Elf {
  entry: bigint;
  segments: Segment[];
  symbols: Map<string, bigint>;
}

export function isElf(file: Uint8Array): boolean {
  return file[0] === 0x7f && file[1] === 0x45 && file[2] === 0x4c && file[3] === 0x46;
}

const segmentLimit = 64;
const symbolLimit = 200_000;

export function readElf(file: Uint8Array): Elf {
  const bad = (what: string) => new Refusal('bad-input', `The ELF file ${what}.`);
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (file.length < 64 || !isElf(file)) throw bad('has no ELF header');
  if (file[4] !== 2 || file[5] !== 1 || view.getUint16(18, true) !== 243) {
    throw bad('is not for 64-bit RISC-V');
  }
  const offset = Number(view.getBigUint64(32, true));
  const count = view.getUint16(56, true);
  const size = view.getUint16(54, true);
  if (count > segmentLimit || size < 56) throw bad('has a bad program header table');
  if (offset + count * size > file.length) throw bad('ends inside its program headers');
  const segments: Segment[] = [];
  for (let n = 0; n < count; n++) {
    const at = offset + n * size;
    if (view.getUint32(at, true) !== 1) continue;
    const from = Number(view.getBigUint64(at + 8, true));
    const length = Number(view.getBigUint64(at + 32, true));
    const memoryBytes = Number(view.getBigUint64(at + 40, true));
    if (from + length > file.length || memoryBytes < length) throw bad('ends inside a segment');
    const address = view.getBigUint64(at + 24, true);
    segments.push({ address, bytes: file.subarray(from, from + length), memoryBytes });
  }
  const entry = view.getBigUint64(24, true);
  return { entry, segments, symbols: readSymbols(file, view) };
}

/** The symbol table, as far as it is sound; a broken one is an empty one. */
function readSymbols(file: Uint8Array, view: DataView): Map<string, bigint> {
  const symbols = new Map<string, bigint>();
  const offset = Number(view.getBigUint64(40, true));
  const size = view.getUint16(58, true);
  const count = view.getUint16(60, true);
  if (offset === 0 || size < 64 || offset + size * count > file.length) return symbols;
  const header = (n: number) => {
    const at = offset + n * size;
    return {
      type: view.getUint32(at + 4, true),
      from: Number(view.getBigUint64(at + 24, true)),
      length: Number(view.getBigUint64(at + 32, true)),
      link: view.getUint32(at + 40, true),
    };
  };
  for (let n = 0; n < count; n++) {
    const table = header(n);
    if (table.type !== 2 || table.link >= count) continue;
    const names = header(table.link);
    const end = Math.max(table.from + table.length, names.from + names.length);
    if (end > file.length) continue;
    const last = table.from + Math.min(table.length, symbolLimit * 24);
    for (let at = table.from; at + 24 <= last; at += 24) {
      const name = view.getUint32(at, true);
      if (name === 0 || name >= names.length) continue;
      const from = names.from + name;
      const zero = file.indexOf(0, from);
      if (zero < 0 || zero - from > 256) continue;
      const text = new TextDecoder().decode(file.subarray(from, zero));
      symbols.set(text, view.getBigUint64(at + 8, true));
    }
  }
  return symbols;
}
