/**
 * What random programs are made of: items, each one instruction or a few that belong together, so
 * that any of them can be left out of a program (see minimise.ts) and the rest still ends.
 *
 * Registers: x2, x8, x9 and x18 point at data, x3 at the program's constants, x29 says where to go
 * on after a jump into nowhere, x30 counts the loop. Items write none of these. Loads go astray now
 * and then; stores never do, since a stray one may hit the program, and then all engines are right.
 */
import { decode, instructions } from '../../src-main/engines/riscv/cpu/isa.ts';
import type { Instruction } from '../../src-main/engines/riscv/cpu/isa.ts';
import { expand } from '../../src-main/engines/riscv/cpu/compressed.ts';
import { callRoom } from '../../src-main/engines/riscv/layout.ts';
import { pick } from './random.ts';
import type { Random } from './random.ts';
import { assemble } from './assemble.ts';
import { entriesOffset, smallPages, spacesOffset, windowBase } from './image.ts';

export interface Item {
  text: string;
  bytes: number;
  /** How many of the following items a branch leaves out. */
  skips: number;
  /** Double words that it wants to find at `constant` from x3. */
  constants: bigint[];
  /** `distance`: from its own start to where a branch goes. */
  words(distance: number, constant: number): Code[];
}

/** A 32-bit instruction, or a 16-bit one. */
export type Code = { word: number } | { half: number };

/** 0 user, 1 supervisor, 3 machine mode, which is without address translation. */
export type Mode = 0 | 1 | 3;

type Make = (random: Random, mode: Mode) => Item;

/** What the judge does not know is left out: names of extensions. */
export type Without = ReadonlySet<string>;

const pointers = [2, 8, 9, 18];
const kept = new Set([2, 3, 8, 9, 18, 29, 30]);
const alignedPointer = 18;
const writable = Array.from({ length: 32 }, (_, n) => n).filter((n) => !kept.has(n));

const anyRd = (random: Random) => pick(random, writable);
/** A few registers are met more often, so that operands are equal or depend on each other. */
const source = (random: Random) => (random(2) === 0 ? 10 + random(4) : random(32));
const temporary = (random: Random) => pick(random, writable.slice(1));

const extensionOf = (name: string) => {
  if (name.startsWith('czero')) return 'zicond';
  if (name.startsWith('cbo')) return 'zicbom';
  if (name === 'ctzw') return 'ctzw';
  if (/\.h(\.|$)|^f[ls]h$|^fmv\.[hx]\.[hx]$/.test(name) && name.startsWith('f')) return 'zfhmin';
  return 'base';
};

function one(text: string, word: number): Item {
  const codes: Code[] = [{ word: word >>> 0 }];
  return { text, bytes: 4, skips: 0, constants: [], words: () => codes };
}

function several(
  text: string, bytes: number, words: Item['words'], constants: bigint[] = [],
): Item { // prettier-ignore
  return { text, bytes, skips: 0, constants, words };
}

const asm = (source: string): Code[] => [...assemble(source)].map((word) => ({ word }));

/** Fills the fields of a table's instruction that touches no memory and goes nowhere. */
function fillPlain(random: Random, what: Instruction): number {
  let bits = what.match | (anyRd(random) << 7) | (source(random) << 15);
  if (what.format === 'R') {
    bits |= (source(random) << 20) & ~what.mask;
    if ((what.mask & 0xf8000000) === 0) bits |= source(random) << 27;
    if (what.rounded) bits |= pick(random, [0, 1, 2, 3, 4, 7, 7, 7, 7, 5]) << 12;
    // An rd that stands for a floating-point register may be any.
    if (what.kind === 'fp' && what.code.startsWith('fd')) {
      bits = (bits & ~(31 << 7)) | (random(32) << 7);
    }
  } else if (what.format === 'I') bits |= random(4096) << 20;
  else if (what.format === 'H') bits |= (random(64) << 20) & ~what.mask;
  else bits |= random(0x10_0000) << 12;
  return bits >>> 0;
}

