/**
 * Reads what is needed of an ELF executable or library (64 bit, little endian, x86-64): its
 * interpreter, the libraries and symbol versions it needs, the versions it offers, the names of
 * its sections. The file may be hostile: every offset and count is checked against the file and a
 * limit, and nothing is executed.
 *
 * Use: `readElf(bytes)`; throws Refusal `bad-input` for anything that is no such file.
 */
import { Refusal } from '../base/refusal.ts';

export type Elf = {
  readonly type: 'executable' | 'library';
  /** PT_INTERP; absent in a static executable and in most libraries. */
  readonly interpreter?: string;
  readonly needed: readonly string[];
  /** DT_RUNPATH or DT_RPATH, split at colons. */
  readonly runPath: readonly string[];
  /** Library → symbol versions asked of it, such as `GLIBC_2.34`. */
  readonly neededVersions: ReadonlyMap<string, readonly string[]>;
  readonly offeredVersions: readonly string[];
  /** Empty when the section table was removed. */
  readonly sections: readonly string[];
};

const limits = { headers: 512, sections: 4096, dynamic: 4096, versions: 4096, text: 4096 };
const segment = { load: 1, dynamic: 2, interpreter: 3 };
const tag = {
  needed: 1,
  stringTable: 5,
  stringSize: 10,
  rpath: 15,
  runpath: 29,
  versionOffer: 0x6ffffffc,
  versionOfferCount: 0x6ffffffd,
  versionNeed: 0x6ffffffe,
  versionNeedCount: 0x6fffffff,
};

type Segment = { type: number; offset: number; address: number; fileSize: number };
type Window = { start: number; end: number };

export function isElf(head: Uint8Array): boolean {
  return head[0] === 0x7f && head[1] === 0x45 && head[2] === 0x4c && head[3] === 0x46;
}

export function readElf(bytes: Uint8Array): Elf {
  if (!isElf(bytes)) throw new Refusal('bad-input', 'This is not an ELF file.');
  const file = new ElfBytes(bytes);
  if (file.u8(4) !== 2 || file.u8(5) !== 1 || file.u16(18) !== 62) {
    throw new Refusal('bad-input', 'This ELF file is not for x86-64.');
  }
  const type = file.u16(16);
  if (type !== 2 && type !== 3) {
    throw new Refusal('bad-input', 'This ELF file is neither a program nor a library.');
  }
  const segments = readSegments(file);
  const interpreter = segments.find((each) => each.type === segment.interpreter);
  const dynamic = readDynamic(file, segments);
  return {
    type: type === 2 ? 'executable' : 'library',
    ...(interpreter === undefined
      ? {}
      : {
          interpreter: file.text(interpreter.offset, {
            start: interpreter.offset,
            end: interpreter.offset + interpreter.fileSize,
          }),
        }),
    ...dynamic,
    sections: readSections(file),
  };
}

function readSegments(file: ElfBytes): Segment[] {
  const offset = file.u64(32);
  const size = file.u16(54);
  const count = file.u16(56);
  if (count > limits.headers || (count > 0 && size < 56)) throw broken();
  return Array.from({ length: count }, (_, index) => {
    const at = offset + index * size;
    return {
      type: file.u32(at),
      offset: file.u64(at + 8),
      address: file.u64(at + 16),
      fileSize: file.u64(at + 32),
    };
  });
}

function readSections(file: ElfBytes): string[] {
  const offset = file.u64(40);
  const size = file.u16(58);
  const count = file.u16(60);
  const namesIndex = file.u16(62);
  if (offset === 0 || count === 0) return [];
  if (count > limits.sections || size < 64 || namesIndex >= count) throw broken();
  const names = offset + namesIndex * size;
  const start = file.u64(names + 24);
  const window = { start, end: start + file.u64(names + 32) };
  return Array.from({ length: count }, (_, index) =>
    file.text(start + file.u32(offset + index * size), window),
  );
}

type Dynamic = Pick<Elf, 'needed' | 'runPath' | 'neededVersions' | 'offeredVersions'>;

