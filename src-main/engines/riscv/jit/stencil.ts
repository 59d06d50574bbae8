/**
 * An instruction of the table compiled once, with holes where its operands go: translating it is
 * then copying bytes and filling holes, some fifteen times quicker than walking its W statements.
 *
 *   for (const piece of stencilOf(step, scope)) { code.all(piece.bytes); fill(piece); }
 *
 * The pieces rely on the first locals of a region's function being those of `local`. A hole that
 * may leave for a fault stands where nothing is on the operand stack that the way out would want.
 */
import { fieldOffset } from '../layout.ts';
import { Emitter } from '../wasm/emit.ts';
import type { Binder, Scope } from '../wasm/emit.ts';
import type { Hint, Type } from '../wasm/module.ts';
import { Parser } from '../wasm/parse.ts';
import type { Expr, Stmt } from '../wasm/parse.ts';
import type { Instruction } from '../cpu/isa.ts';
import { hostFusesMadd, maddFused } from './fused.ts';
import type { Step } from './region.ts';

/** The locals that every region has, parameters first. */
export const local = {
  h: 0,
  fuel: 1,
  room: 2, // for calls in one another
  tlb: 3,
  entry: 4, // the TLB entry that was looked at last
  site: 5, // where a way out leaves: offset | instructions not executed << siteBits
  page: 6,
  va: 7,
  real: 8,
} as const;
export const localTypes: readonly Type[] = ['i32', 'i32', 'i32', 'i64', 'i64', 'f64'];

/** Enough for every offset and the page's end. */
export const siteBits = 13;

export const hole = {
  none: 0,
  rs1: 1, // the register's value, as all that follow
  rs2: 2,
  fs1: 3, // as f64, whatever it holds
  fs2: 4,
  fs3: 5,
  imm: 6,
  sum: 7, // rs1 + imm
  pc: 8,
  rd: 9, // takes the value on the stack
  fd: 10,
  call: 11, // of the function `name`
  site: 12, // says in `local.site` where we are
  fault: 13, // leaves when the i32 on the stack is not 0; `number` blocks are open around it
  get: 14, // of the temporary `number`
  set: 15,
  tee: 16,
  raw: 17, // the instruction as it stands in memory
  imm32: 18, // the immediate as an i32
  host: 19, // host address of the access's group, 0 when the TLB has not served it
  place: 20, // where in its group the access is: a memory instruction's offset
} as const;

/** Where an instruction names the register of a hole. */
export const operandAt: Readonly<Record<number, number>> = {
  [hole.rs1]: 15,
  [hole.rs2]: 20,
  [hole.fs1]: 15,
  [hole.fs2]: 20,
  [hole.fs3]: 27,
  [hole.rd]: 7,
  [hole.fd]: 7,
};

export interface Piece {
  bytes: Uint8Array;
  hints: readonly Hint[];
  hole: number;
  name: string;
  number: number;
}

export interface Stencil {
  pieces: readonly Piece[];
  /** Types of the temporaries it wants. */
  temporaries: readonly Type[];
  /** Does something even if it writes no register. */
  effect: boolean;
}

const loadWords: Record<string, { size: number; hit: string; sign: number }> = {
  ld8u: { size: 1, hit: 'load8u64', sign: 0 },
  ld16u: { size: 2, hit: 'load16u64', sign: 0 },
  ld32u: { size: 4, hit: 'load32u64', sign: 0 },
  ld64: { size: 8, hit: 'load64', sign: 0 },
  ld8s: { size: 1, hit: 'load8s64', sign: 0xc2 },
  ld16s: { size: 2, hit: 'load16s64', sign: 0xc3 },
  ld32s: { size: 4, hit: 'load32s64', sign: 0xc4 },
};
const storeWords: Record<string, { size: number; hit: string }> = {
  st8: { size: 1, hit: 'store8l' },
  st16: { size: 2, hit: 'store16l' },
  st32: { size: 4, hit: 'store32l' },
  st64: { size: 8, hit: 'store64' },
};

