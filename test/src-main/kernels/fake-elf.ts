/**
 * Makes tiny ELF files for tests: one loadable segment with a dynamic section, strings, version
 * tables and any text, and a section table. Nothing in them can run.
 */
export type FakeElf = {
  type?: 'executable' | 'library';
  interpreter?: string;
  needed?: string[];
  runPath?: string;
  /** Library → versions asked of it. */
  asks?: Record<string, string[]>;
  offers?: string[];
  sections?: string[];
  /** Lies in the file as the strings of a program do: NUL-terminated. */
  texts?: string[];
};

const base = 0x60000000;

export function makeElf(fake: FakeElf = {}): Uint8Array {
  const strings = new Strings();
  const needed = (fake.needed ?? []).map((name) => strings.add(name));
  const runPath = fake.runPath === undefined ? undefined : strings.add(fake.runPath);
  const asks = encodeAsks(fake.asks ?? {}, strings);
  const offers = encodeOffers(fake.offers ?? [], strings);
  const names = new Strings();
  const sections = ['', ...(fake.sections ?? []), '.shstrtab'].map((name) => names.add(name));

  const blob = new Blob();
  blob.skip(64 + 3 * 56);
  const loader = new TextEncoder().encode(`${fake.interpreter ?? ''}\0`);
  const interpreter = fake.interpreter === undefined ? 0 : blob.add(loader);
  const texts = (fake.texts ?? []).map((text) => `${text}\0`).join('');
  blob.add(new TextEncoder().encode(`\0${texts}`));
  const stringsAt = blob.add(strings.bytes());
  const asksAt = blob.add(asks);
  const offersAt = blob.add(offers);
  const pairs = (...list: [number, number][]) => list;
  const dynamic = pairs(
    ...needed.map((at): [number, number] => [1, at]),
    ...(runPath === undefined ? [] : pairs([29, runPath])),
    [5, base + stringsAt],
    [10, strings.bytes().length],
    ...(fake.asks
      ? pairs([0x6ffffffe, base + asksAt], [0x6fffffff, Object.keys(fake.asks).length])
      : []),
    ...(fake.offers
      ? pairs([0x6ffffffc, base + offersAt], [0x6ffffffd, fake.offers.length])
      : []),
    [0, 0],
  );
  const dynamicAt = blob.add(words64(dynamic.flat()));
  const namesAt = blob.add(names.bytes());
  const tableAt = blob.skip(sections.length * 64);
  const bytes = blob.bytes();
  const view = new DataView(bytes.buffer);

  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, fake.type === 'library' ? 3 : 2, true);
  view.setUint16(18, 62, true);
  setU64(view, 32, 64);
  setU64(view, 40, tableAt);
  view.setUint16(54, 56, true);
  view.setUint16(56, 3, true);
  view.setUint16(58, 64, true);
  view.setUint16(60, sections.length, true);
  view.setUint16(62, sections.length - 1, true);
  setSegment(view, 64, 1, 0, bytes.length);
  setSegment(view, 64 + 56, 2, dynamicAt, dynamic.length * 16);
  if (interpreter) setSegment(view, 64 + 112, 3, interpreter, (fake.interpreter ?? '').length + 1);
  sections.forEach((name, index) => view.setUint32(tableAt + index * 64, name, true));
  setU64(view, tableAt + (sections.length - 1) * 64 + 24, namesAt);
  setU64(view, tableAt + (sections.length - 1) * 64 + 32, names.bytes().length);
  return bytes;
}

/** What a real kernel says of itself, in a file that cannot run. */
export function makeKernel(
  options: FakeElf & { config?: string[]; version?: string } = {},
): Uint8Array {
  const always = ['CONFIG_UML=y', 'CONFIG_64BIT=y', 'CONFIG_BLK_DEV_INITRD=y'];
  const config = [...always, ...(options.config ?? [])];
  return makeElf({
    sections: ['.uml.setup.init'],
    ...options,
    texts: [
      ...config.map((line) => `${line}\n`),
      `Linux version ${options.version ?? '7.2.13-nymph'} (nymph@nymph) #1`,
      ...(options.texts ?? []),
    ],
  });
}

function encodeAsks(asks: Record<string, string[]>, strings: Strings): Uint8Array {
  const libraries = Object.entries(asks);
  const parts = libraries.flatMap(([library, versions], index) => {
    const size = 16 + versions.length * 16;
    const part = new DataView(new ArrayBuffer(size));
    part.setUint16(2, versions.length, true);
    part.setUint32(4, strings.add(library), true);
    part.setUint32(8, 16, true);
    part.setUint32(12, index + 1 < libraries.length ? size : 0, true);
    versions.forEach((version, each) => {
      part.setUint32(16 + each * 16 + 8, strings.add(version), true);
      part.setUint32(16 + each * 16 + 12, each + 1 < versions.length ? 16 : 0, true);
    });
    return [...new Uint8Array(part.buffer)];
  });
  return Uint8Array.from(parts);
}

function encodeOffers(offers: string[], strings: Strings): Uint8Array {
  const part = new DataView(new ArrayBuffer(offers.length * 28));
  offers.forEach((version, index) => {
    part.setUint32(index * 28 + 12, 20, true);
    part.setUint32(index * 28 + 16, index + 1 < offers.length ? 28 : 0, true);
    part.setUint32(index * 28 + 20, strings.add(version), true);
  });
  return new Uint8Array(part.buffer);
}

function setSegment(view: DataView, at: number, type: number, offset: number, size: number): void {
  view.setUint32(at, type, true);
  setU64(view, at + 8, offset);
  setU64(view, at + 16, base + offset);
  setU64(view, at + 32, size);
}

function setU64(view: DataView, at: number, value: number): void {
  view.setBigUint64(at, BigInt(value), true);
}

function words64(values: number[]): Uint8Array {
  return new Uint8Array(BigUint64Array.from(values, BigInt).buffer);
}

class Strings {
  #text = '\0';

  add(text: string): number {
    if (text === '') return 0;
    const at = this.#text.length;
    this.#text += `${text}\0`;
    return at;
  }

  bytes(): Uint8Array {
    return new TextEncoder().encode(this.#text);
  }
}

class Blob {
  #bytes: number[] = [];

  add(bytes: Uint8Array): number {
    const at = this.skip(0);
    for (const byte of bytes) this.#bytes.push(byte);
    return at;
  }

  /** Aligned to eight, as the real ones are. */
  skip(size: number): number {
    while (this.#bytes.length % 8 !== 0) this.#bytes.push(0);
    const at = this.#bytes.length;
    for (let index = 0; index < size; index += 1) this.#bytes.push(0);
    return at;
  }

  bytes(): Uint8Array<ArrayBuffer> {
    return Uint8Array.from(this.#bytes);
  }
}