function readDynamic(file: ElfBytes, segments: readonly Segment[]): Dynamic {
  const table = segments.find((each) => each.type === segment.dynamic);
  const entries: { tag: number; value: number }[] = [];
  const count = Math.min(Math.floor((table?.fileSize ?? 0) / 16), limits.dynamic);
  for (let index = 0; table !== undefined && index < count; index += 1) {
    const at = table.offset + index * 16;
    const entry = { tag: file.u64(at), value: file.u64(at + 8) };
    if (entry.tag === 0) break;
    entries.push(entry);
  }
  const valueOf = (wanted: number) => entries.find((entry) => entry.tag === wanted)?.value;
  const stringsAt = valueOf(tag.stringTable);
  if (stringsAt === undefined) {
    return { needed: [], runPath: [], neededVersions: new Map(), offeredVersions: [] };
  }
  const start = fileOffset(segments, stringsAt);
  const strings = { start, end: start + (valueOf(tag.stringSize) ?? 0) };
  const textsOf = (wanted: number) =>
    entries
      .filter((entry) => entry.tag === wanted)
      .map((entry) => file.text(start + entry.value, strings));
  const chain = (at: number | undefined, length: number | undefined) =>
    at === undefined ? undefined : { at: fileOffset(segments, at), count: length ?? 0 };
  const needs = chain(valueOf(tag.versionNeed), valueOf(tag.versionNeedCount));
  const offers = chain(valueOf(tag.versionOffer), valueOf(tag.versionOfferCount));
  const paths = textsOf(tag.runpath);
  return {
    needed: textsOf(tag.needed),
    runPath: (paths.length > 0 ? paths : textsOf(tag.rpath)).flatMap((path) => path.split(':')),
    neededVersions: needs === undefined ? new Map() : readNeeds(file, strings, needs),
    offeredVersions: offers === undefined ? [] : readOffers(file, strings, offers),
  };
}

type Chain = { at: number; count: number };

/** Elf64_Verneed: a library each, with a chain of Elf64_Vernaux. */
function readNeeds(file: ElfBytes, strings: Window, chain: Chain): Map<string, string[]> {
  const needs = new Map<string, string[]>();
  let total = 0;
  let at = chain.at;
  for (let index = 0; index < chain.count && (total += 1) <= limits.versions; index += 1) {
    const library = file.text(strings.start + file.u32(at + 4), strings);
    const versions: string[] = needs.get(library) ?? [];
    let aux = at + file.u32(at + 8);
    for (let each = file.u16(at + 2); each > 0 && (total += 1) <= limits.versions; each -= 1) {
      versions.push(file.text(strings.start + file.u32(aux + 8), strings));
      aux += file.u32(aux + 12);
    }
    needs.set(library, versions);
    const next = file.u32(at + 12);
    if (next === 0) break;
    at += next;
  }
  return needs;
}

/** Elf64_Verdef: a version each, its name in the first Elf64_Verdaux. */
function readOffers(file: ElfBytes, strings: Window, chain: Chain): string[] {
  const offers: string[] = [];
  let at = chain.at;
  for (let index = 0; index < chain.count && index < limits.versions; index += 1) {
    offers.push(file.text(strings.start + file.u32(at + file.u32(at + 12)), strings));
    const next = file.u32(at + 16);
    if (next === 0) break;
    at += next;
  }
  return offers;
}

function fileOffset(segments: readonly Segment[], address: number): number {
  const home = segments.find(
    (each) =>
      each.type === segment.load &&
      address >= each.address &&
      address < each.address + each.fileSize,
  );
  if (home === undefined) throw broken();
  return home.offset + (address - home.address);
}

function broken(): Refusal {
  return new Refusal('bad-input', 'This ELF file is damaged.');
}

/** Reads that throw a refusal instead of leaving the file. */
class ElfBytes {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  u8(at: number): number {
    return this.#view.getUint8(this.#check(at, 1));
  }

  u16(at: number): number {
    return this.#view.getUint16(this.#check(at, 2), true);
  }

  u32(at: number): number {
    return this.#view.getUint32(this.#check(at, 4), true);
  }

  /** Values past 2^53 lose their low bits, which lie outside of any file anyway. */
  u64(at: number): number {
    return Number(this.#view.getBigUint64(this.#check(at, 8), true));
  }

  /** A NUL-terminated text within a window of the file. */
  text(at: number, window: Window): string {
    const end = Math.min(window.end, this.#bytes.length, at + limits.text);
    if (at < window.start || at >= end) throw broken();
    const stop = this.#bytes.subarray(at, end).indexOf(0);
    if (stop < 0) throw broken();
    return new TextDecoder().decode(this.#bytes.subarray(at, at + stop));
  }

  #check(at: number, size: number): number {
    if (!Number.isSafeInteger(at) || at < 0 || at + size > this.#bytes.length) throw broken();
    return at;
  }
}
