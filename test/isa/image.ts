/**
 * Random programs side by side in one image of RAM, which interpreter, translator and QEMU run
 * alike: it starts at 0x8000_0000 in M-mode, runs one program after another, each in its slot and
 * mode, steps over what traps, notes where each program ended up, and powers off. What an engine
 * did is what RAM holds then, byte for byte.
 *
 * A slot, in pages: 0 what its program starts with, ends with and its constants; 1–2 code; 3–6
 * data; 7–9 its page tables, which show the data again and again at `windowBase`, in another order
 * and with other rights.
 */
import { assemble } from './assemble.ts';
import type { Item, Mode } from './items.ts';
import { generator, pick, wideNumber } from './random.ts';

export interface Program {
  seed: number;
  mode: Mode;
  loops: { times: number; items: Item[] }[];
}

export const ramMib = 64;
const ramBase = 0x8000_0000;
const pageBytes = 4096;
const firstSlot = 0x1_0000;
const slotBytes = 10 * pageBytes;
/** QEMU keeps its device tree in the last 2 MiB. */
export const slotsMax = Math.floor(((ramMib - 2) * 0x10_0000 - firstSlot) / slotBytes);

const at = {
  x: 0, f: 0x100, status: 0x200, satp: 0x208, start: 0x210, end: 0x218, fcsr: 0x220, next: 0x228,
  hash: 0x230, factor: 0x238, traps: 0x240, saved: 0x248,
  cause: 0x260, address: 0x268,
  endX: 0x400, endF: 0x500, endCsr: 0x600, entries: 0x700, spaces: 0x740, constants: 0x800,
} as const; // prettier-ignore
const page = { code: 1, data: 3, small: 7, middle: 8, root: 9 } as const;
const codeBytesMax = 2 * pageBytes;

/** x3 points at the constants; what stands before them, from there. */
export const entriesOffset = at.entries - at.constants;
export const spacesOffset = at.spaces - at.constants;
export const windowBase = 0x4000_0000;
/** Pages of the window: the one with the entries, and those that programs map anew. */
export const smallPages = { table: 7, changing: [4, 5, 6, 9] } as const;

const endCsrs = ['fcsr', 'sscratch', 'sepc', 'scause', 'stval', 'stvec'];
const times32 = (line: (n: number) => string, from = 0) =>
  Array.from({ length: 32 - from }, (_, n) => line(n + from)).join('\n');

const copy = (read: string, to: number) => `${read}\nsd x8, ${to}(x31)\n`;

const boot = `
  auipc x31, ${firstSlot}
  csrrs x5, mhartid, zero
  bne x5, zero, park
  auipc x5, 0
  addi x5, x5, 1012
  csrrw zero, mtvec, x5
  addi x5, zero, -1
  csrrw zero, 0x3b0, x5
  addi x6, zero, 31
  csrrw zero, 0x3a0, x6
  csrrw zero, menvcfg, x5
  csrrw zero, 0x10a, x5
  csrrw zero, medeleg, zero
  csrrw zero, mideleg, zero
  csrrw zero, mie, zero
  csrrw zero, mcounteren, zero
  csrrw zero, 0x106, zero
start:
  csrrw zero, mscratch, x31
  ld x5, ${at.satp}(x31)
  csrrw zero, satp, x5
  ld x5, ${at.status}(x31)
  csrrw zero, mstatus, x5
  ${endCsrs.slice(1).map((name) => `csrrw zero, ${name}, zero`).join('\n')}
  ld x5, ${at.fcsr}(x31)
  csrrw zero, fcsr, x5
  ld x5, ${at.start}(x31)
  csrrw zero, mepc, x5
  ${times32((n) => `fld f${n}, ${at.f + n * 8}(x31)`)}
  ${times32((n) => `ld x${n}, ${at.x + n * 8}(x31)`, 1)}
  mret
`;

/** How the handler comes by the value of each register but x31; into x5. */
const registers = [
  ...Array.from({ length: 30 }, (_, n) => {
    const saved = n + 1 >= 5 && n + 1 <= 7;
    return saved ? `ld x5, ${at.saved + (n - 4) * 8}(x31)` : `addi x5, x${n + 1}, 0`;
  }),
  'csrrs x5, mscratch, zero',
  'csrrs x5, fcsr, zero',
  ...Array.from({ length: 32 }, (_, n) => `fmv.x.d x5, f${n}`),
];