/** Double operations that the host does exactly when the result is usual: helper → opcode. */
const usualFloat: Record<string, readonly number[]> = {
  fadd_d: [0xa0],
  fsub_d: [0xa1],
  fmul_d: [0xa2],
  fdiv_d: [0xa3],
  fsqrt_d: [0x9f],
  ...(hostFusesMadd ? { fmadd_op_d: maddFused } : {}),
};

export type StencilScope = Pick<Scope, 'constants' | 'fields' | 'inlines'> & {
  signatures: ReadonlyMap<string, { params: readonly Type[]; result: Type | null }>;
};

/** Stencils of one core; they hold its constants. */
export class Stencils {
  private readonly scope: StencilScope;
  /** By the instruction's index, and there by rounding mode. */
  private readonly known: (Stencil | undefined)[][] = [];
  private readonly grouped: Stencil[] = [];

  constructor(scope: StencilScope) {
    this.scope = scope;
  }

  of({ what, bits }: Step): Stencil {
    const forms = (this.known[what.index] ??= []);
    const form = what.rounded ? (bits >>> 12) & 7 : 0;
    return (forms[form] ??= new Recorder(this.scope, what, bits).record());
  }

  /** Of a load or store whose group has looked at the TLB. */
  inGroup({ what, bits }: Step): Stencil {
    return (this.grouped[what.index] ??= new Recorder(this.scope, what, bits, true).record());
  }
}

const firstTemporary = 1000;

/** An emitter whose temporaries and callees are left open. */
class OpenEmitter extends Emitter {
  readonly pieces: Piece[] = [];
  readonly temporaries: Type[] = [];

  gap(kind: number, name = '', number = 0): void {
    const { code, hints } = this;
    this.pieces.push({ bytes: code.take(), hints, hole: kind, name, number });
    code.clear();
    this.hints = [];
  }
  override alloc(type: Type): number {
    return firstTemporary + this.temporaries.push(type) - 1;
  }
  override release(): void {}
  override get(index: number): void {
    if (index < firstTemporary) super.get(index);
    else this.gap(hole.get, '', index - firstTemporary);
  }
  override set(index: number): void {
    if (index < firstTemporary) super.set(index);
    else this.gap(hole.set, '', index - firstTemporary);
  }
  override tee(index: number): void {
    if (index < firstTemporary) super.tee(index);
    else this.gap(hole.tee, '', index - firstTemporary);
  }
  override callFunction(name: string): Type | null {
    this.gap(hole.call, name);
    return this.scope.callee(name)!.signature.result;
  }
}

const isSum = (e: Expr) =>
  e.k === 'binary' && e.op === '+' && e.l.k === 'name' && e.l.name === 'rs1' &&
  e.r.k === 'name' && e.r.name === 'imm'; // prettier-ignore

class Recorder implements Binder {
  private readonly what: Instruction;
  private readonly bits: number;
  private readonly e: OpenEmitter;
  private readonly tlbMask: number;

  private readonly grouped: boolean;

  constructor(scope: StencilScope, what: Instruction, bits: number, grouped = false) {
    this.what = what;
    this.bits = bits;
    this.grouped = grouped;
    this.tlbMask = Number(scope.constants.get('TLB_MASK')!.value);
    const callee = (name: string) => {
      const signature = scope.signatures.get(name);
      return signature === undefined ? null : { index: 0, signature };
    };
    this.e = new OpenEmitter({ ...scope, callee }, this);
  }

  record(): Stencil {
    const { e, what } = this;
    if (what.kind === 'branch') e.value(new Parser(what.code).expression(), 'i32');
    else for (const s of new Parser(what.code).statements()) this.statement(s);
    e.gap(hole.none);
    return {
      pieces: e.pieces,
      temporaries: e.temporaries,
      effect: what.kind !== 'plain' || what.code.includes('fence'),
    };
  }