function plain(random: Random, choices: readonly Instruction[]): Item {
  const what = pick(random, choices);
  if (what.name === 'fence') return one('fence', 0x0ff0000f);
  return one(what.name, fillPlain(random, what));
}

function memory(random: Random, choices: readonly Instruction[], mode: Mode): Item {
  const what = pick(random, choices);
  const load = what.format === 'I';
  const astray = load && mode !== 3 && random(12) === 0;
  const base = astray ? random(32) : pick(random, pointers);
  const near = random(3) === 0 ? random(4096) : (random(64) - 24) & 0xfff;
  const data = what.kind === 'fpmem' ? random(32) : load ? anyRd(random) : random(32);
  const text = `${what.name} at x${base}`;
  if (load) return one(text, what.match | (base << 15) | (data << 7) | (near << 20));
  const imm = ((near >> 5) << 25) | ((near & 31) << 7);
  return one(text, what.match | (base << 15) | (data << 20) | imm);
}

function atomic(random: Random): Item {
  const what = pick(random, amos);
  const base = random(4) === 0 ? pick(random, pointers) : alignedPointer;
  const order = random(4) << 25;
  const fields = (base << 15) | (random(32) << 20) | (anyRd(random) << 7);
  return one(`${what.name} at x${base}`, what.match | fields | order);
}

/** On the block that its pointer stands in. */
function block(random: Random, choices: readonly Instruction[]): Item {
  const what = pick(random, choices);
  return one(what.name, what.match | (pick(random, pointers) << 15));
}

/** Nothing but arithmetic stands between a pair, as the manual wants it. */
function reserve(random: Random): Item {
  const [size, f3] = pick(random, [['w', 2], ['d', 3]] as const);
  const lr = 0x1000002f | (f3 << 12) | (alignedPointer << 15) | (temporary(random) << 7);
  const sc = 0x1800002f | (f3 << 12) | (alignedPointer << 15);
  const store = sc | (random(32) << 20) | (anyRd(random) << 7);
  if (random(5) === 0) return one(`sc.${size} alone`, store);
  const between = fillPlain(random, pick(random, integer));
  const codes = [{ word: lr }, { word: between }, { word: store }];
  return several(`lr.${size}, sc.${size}`, 12, () => codes);
}

const short = new Map<number, number>();
const shortCodes: { half: number; word: number; zcb: boolean }[] = [];
for (let half = 1; half < 0x1_0000; half++) {
  const word = (half & 3) === 3 ? 0 : expand(half) >>> 0;
  if (word === 0) continue;
  const zcb = (half & 0xe003) === 0x8000 || ((half & 0xfc03) === 0x9c01 && (half & 0x40) !== 0);
  short.set(word, half);
  if (harmless(word)) shortCodes.push({ half, word, zcb });
}

const shortFloats = shortCodes.filter(({ word }) => decode(word)!.kind === 'fpmem');

/** Whether a random word keeps the rules of the registers. */
function harmless(word: number): boolean {
  const what = decode(word);
  if (what === null || !['plain', 'mem', 'fpmem'].includes(what.kind)) return false;
  const store = what.format === 'S';
  const float = what.kind === 'fpmem';
  if (!store && !float && kept.has((word >>> 7) & 31)) return false;
  return what.kind === 'plain' || pointers.includes((word >>> 15) & 31);
}

function compressed(random: Random, codes: typeof shortCodes): Item {
  const code = pick(random, codes);
  const text = `c.${decode(code.word)!.name}${code.zcb ? ' (Zcb)' : ''}`;
  return several(text, 2, () => [{ half: code.half }]);
}