/**
 * Mixes pc, cause and what mtval says of each trap into the slot's hash: the bits of an illegal
 * instruction, else the page, since QEMU aligns some addresses first. An ecall mixes in all
 * registers, so that a wrong value is seen even when it is written over later.
 */
const handler = `
  csrrw x31, mscratch, x31
  sd x5, ${at.saved}(x31)
  sd x6, ${at.saved + 8}(x31)
  sd x7, ${at.saved + 16}(x31)
  csrrs x5, mepc, zero
  ld x6, ${at.end}(x31)
  beq x5, x6, finish
  ld x6, ${at.hash}(x31)
  ld x7, ${at.factor}(x31)
  xor x6, x6, x5
  mul x6, x6, x7
  csrrs x5, mcause, zero
  xor x6, x6, x5
  mul x6, x6, x7
  sd x5, ${at.cause}(x31)
  addi x5, x5, -3
  beq x5, zero, mixed
  addi x5, x5, 1
  csrrs x7, mtval, zero
  beq x5, zero, exact
  srli x7, x7, 12
exact:
  sd x7, ${at.address}(x31)
  xor x6, x6, x7
  ld x7, ${at.factor}(x31)
  mul x6, x6, x7
mixed:
  ld x5, ${at.cause}(x31)
  andi x5, x5, 8
  beq x5, zero, told
  csrrs x5, mcause, zero
  sltiu x5, x5, 12
  beq x5, zero, told
  ld x7, ${at.factor}(x31)
  ${registers.map((read) => `${read}\nxor x6, x6, x5\nmul x6, x6, x7`).join('\n')}
told:
  srli x7, x6, 29
  xor x6, x6, x7
  sd x6, ${at.hash}(x31)
  ld x6, ${at.traps}(x31)
  addi x6, x6, 1
  sd x6, ${at.traps}(x31)
  csrrs x5, mcause, zero
  addi x6, zero, 12
  beq x5, x6, nowhere
  sltiu x6, x5, 2
  bne x6, zero, nowhere
  csrrs x5, mepc, zero
  lhu x6, 0(x5)
  andi x6, x6, 3
  addi x6, x6, -3
  sltiu x6, x6, 1
  slli x6, x6, 1
  add x5, x5, x6
  addi x5, x5, 2
  jal zero, resume
nowhere:
  addi x5, x29, 0
resume:
  csrrw zero, mepc, x5
  ld x5, ${at.saved}(x31)
  ld x6, ${at.saved + 8}(x31)
  ld x7, ${at.saved + 16}(x31)
  csrrw x31, mscratch, x31
  mret
finish:
  ${times32((n) => (n >= 5 && n <= 7 ? '' : `sd x${n}, ${at.endX + n * 8}(x31)`), 1)}
  ${[5, 6, 7].map((n) => copy(`ld x8, ${at.saved + (n - 5) * 8}(x31)`, at.endX + n * 8)).join('')}
  csrrs x5, mscratch, zero
  sd x5, ${at.endX + 31 * 8}(x31)
  li x5, 0x6000
  csrrs zero, mstatus, x5
  ${times32((n) => `fsd f${n}, ${at.endF + n * 8}(x31)`)}
  ${endCsrs.map((name, n) => copy(`csrrs x8, ${name}, zero`, at.endCsr + n * 8)).join('')}
  ld x31, ${at.next}(x31)
  bne x31, zero, start
  li x5, 0x5555
  li x6, 0x100000
  sw x5, 0(x6)
park:
  wfi
  jal zero, park
`;

/** The handler stands where the boot code says: 0x400 from the start. */
const running = assemble(`${boot}${'nop\n'.repeat(256 - assemble(boot).length)}${handler}`);

