/**
 * Privileged programs for the bare machine: from any mode, with given registers and page tables.
 * A program ends in a loop, or in the one at `end`, to which every trap vector points.
 */
import { assemble } from './assemble.ts';
import { bare, put } from './bare.ts';
import type { Bare, Engine } from './bare.ts';
import { bankState } from '../../src-main/engines/riscv/hart-state.ts';
import { banked, type Wide } from '../../src-main/engines/riscv/layout.ts';

export const base = 0x8000_0000n;
export const end = base + 0x800n;
export const interrupt = 1n << 63n;
export const user = 0, supervisor = 1, machine = 3; // prettier-ignore

/** Bits of page table entries; `pte` makes one that points at an offset of RAM. */
export const rw = 0xc7n, onlyX = 0xc9n, forUser = 0x10n, table = 1n; // prettier-ignore
export const pte = (to: bigint, bits: bigint): bigint => (((base + to) >> 12n) << 10n) | bits;

export interface Start {
  mode: number;
  /** V=1; the machine then has the hypervisor extension, as with any register of it. */
  guest?: boolean;
  /** A guest may be a host in turn; these are its own hypervisor registers, in bank 1. */
  bank?: Partial<Record<(typeof banked)[number], bigint>>;
  /** In the guest of that guest. */
  deep?: boolean;
  source: string;
  csr?: Partial<Record<Wide, bigint>>;
  irq?: number;
  pages?: [number, bigint][];
  instructions?: number;
}

/** In hstatus: bank 1, in its first life. */
export const bankName = (1n << 50n) | (1n << 34n);

export function words(m: Bare): DataView {
  return new DataView(m.ram.buffer, m.ram.byteOffset, m.ram.byteLength);
}

export function start(engine: Engine, program: Start): Bare {
  const { mode, guest = false, deep = false, bank, csr = {}, irq = 0, pages = [] } = program;
  const m = bare(engine);
  put(m, assemble(`${program.source}\nlast:\njal zero, last`));
  put(m, assemble('done:\njal zero, done'), 0x800);
  for (const [at, value] of pages) words(m).setBigUint64(at, value, true);
  const { state, core } = m.hart;
  const vectors = { mtvec: end, stvec: end, alttvec: end };
  const bank1 = bankState(m.shared.memory.buffer, 1);
  for (const name of banked) bank1.setWide(name, 0n);
  for (const [name, value] of Object.entries({ ...vectors, ...csr })) {
    state.setWide(name as Wide, value);
  }
  if (bank !== undefined) {
    const values = { bankserial: 1n, alttvec: end, vstimecmp: (1n << 64n) - 1n, ...bank };
    for (const [name, value] of Object.entries(values)) bank1.setWide(name as Wide, value);
    state.setWide('hstatus', state.wide('hstatus') | bankName);
    state.setWord('nests', 1);
  }
  state.setWord('priv', mode);
  state.setWord('virt', deep ? 2 : guest ? 1 : 0);
  if (guest) state.setWide('fsgate', state.wide('altstatus'));
  state.setWord('irq', irq);
  state.setWord('poke', 1);
  core.flush_all(state.base);
  m.hart.refuel(program.instructions ?? 200);
  for (let turns = 0; turns < 100 && state.word('fuel') > 0; turns++) {
    if (core.run(state.base) === 2) state.poke(1);
  }
  return m;
}

/** Page tables at 0x10_0000: the first gigabyte of RAM as it stands, and pages from 0x1000 on. */
export function tables(...leaves: bigint[]): [number, bigint][] {
  return [
    [0x10_0010, pte(0n, 0xcfn)],
    [0x10_0000, pte(0x10_1000n, table)],
    [0x10_1000, pte(0x10_2000n, table)],
    ...leaves.map((leaf, n): [number, bigint] => [0x10_2008 + n * 8, leaf]),
  ];
}

/** satp for them: Sv39. */
export const paged = (asid = 1n): bigint => (8n << 60n) | (asid << 44n) | (base >> 12n) | 0x100n;