function branch(random: Random): Item {
  const skips = random(7);
  const inShort = random(3) === 0;
  const what = pick(random, inShort ? shortBranches : branches);
  const [rs1, rs2] = inShort ? [10 + random(6), 0] : [source(random), source(random)];
  const encode = (distance: number) =>
    (what.match | (rs1 << 15) | (rs2 << 20) | (((distance >> 12) & 1) << 31) |
      (((distance >> 5) & 63) << 25) | (((distance >> 1) & 15) << 8) |
      (((distance >> 11) & 1) << 7)) >>> 0; // prettier-ignore
  const words = (distance: number): Code[] => {
    if (!inShort) return [{ word: encode(distance) }];
    return [{ half: short.get(encode(distance)) ?? 1 }];
  };
  return { text: what.name, bytes: inShort ? 2 : 4, skips, constants: [], words };
}

function jump(random: Random): Item {
  const skips = random(4);
  const [at, link] = [temporary(random), anyRd(random)];
  switch (random(3)) {
    case 0: {
      const words = (distance: number) => asm(`jal x${link}, ${distance}`);
      return { text: 'jal', bytes: 4, skips, constants: [], words };
    }
    case 1: {
      const words = (distance: number) =>
        asm(`auipc x${at}, 0\njalr x${link}, x${at}, ${distance}`);
      return { text: 'jalr', bytes: 8, skips, constants: [], words };
    }
    default: {
      const by = temporary(random);
      const codes = asm(`
        andi x${by}, x${random(32)}, 8
        auipc x${at}, 0
        add x${at}, x${at}, x${by}
        jalr x${link}, x${at}, 12
        xori x${temporary(random)}, x${random(32)}, 85
        addi x${temporary(random)}, x${random(32)}, 3`);
      return several('jalr two ways', 24, () => (at === by ? asm('nop\n'.repeat(6)) : codes));
    }
  }
}

/**
 * A function that calls itself, now and then deeper than translated code follows, with other items
 * before and behind that. It comes back to where it was called or one instruction further on, and
 * sometimes links as it does, which looks like another call.
 */
function call(random: Random, mode: Mode, make: Make): Item {
  const link = pick(random, [1, 5]);
  const count = pick(random, [6, 7, 28, 31]);
  const inner = (bytesMax: number) => {
    for (;;) {
      const item = make(random, mode);
      if (item.bytes <= bytesMax && fitsFunction(item, [link, count])) return item;
    }
  };
  const [before, site, behind] = [inner(64), inner(4), inner(64)];
  // Each fence.i costs whatever is translated by then.
  const calm = before.constants.length + behind.constants.length === 0;
  const depth = calm && random(10) === 0 ? callRoom + 3 : 1 + random(4);
  const first = pick(random, ['nop\njal LINK, f', 'auipc LINK, 0\njalr LINK, LINK, 16']);
  const back = `jalr x${pick(random, [0, 0, 0, 6 - link])}, LINK, ${pick(random, [0, 0, 4])}`;
  const source = (constant: number) => `
      addi COUNT, zero, ${depth}
      ${first}
      ${listed(site)}
      jal zero, over
    f:
      addi x2, x2, -16
      sd LINK, 0(x2)
      ${listed(before, constant)}
      addi COUNT, COUNT, -1
      beq COUNT, zero, 8
      jal LINK, f
      ${listed(site)}
      ${listed(behind, constant + before.constants.length * 8)}
      ld LINK, 0(x2)
      addi x2, x2, 16
      ${back}
    over:`.replaceAll('LINK', `x${link}`).replaceAll('COUNT', `x${count}`);
  const text = `${depth} calls: ${before.text}; ${site.text}; ${behind.text}`;
  const bytes = 56 + before.bytes + behind.bytes;
  const constants = [...before.constants, ...behind.constants];
  return several(text, bytes, (_, constant) => asm(source(constant)), constants);
}

/** An item's words, of which none is of two short ones. */
const wordsOf = ({ bytes, words }: Item, constant = 0) =>
  words(bytes, constant).map((code) => ('word' in code ? code.word >>> 0 : 0));