export function imageOf(programs: readonly Program[]): Uint8Array {
  const bytes = new Uint8Array(imageBytes(programs.length));
  const view = new DataView(bytes.buffer);
  running.forEach((word, n) => view.setUint32(n * 4, word, true));
  programs.forEach((program, n) => {
    const offset = firstSlot + n * slotBytes;
    fillSlot(new DataView(bytes.buffer, offset, slotBytes), ramBase + offset, program, n);
    const next = n + 1 < programs.length ? BigInt(ramBase + offset + slotBytes) : 0n;
    view.setBigUint64(offset + at.next, next, true);
  });
  return bytes;
}

export const imageBytes = (programs: number) => firstSlot + programs * slotBytes;

function fillSlot(slot: DataView, address: number, program: Program, index: number): void {
  const random = generator(program.seed + 77);
  const put = (offset: number, value: bigint) =>
    slot.setBigUint64(offset, BigInt.asUintN(64, value), true);
  for (let n = 0; n < 64; n++) put(at.x + n * 8, wideNumber(random));
  const [data, dataEnd] = [page.data * pageBytes, page.small * pageBytes];
  for (let offset = data; offset < dataEnd; offset += 8) put(offset, wideNumber(random));
  const code = codeOf(program);
  if (code.bytes.length > codeBytesMax) throw new Error(`seed ${program.seed} is too long`);
  new Uint8Array(slot.buffer, slot.byteOffset + page.code * pageBytes).set(code.bytes);
  code.constants.forEach((value, n) => put(at.constants + n * 8, value));
  const start = address + page.code * pageBytes;
  const end = start + code.bytes.length - 4;
  put(at.start, BigInt(start));
  put(at.end, BigInt(end));
  put(at.status, (BigInt(program.mode) << 11n) | 0x6000n);
  put(at.fcsr, BigInt(random(5) << 5));
  put(at.factor, 0x9e37_79b9_7f4a_7c15n);
  put(at.x + 3 * 8, BigInt(address + at.constants));
  put(at.x + 29 * 8, BigInt(end));
  pointersOf(program, address).forEach((value, register) => put(at.x + register * 8, value));
  fillTables(put, address, program.mode, index);
}

function pointersOf({ mode, seed }: Program, address: number): Map<number, bigint> {
  const random = generator(seed + 5);
  const data = (n: number) => BigInt(address + (page.data + n) * pageBytes);
  const small = (n: number) => BigInt(windowBase + n * pageBytes);
  if (mode === 3) {
    const odd = data(3) - BigInt(random(16));
    return new Map([[2, data(1) - 64n], [8, data(2) - 8n], [9, odd], [18, data(2) + 1024n]]);
  }
  const strange = [
    small(4) - 16n, small(5) - 8n, small(6) - 4n, small(6) + 512n, small(4) + 32n,
    small(8) + 2048n, small(9) + 2048n, small(2) - 3n,
  ]; // prettier-ignore
  return new Map([
    [2, small(1) - 64n],
    [8, small(2) - 8n],
    [9, pick(random, strange)],
    [18, small(3) + 1024n],
  ]);
}

type Put = (offset: number, value: bigint) => void;

function fillTables(put: Put, address: number, mode: Mode, index: number): void {
  const u = mode === 0 ? 0x10n : 0n;
  const entry = (n: number, bits: bigint) =>
    (BigInt((address + n * pageBytes) / pageBytes) << 10n) | bits;
  const data = (n: number, bits: bigint) => entry(page.data + n, bits | u);
  const [full, readOnly, fresh, execute] = [0xc7n, 0x43n, 0x07n, 0x49n];
  const others = entry(page.data + 1, full | (u ^ 0x10n));
  const window = [
    data(0, full), data(1, full), data(0, full), data(2, full), data(1, readOnly), 0n,
    data(3, fresh), entry(page.small, full | u), data(0, execute), others,
  ]; // prettier-ignore
  window.forEach((value, n) => put(page.small * pageBytes + n * 8, value));
  put(page.middle * pageBytes, entry(page.small, 1n));
  put(page.root * pageBytes + 8, entry(page.middle, 1n));
  put(page.root * pageBytes + 16, (BigInt(ramBase / pageBytes) << 10n) | 0xcfn | u);
  const entries = [
    data(1, readOnly), data(2, full), 0n, data(3, fresh), data(0, readOnly), data(1, 0x05n),
    data(3, full), others,
  ]; // prettier-ignore
  entries.forEach((value, n) => put(at.entries + n * 8, value));
  const root = BigInt(address / pageBytes + page.root);
  const space = (asid: number) => (8n << 60n) | (BigInt(asid) << 44n) | root;
  put(at.satp, mode === 3 ? 0n : space(index * 2 + 1));
  put(at.spaces, space(index * 2 + 1));
  put(at.spaces + 8, space(index * 2 + 2));
}