  private statement(s: Stmt): void {
    const helps = s.k === 'expr' && s.e.k === 'call' && !(s.e.name in storeWords);
    if (this.what.kind !== 'mem' || !helps) return this.e.statement(s);
    this.e.gap(hole.site);
    this.e.statement(s);
    this.faulted();
  }

  /** Leaves when the helper that was called has raised a fault. */
  private faulted(): void {
    const { e } = this;
    e.get(local.h);
    e.memory('load32', fieldOffset('fault'));
    e.gap(hole.fault, '', e.depth);
  }

  // ---- what the snippets' names mean

  get(e: Emitter, name: string): Type | null {
    switch (name) {
      case 'rs1':
      case 'rs2':
      case 'imm':
      case 'pc':
        this.e.gap(hole[name]);
        return 'i64';
      case 'raw':
        this.e.gap(hole.raw);
        return 'i32';
      case 'fs1':
      case 'fs2':
      case 'fs3':
        this.e.gap(hole[name]);
        e.op(0xbd); // its bits
        return 'i64';
      case 'rm': {
        const rm = (this.bits >>> 12) & 7;
        if (rm === 7) {
          e.get(local.h);
          e.memory('load32', fieldOffset('frm'));
        } else e.i32(rm);
        return 'i32';
      }
      case 'h':
        e.get(local.h);
        return 'i32';
      default:
        return null;
    }
  }

  typeOf(name: string): Type | null {
    if (/^(h|rm|raw)$/.test(name)) return 'i32';
    return /^(rs[12]|fs[123]|imm|pc)$/.test(name) ? 'i64' : null;
  }

  set(e: Emitter, name: string, value: Expr): boolean {
    if (name === 'fd') {
      const host = value.k === 'call' ? usualFloat[value.name] : undefined;
      if (host !== undefined && value.k === 'call') this.usual(value, host);
      else {
        e.value(value, 'i64');
        e.op(0xbf);
      }
      this.e.gap(hole.fd);
      return true;
    }
    if (name !== 'rd') return false;
    const helps = this.what.kind === 'mem' && value.k === 'call' && !(value.name in loadWords);
    if (helps) this.e.gap(hole.site);
    if (isSum(value)) this.e.gap(hole.sum);
    else e.value(value, 'i64');
    if (helps) this.faulted();
    this.e.gap(hole.rd);
    return true;
  }

  callType(name: string): Type | null | undefined {
    if (name in loadWords) return 'i64';
    return name in storeWords ? null : undefined;
  }

  call(e: Emitter, name: string, args: Expr[]): Type | null | undefined {
    const [first] = args;
    if (name === 'i32_of' && first?.k === 'name' && first.name === 'imm') {
      this.e.gap(hole.imm32);
      return 'i32';
    }
    const load = loadWords[name];
    if (load !== undefined) {
      this.hit(args[1]!, 0, load.size);
      e.hint(true);
      e.open(4, 'i64');
      this.hostAddress();
      this.memory(load.hit);
      e.otherwise();
      this.slow(args[1]!);
      e.i32(load.size);
      e.callFunction('slow_load');
      if (load.sign !== 0) e.op(load.sign);
      this.faulted();
      e.close();
      return 'i64';
    }
    const store = storeWords[name];
    if (store === undefined) return undefined;
    this.hit(args[1]!, 8, store.size);
    e.hint(true);
    e.open(4);
    this.hostAddress();
    e.value(args[2]!, 'i64');
    this.memory(store.hit);
    e.otherwise();
    this.slow(args[1]!);
    e.value(args[2]!, 'i64');
    e.i32(store.size);
    e.callFunction('slow_store');
    this.faulted();
    e.close();
    return null;
  }

  private memory(word: string): void {
    if (!this.grouped) return this.e.memory(word, 0);
    this.e.memoryAt(word);
    this.e.gap(hole.place);
  }