const listed = (item: Item, constant = 0) =>
  wordsOf(item, constant).map((word) => `.word ${word}`).join('\n');

/** Is it whole words, keeps some registers, leads nowhere else and stores far from the stack? */
function fitsFunction(item: Item, registers: number[]): boolean {
  const words = wordsOf(item);
  // Where the code is written over, they are what is to come.
  const later = item.constants.flatMap((both) => [both & 0xffff_ffffn, both >> 32n].map(Number));
  const fits = (word: number) => {
    const what = decode(word);
    const stores = what?.format === 'S' || (what !== null && amos.includes(what));
    if (stores && pointers.includes((word >>> 15) & 31)) return false;
    return !registers.includes((word >>> 7) & 31);
  };
  const whole = words.length * 4 === item.bytes;
  return whole && item.skips === 0 && [...words, ...later].every(fits);
}

/** A jump to where no page is; the trap handler goes on at x29. */
function nowhere(random: Random): Item {
  const [to, at] = [temporary(random), temporary(random)];
  const codes = asm(`
    auipc x29, 0
    addi x29, x29, 20
    lui x${to}, ${pick(random, [0x1000, 0x5000, -0x1000, 0x40400000])}
    jalr x${at}, x${to}, ${random(100) * 2}
    nop`);
  return several('jump into nowhere', 20, () => codes);
}

const csrNames: Record<number, string> = {
  1: 'fflags', 2: 'frm', 3: 'fcsr', 0x140: 'sscratch', 0x142: 'scause',
  0x143: 'stval', 0x105: 'stvec',
}; // prettier-ignore

function csr(random: Random, mode: Mode): Item {
  const number = Number(pick(random, Object.keys(csrNames)));
  const name = csrNames[number]!;
  const op = pick(random, [1, 2, 3, 5, 6, 7]);
  if (number === 2) return one('csrrwi frm', assemble(`csrrwi zero, frm, ${random(6)}`)[0]!);
  if (mode !== 3 && random(8) === 0) {
    return one('rdtime', assemble(`csrrs x${temporary(random)}, time, zero`)[0]!);
  }
  const fields = (number << 20) | (random(32) << 15) | (op << 12) | (anyRd(random) << 7);
  return one(`csr op ${op} ${name}`, 0x73 | fields);
}

/** SUM and MXR on and off; floating point off, tried and on again. */
function status(random: Random): Item {
  const at = temporary(random);
  const op = pick(random, ['csrrs', 'csrrc']);
  if (random(3) > 0) {
    const bits = pick(random, [0x4_0000, 0x8_0000, 0xc_0000]);
    const codes = asm(`lui x${at}, ${bits}\n${op} zero, sstatus, x${at}`);
    return several(`${op} sstatus`, 8, () => codes);
  }
  const tried = [
    { word: fillPlain(random, pick(random, floats)) },
    { half: pick(random, shortFloats).half },
    { half: pick(random, shortFloats).half },
  ];
  const codes = [
    ...asm(`li x${at}, 0x6000\ncsrrc zero, sstatus, x${at}`),
    ...tried,
    ...asm(`li x${at}, 0x6000\ncsrrs zero, sstatus, x${at}`),
  ];
  return several('floating point off and on', 32, () => codes);
}

function trap(random: Random, mode: Mode): Item {
  const half = pick(random, [0, 0x9002]);
  if (random(4) === 0) return several(`system ${half.toString(16)}`, 2, () => [{ half }]);
  const calls = assemble('ecall\nebreak\nsfence.vma');
  const returns = assemble(mode === 0 ? 'mret\nsret' : mode === 1 ? 'mret' : '');
  const word = pick(random, [...calls, ...returns, 0xffffffff]);
  return one(`system ${word.toString(16)}`, word);
}

