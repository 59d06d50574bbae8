/**
 * A small assembler for tests: one instruction per line, labels `name:`, registers by either name.
 * Fields go in the order of the usual syntax; `li` takes any 32-bit number. Encodings come from
 * the engine's instruction table, so it says nothing about their truth: riscv-tests do.
 */
import { instructions } from '../../src-main/engines/riscv/cpu/isa.ts';
import type { Instruction } from '../../src-main/engines/riscv/cpu/isa.ts';

const abi =
  'zero ra sp gp tp t0 t1 t2 s0 s1 a0 a1 a2 a3 a4 a5 a6 a7 ' +
  's2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6';
const registers = new Map<string, number>();
abi.split(' ').forEach((name, n) => registers.set(name, n).set(`x${n}`, n).set(`f${n}`, n));

const byName = new Map<string, Instruction>(instructions.map((n) => [n.name, n]));
const csrs: Record<string, number> = {
  fflags: 1, frm: 2, fcsr: 3, sstatus: 0x100, sie: 0x104, stvec: 0x105, sscratch: 0x140,
  sepc: 0x141, scause: 0x142, stval: 0x143, sip: 0x144, stimecmp: 0x14d, satp: 0x180,
  mstatus: 0x300, misa: 0x301, medeleg: 0x302, mideleg: 0x303, mie: 0x304, mtvec: 0x305,
  mcounteren: 0x306, menvcfg: 0x30a, mscratch: 0x340, mepc: 0x341, mcause: 0x342, mtval: 0x343,
  mip: 0x344, vsstatus: 0x200, vsie: 0x204, vsip: 0x244, vstimecmp: 0x24d, hstatus: 0x600,
  hideleg: 0x603, htimedelta: 0x605, hip: 0x644, hvip: 0x645, hgatp: 0x680,
  cycle: 0xc00, time: 0xc01, instret: 0xc02, mhartid: 0xf14,
}; // prettier-ignore
const systemWords: Record<string, number> = {
  ecall: 0x73, ebreak: 0x100073, sret: 0x10200073, mret: 0x30200073, wfi: 0x10500073,
  nop: 0x13, 'fence.i': 0x100f, 'sfence.vma': 0x12000073, fence: 0x0ff0000f,
  'hfence.vvma': 0x22000073, 'hfence.gvma': 0x62000073,
}; // prettier-ignore
/** `hlv.w rd, rs1` and `hsv.w rs2, rs1`: funct7, and what stands for rs2 of a load. */
const guestAccess: Record<string, [number, number]> = {
  'hlv.b': [0x30, 0], 'hlv.bu': [0x30, 1], 'hlv.h': [0x32, 0], 'hlv.hu': [0x32, 1],
  'hlvx.hu': [0x32, 3], 'hlv.w': [0x34, 0], 'hlv.wu': [0x34, 1], 'hlvx.wu': [0x34, 3],
  'hlv.d': [0x36, 0], 'hsv.b': [0x31, -1], 'hsv.w': [0x35, -1], 'hsv.d': [0x37, -1],
}; // prettier-ignore
const csrForms: Record<string, number> = {
  csrrw: 1, csrrs: 2, csrrc: 3, csrrwi: 5, csrrsi: 6, csrrci: 7,
}; // prettier-ignore

const reg = (name: string | undefined): number => {
  const n = registers.get(name ?? '');
  if (n === undefined) throw new Error(`no register ${name}`);
  return n;
};

export function assemble(source: string): Uint32Array {
  const lines = source
    .split('\n')
    .map((line) => line.replace(/#.*/, '').trim())
    .filter((line) => line !== '');
  const labels = new Map<string, number>();
  const pending: string[] = [];
  for (const line of lines) {
    const label = /^(\w+):$/.exec(line);
    if (label !== null) labels.set(label[1]!, pending.length * 4);
    else if (line.startsWith('li ')) pending.push(...load(line));
    else pending.push(line);
  }
  return Uint32Array.from(pending, (line, n) => encode(line, n * 4, labels) >>> 0);
}

/** `li` is always two instructions, so that addresses do not depend on values. */
function load(line: string): string[] {
  const [, rd, text] = /^li (\w+),\s*(\S+)$/.exec(line)!;
  const value = Number(text) | 0;
  const low = (value << 20) >> 20;
  return [`lui ${rd}, ${(value - low) | 0}`, `addiw ${rd}, ${rd}, ${low}`];
}

function encode(line: string, at: number, labels: Map<string, number>): number {
  const [name = '', ...rest] = line.split(/[\s,()]+/).filter((part) => part !== '');
  const number = (text: string | undefined) => {
    const label = labels.get(text ?? '');
    return label === undefined ? Number(text) | 0 : label - at;
  };
  if (name === '.word') return Number(rest[0]);
  if (name in systemWords) return systemWords[name]!;
  if (name in csrForms) {
    const csr = csrs[rest[1]!] ?? Number(rest[1]);
    const source = csrForms[name]! > 4 ? Number(rest[2]) : reg(rest[2]);
    return 0x73 | (csrForms[name]! << 12) | (reg(rest[0]) << 7) | (source << 15) | (csr << 20);
  }
  if (name in guestAccess) {
    const [funct7, second] = guestAccess[name]!;
    const data = second < 0 ? reg(rest[0]) << 20 : (reg(rest[0]) << 7) | (second << 20);
    return 0x4073 | (funct7 << 25) | (reg(rest[1]) << 15) | data;
  }
  const what = byName.get(name);
  if (what === undefined) throw new Error(`no instruction ${name}`);
  return fill(what, rest, number);
}

function fill(what: Instruction, rest: string[], number: (t?: string) => number): number {
  const rd = (n: number) => reg(rest[n]) << 7;
  const rs1 = (n: number) => reg(rest[n]) << 15;
  const rs2 = (n: number) => reg(rest[n]) << 20;
  const memory = what.match % 128 === 3 || what.match % 128 === 7;
  switch (what.format) {
    case 'U':
      return what.match | rd(0) | (number(rest[1]) & ~0xfff);
    case 'J': {
      const imm = number(rest[1]);
      return (
        what.match | rd(0) | (((imm >> 20) & 1) << 31) | (((imm >> 1) & 0x3ff) << 21) |
        (((imm >> 11) & 1) << 20) | (((imm >> 12) & 0xff) << 12)
      ); // prettier-ignore
    }
    case 'B': {
      const imm = number(rest[2]);
      return (
        what.match | rs1(0) | rs2(1) | (((imm >> 12) & 1) << 31) | (((imm >> 5) & 63) << 25) |
        (((imm >> 1) & 15) << 8) | (((imm >> 11) & 1) << 7)
      ); // prettier-ignore
    }
    case 'S': {
      const imm = number(rest[1]);
      return what.match | rs2(0) | rs1(2) | ((imm >> 5) << 25) | ((imm & 31) << 7);
    }
    case 'I':
    case 'H': {
      const [imm, base] = memory ? [number(rest[1]), rs1(2)] : [number(rest[2]), rs1(1)];
      return what.match | rd(0) | base | (imm << 20);
    }
    default: {
      let bits = what.match | rd(0) | rs1(1);
      if (rest[2] !== undefined) bits |= rs2(2);
      if (rest[3] !== undefined) bits |= reg(rest[3]) << 27;
      if (what.rounded) bits |= 7 << 12;
      return bits;
    }
  }
}