  /** What a slow half wants first: where it is, the hart and the address. */
  private slow(address: Expr): void {
    const { e } = this;
    this.e.gap(hole.site);
    e.get(local.h);
    if (!this.grouped) e.get(local.va);
    else if (isSum(address)) e.gap(hole.sum);
    else e.value(address, 'i64');
  }

  /** Leaves on the stack whether the TLB has the page for this access, or the group's look has. */
  private hit(address: Expr, tag: number, size: number): void {
    const { e } = this;
    if (this.grouped) return e.gap(hole.host);
    if (isSum(address)) e.gap(hole.sum);
    else e.value(address, 'i64');
    e.set(local.va);
    emitHit(e, tag, size, this.tlbMask);
  }

  private hostAddress(): void {
    const { e } = this;
    if (this.grouped) return e.gap(hole.host);
    e.get(local.va);
    e.op(0xa7);
    e.get(local.entry);
    e.memory('load32', 24);
    e.op(0x6a);
  }

  /**
   * Double arithmetic, leaving an f64: the host's own operation when NX is set already, rounding
   * is to nearest and the result is a normal number; else the exact helper decides.
   */
  private usual(call: Expr & { k: 'call' }, operation: readonly number[]): void {
    const { e } = this;
    const rm = (this.bits >>> 12) & 7;
    if (rm !== 0 && rm !== 7) {
      e.expr(call);
      e.op(0xbf);
      return;
    }
    if (call.name === 'fmadd_op_d') this.fusedOperands();
    else {
      for (const arg of call.args.slice(1, -1)) if (arg.k === 'name') this.float(arg.name);
    }
    e.op(...operation);
    if (call.name === 'fmadd_op_d') e.op(0xfd, 0x21, 0);
    e.tee(local.real);
    e.op(0xbd);
    e.i64(1);
    e.op(0x86); // without its sign
    e.i64(0x0020_0000_0000_0002n);
    e.op(0x7d);
    e.i64(0xffbf_ffff_ffff_fffen);
    e.op(0x54);
    e.get(local.h);
    e.memory('load64', fieldOffset('fflags'));
    e.i64(rm === 7 ? 0xffff_ffff_0000_0001n : 1);
    e.op(0x83);
    e.i64(1);
    e.op(0x51, 0x71);
    e.op(0x45);
    e.hint(false);
    e.open(4);
    e.expr(call);
    e.op(0xbf);
    e.set(local.real);
    e.close();
    e.get(local.real);
  }

  private float(name: string): void {
    if (name === 'fs1' || name === 'fs2' || name === 'fs3') this.e.gap(hole[name]);
  }

  /** ±fs1, fs2, ±fs3 as vectors; opcode bits 3:2 say which signs turn (fmadd … fnmadd). */
  private fusedOperands(): void {
    const form = (this.bits >>> 2) & 3;
    const splat = (name: string, negate: boolean) => {
      this.float(name);
      if (negate) this.e.op(0x9a);
      this.e.op(0xfd, 0x14);
    };
    splat('fs1', form >= 2);
    splat('fs2', false);
    splat('fs3', (form & 1) !== 0);
  }
}

/**
 * Pushes whether the TLB has the page for `size` bytes at `va`. That is `va - tag <u 4097 - size`,
 * turned round: V8 reads a tag on the right of a subtraction twice.
 */
export function emitHit(e: Emitter, tag: number, size: number, tlbMask: number): void {
  emitEntry(e, tag, tlbMask);
  e.get(local.va);
  e.op(0x7d);
  e.i64(4096 - size);
  e.op(0x7c);
  e.i64(4097 - size);
  e.op(0x54);
}

/** Pushes a tag of va's TLB entry; `entry` then points at it. */
export function emitEntry(e: Emitter, tag: number, tlbMask: number): void {
  e.get(local.tlb);
  e.get(local.va);
  e.i64(7);
  e.op(0x88, 0xa7);
  e.i32(tlbMask);
  e.op(0x71, 0x6a);
  e.tee(local.entry);
  e.memory('load64', tag);
}
