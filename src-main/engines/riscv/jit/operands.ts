/**
 * What the translator must know of an instruction beside its meaning, read off the table once: the
 * registers it reads and writes, and whether it is a plain load or store.
 */
import type { Instruction } from '../cpu/isa.ts';

/** Bit masks over x and f. */
export interface RegisterSet {
  x: number;
  f: number;
}

export interface Access {
  bytes: number;
  writes: boolean;
}

interface Operands {
  isCsr: boolean;
  rd: boolean;
  rs1: boolean;
  rs2: boolean;
  fd: boolean;
  fs1: boolean;
  fs2: boolean;
  fs3: boolean;
  /** Null for all but plain loads and stores. */
  access: Access | null;
}

const known: Operands[] = [];

function operandsOf(what: Instruction): Operands {
  return (known[what.index] ??= read(what));
}

function read(what: Instruction): Operands {
  // Zicsr; funct3 0 and 4 of SYSTEM are the privileged instructions and a host's guest access.
  const csr = what.kind === 'system' && ((what.match >>> 12) & 3) !== 0;
  const links = what.kind === 'jal' || what.kind === 'jalr';
  const byRegister = csr && ((what.match >>> 14) & 1) === 0;
  const has = (name: string) => new RegExp(`\\b${name}\\b`).test(what.code);
  const [, word, bits] = /\b(ld|st)(\d+)[su]?\(h, rs1 \+ imm\b/.exec(what.code) ?? [];
  return {
    isCsr: csr,
    rd: csr || links || has('rd'),
    rs1: byRegister || what.kind === 'jalr' || has('rs1'),
    rs2: has('rs2'),
    fd: has('fd'),
    fs1: has('fs1'),
    fs2: has('fs2'),
    fs3: has('fs3'),
    access: word === undefined ? null : { bytes: Number(bits) / 8, writes: word === 'st' },
  };
}

/**
 * How a region does an instruction of opcode SYSTEM, by the interpreter's own helpers: it goes on
 * behind a CSR, a fence or a wait; a trap and the way back from one lead out of it; the rest is the
 * interpreter's (Privileged, table of SYSTEM encodings).
 */
export type SystemPart = 'inside' | 'leads out' | 'none';

export function systemPart(what: Instruction, bits: number): SystemPart {
  if (what.kind !== 'system') return 'none';
  if (operandsOf(what).isCsr) return 'inside';
  if (((bits >>> 12) & 7) !== 0) return 'none';
  if (isFence(bits)) return 'inside';
  if ((bits & 0xf8f80) !== 0) return 'none';
  switch (bits >>> 20) {
    case 0x000: // ecall
    case 0x001: // ebreak
    case 0x102: // sret
    case 0x302: // mret
      return 'leads out';
    case 0x105: // wfi
    case 0x00d: // wrs.nto
    case 0x01d: // wrs.sto
    case 0x180: // sfence.w.inval
    case 0x181: // sfence.inval.ir
      return 'inside';
    default:
      return 'none';
  }
}

/** sfence.vma, sinval.vma, and those of the hypervisor, which take two registers. */
function isFence(bits: number): boolean {
  return [0x09, 0x0b, 0x11, 0x13, 0x31, 0x33].includes(bits >>> 25) && (bits & 0xf80) === 0;
}

export const accessOf = (what: Instruction): Access | null => operandsOf(what).access;

const bit = (bits: number, at: number) => 1 << ((bits >>> at) & 31);

export function readsOf(what: Instruction, bits: number): RegisterSet {
  const use = operandsOf(what);
  const fence = what.kind === 'system' && !use.isCsr && isFence(bits);
  const x =
    (use.rs1 || fence ? bit(bits, 15) : 0) | (use.rs2 || fence ? bit(bits, 20) : 0);
  const f =
    (use.fs1 ? bit(bits, 15) : 0) | (use.fs2 ? bit(bits, 20) : 0) | (use.fs3 ? bit(bits, 27) : 0);
  return { x: x & ~1, f };
}

export function writesOf(what: Instruction, bits: number): RegisterSet {
  const use = operandsOf(what);
  return { x: use.rd ? bit(bits, 7) & ~1 : 0, f: use.fd ? bit(bits, 7) : 0 };
}

export function mayFault(what: Instruction, system: SystemPart): boolean {
  const { kind } = what;
  return kind === 'mem' || kind === 'fp' || kind === 'fpmem' || system === 'inside';
}