/** One of two instructions is written over the last of the item, by the loop's parity. */
function rewrite(random: Random): Item {
  const [at, by, code] = [10, 11, 12];
  const [some, other] = [0, 1].map(() => fillPlain(random, pick(random, integer)));
  const both = BigInt(some!) | (BigInt(other!) << 32n);
  const words = (_: number, constant: number) => [
    ...asm(`
      andi x${by}, x30, 1
      slli x${by}, x${by}, 2
      add x${by}, x${by}, x3
      lw x${code}, ${constant}(x${by})
      auipc x${at}, 0
      sw x${code}, 12(x${at})
      fence.i`),
    { word: some! },
  ];
  return several('code written over', 32, words, [both]);
}

/** Another entry for a small page of the window, fenced by page or as a whole. */
function remap(random: Random): Item {
  const [entry, table] = [10, 11];
  const page = pick(random, smallPages.changing);
  const value = BigInt(random(8));
  const fence = pick(random, ['sfence.vma', 'page']);
  // The values are made of physical addresses, which only the image knows.
  const words = (_: number, constant: number) => [
    ...asm(`
      ld x${entry}, ${constant}(x3)
      lui x${table}, ${windowBase + smallPages.table * 4096}
      add x${entry}, x${entry}, x3
      ld x${entry}, ${entriesOffset}(x${entry})
      sd x${entry}, ${page * 8}(x${table})
      lui x${table}, ${windowBase + page * 4096}`),
    { word: fence === 'page' ? 0x12000073 | (table << 15) : 0x12000073 },
  ];
  return several(`page ${page} mapped anew`, 28, words, [value * 8n]);
}

function otherSpace(random: Random): Item {
  const at = temporary(random);
  const codes = asm(`ld x${at}, ${spacesOffset + 8 * random(2)}(x3)\ncsrrw zero, satp, x${at}`);
  return several('another address space', 8, () => codes);
}

const named = (names: string[]) => instructions.filter(({ name }) => names.includes(name));
const branches = instructions.filter(({ kind }) => kind === 'branch');
const shortBranches = named(['beq', 'bne']);
const integer = instructions.filter(
  ({ kind, name }) => kind === 'plain' && extensionOf(name) === 'base' && name !== 'fence',
);
const floats = instructions.filter(
  ({ kind, name }) => kind === 'fp' && extensionOf(name) === 'base',
);
const amos = instructions.filter(({ name }) => name.startsWith('amo'));

/** Makes items for a judge that lacks some extensions. */
export function itemMaker(without: Without): Make {
  const known = instructions.filter(({ name }) => !without.has(extensionOf(name)));
  const of = (kind: string) => known.filter((what) => what.kind === kind);
  const [plains, fps, fpmems] = [of('plain'), of('fp'), of('fpmem')];
  const ordinary = of('mem').filter(({ format }) => format !== 'R');
  const blocks = of('mem').filter(({ name }) => name.startsWith('cbo'));
  const shorts = shortCodes.filter(({ zcb }) => !(zcb && without.has('zcb')));
  const make: Make = (random, mode) => {
    const roll = random(1000);
    if (roll < 10) return call(random, mode, make);
    if (roll < 270) return plain(random, plains);
    if (roll < 490) return plain(random, fps);
    if (roll < 640) return memory(random, ordinary, mode);
    if (roll < 700) return memory(random, fpmems, mode);
    if (roll < 820) return compressed(random, shorts);
    if (roll < 890) return branch(random);
    if (roll < 910) return jump(random);
    if (roll < 935) return atomic(random);
    if (roll < 955) return reserve(random);
    if (roll < 970) return csr(random, mode);
    if (roll < 976) return trap(random, mode);
    if (roll < 982) return rewrite(random);
    if (roll < 984 && blocks.length > 0) return block(random, blocks);
    if (mode === 3) return plain(random, plains);
    if (roll < 988) return nowhere(random);
    if (roll < 992) return status(random);
    if (mode === 0) return trap(random, mode);
    return roll < 997 ? remap(random) : otherSpace(random);
  };
  return make;
}