export interface Listed {
  offset: number;
  text: string;
  bytes: Uint8Array;
}

/** The program's code, ending in the ecall by which it is over, and one line an item. */
export function codeOf(program: Program): {
  bytes: Uint8Array;
  constants: bigint[];
  listing: Listed[];
} {
  const bytes: number[] = [];
  const constants: bigint[] = [];
  const listing: Listed[] = [];
  const add = (text: string, codes: readonly number[]) => {
    listing.push({ offset: bytes.length, text, bytes: Uint8Array.from(codes) });
    bytes.push(...codes);
  };
  const raw = (source: string) => [...new Uint8Array(assemble(source).buffer)];
  for (const { times, items } of program.loops) {
    add(`${times} times`, raw(`addi x30, zero, ${times}`));
    const from = bytes.length;
    items.forEach((item, n) => {
      const skipped = items.slice(n, n + 1 + item.skips);
      const distance = skipped.reduce((sum, { bytes: length }) => sum + length, 0);
      const codes = item.words(distance, constants.length * 8);
      constants.push(...item.constants);
      add(item.text, codes.flatMap(bytesOf));
    });
    const back = from - (bytes.length + 12);
    add('again', raw(`ecall\naddi x30, x30, -1\nbeq x30, zero, 8\njal zero, ${back}`));
  }
  add('end', raw('ecall'));
  return { bytes: Uint8Array.from(bytes), constants, listing };
}

function bytesOf(code: { word: number } | { half: number }): number[] {
  if ('half' in code) return [code.half & 255, code.half >> 8];
  return [0, 8, 16, 24].map((shift) => (code.word >>> shift) & 255);
}

/** The code of an image's programs, where it stands. */
export function codePages(image: Uint8Array): DataView[] {
  const views: DataView[] = [];
  for (let slot = firstSlot; slot < image.length; slot += slotBytes) {
    const from = image.byteOffset + slot + page.code * pageBytes;
    views.push(new DataView(image.buffer, from, codeBytesMax));
  }
  return views;
}

/** Index of the first program of which the two engines left something else; -1 when none. */
export function firstDifference(some: Uint8Array, other: Uint8Array, programs: number): number {
  for (let n = 0; n < programs; n++) {
    const slot = [some, other].map((ram) => {
      const from = firstSlot + n * slotBytes;
      return Buffer.from(ram.buffer, ram.byteOffset + from, slotBytes);
    });
    if (!slot[0]!.equals(slot[1]!)) return n;
  }
  return -1;
}

/** What differs between two runs of an image's first program, in words. */
export function differences(some: Uint8Array, other: Uint8Array): string[] {
  const found: string[] = [];
  const [a, b] = [some, other].map((ram) => new DataView(ram.buffer, ram.byteOffset + firstSlot));
  for (let offset = 0; offset < slotBytes && found.length < 12; offset += 8) {
    const [one, two] = [a!.getBigUint64(offset, true), b!.getBigUint64(offset, true)];
    if (one === two) continue;
    found.push(`${nameOf(offset)}: ${one.toString(16)} and ${two.toString(16)}`);
  }
  return found;
}

function nameOf(offset: number): string {
  if (offset >= at.endX && offset < at.endF) return `x${(offset - at.endX) / 8}`;
  if (offset >= at.endF && offset < at.endCsr) return `f${(offset - at.endF) / 8}`;
  const csr = endCsrs[(offset - at.endCsr) / 8];
  if (csr !== undefined) return csr;
  if (offset === at.hash) return 'hash of the traps';
  if (offset === at.traps) return 'number of traps';
  if (offset === at.cause) return 'cause of the last trap';
  if (offset === at.address) return 'address of the last trap';
  return `memory at ${offset.toString(16)} of the slot`;
}
