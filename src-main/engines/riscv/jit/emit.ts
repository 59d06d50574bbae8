/**
 * Writes a region as one WebAssembly function `r(h, fuel) → fuel`: integer registers in locals,
 * loops and joins as structured code, the TLB inline. On entry h.pc says where in the address
 * space the page stands; on every way out h.pc and the registers are in memory again, and the
 * next region is called in tail position through its table slot (slot 0 goes back to `run`).
 *
 * Fuel is taken per block; loops look at it and at the mailbox on each turn.
 */
import { fieldOffset, fields, hartAt } from '../layout.ts';
import { Emitter } from '../wasm/emit.ts';
import type { Binder, Scope } from '../wasm/emit.ts';
import { ModuleBuilder } from '../wasm/module.ts';
import type { Signature, Type } from '../wasm/module.ts';
import { Parser } from '../wasm/parse.ts';
import type { Expr, Func, Stmt } from '../wasm/parse.ts';
import { invokeSignature } from '../wasm/compile.ts';
import type { Instruction } from '../cpu/isa.ts';
import { edgeKey } from './flow.ts';
import { hostFusesMadd, maddFused } from './fused.ts';
import type { Flow } from './flow.ts';
import type { Block, Step } from './region.ts';
import { registerUse, setKey, writes } from './registers.ts';
import type { RegisterSet, RegisterUse } from './registers.ts';

export interface Environment {
  memoryPages: number;
  constants: Scope['constants'];
  inlines: ReadonlyMap<string, Func>;
  signatures: ReadonlyMap<string, Signature>;
  /** Table slot of the region at an offset of the same page, made if there is none. */
  slot(offset: number): number;
}

export interface Emitted {
  bytes: Uint8Array<ArrayBuffer>;
  imports: string[];
}

const parsed = new Map<Instruction, Stmt[]>();

function statementsOf(what: Instruction): Stmt[] {
  let statements = parsed.get(what);
  if (statements === undefined) {
    statements =
      what.kind === 'branch'
        ? [{ k: 'expr', e: new Parser(what.code).expression() }]
        : new Parser(what.code).statements();
    parsed.set(what, statements);
  }
  return statements;
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

export function emitRegion(flow: Flow, environment: Environment): Emitted {
  return new RegionEmitter(flow, environment).emit();
}

class RegionEmitter implements Binder {
  private readonly flow: Flow;
  private readonly env: Environment;
  private readonly use: RegisterUse;
  private readonly builder: ModuleBuilder;
  private readonly importIndex = new Map<string, number>();
  private readonly e: Emitter;
  private readonly locals = new Array<number>(32).fill(-1);
  private readonly children: number[][];
  private readonly loopLabel = new Map<number, number>();
  private readonly joinLabel = new Map<number, number>();
  private readonly floats = new Array<number>(32).fill(-1);
  private readonly faultLabel = new Map<string, number>();
  private h = 0;
  private fuel = 0;
  private tlb = 0;
  private page = 0;
  private entry = 0;
  private va = 0;
  private value = 0;
  private real = 0;
  private faultAt = 0;
  private step!: Step;
  private dirty: RegisterSet = { x: 0, f: 0 };
  private left = 0; // instructions of the block after the present one
  private gates = 0; // FPU checks already made
  private readonly gatesAfter: number[] = [];

  constructor(flow: Flow, env: Environment) {
    this.flow = flow;
    this.env = env;
    this.use = registerUse(flow);
    this.builder = new ModuleBuilder(env.memoryPages, true);
    const scope: Scope = {
      constants: env.constants,
      fields,
      inlines: env.inlines,
      callee: (name) => this.callee(name),
    };
    this.e = new Emitter(scope, this);
    this.children = flow.order.map(() => []);
    flow.order.forEach((_, n) => {
      if (n > 0 && flow.join[n]) this.children[flow.parent[n]!]!.push(n);
    });
  }

  private callee(name: string): { index: number; signature: Signature } | null {
    const signature = this.env.signatures.get(name);
    if (signature === undefined) return null;
    let index = this.importIndex.get(name);
    if (index === undefined) {
      index = this.builder.importFunction(name, signature);
      this.importIndex.set(name, index);
    }
    return { index, signature };
  }

  emit(): Emitted {
    const { e } = this;
    this.h = e.param('h', 'i32');
    this.fuel = e.param('fuel', 'i32');
    this.tlb = e.alloc('i32');
    this.entry = e.alloc('i32');
    this.faultAt = e.alloc('i32');
    this.page = e.alloc('i64');
    this.va = e.alloc('i64');
    this.value = e.alloc('i64');
    this.real = e.alloc('f64');
    this.prologue();
    // Outside everything: one block per set of registers that a fault has to write back.
    const groups = [...this.use.faults];
    for (const [key] of groups) this.faultLabel.set(key, e.open(2));
    this.tree(0);
    e.op(0x00);
    for (const [, set] of groups.toReversed()) {
      e.close();
      this.faultExit(set);
    }
    e.op(0x00);
    this.builder.addFunction('r', invokeSignature, true, e.finish());
    return { bytes: this.builder.build(), imports: [...this.importIndex.keys()] };
  }

  private prologue(): void {
    const { e } = this;
    e.get(this.h);
    e.memory('load32', fieldOffset('poke'));
    e.get(this.fuel);
    e.i32(1);
    e.op(0x48); // fuel < 1
    e.op(0x72);
    e.open(4);
    e.get(this.fuel);
    e.op(0x0f);
    e.close();
    e.get(this.h);
    e.memory('load32', fieldOffset('tlb'));
    e.set(this.tlb);
    e.get(this.h);
    e.memory('load64', fieldOffset('pc'));
    e.i64(-4096);
    e.op(0x83);
    e.set(this.page);
    const { used, load } = this.use;
    for (let n = 1; n < 32; n++) {
      if (((used.x >>> n) & 1) === 0) continue;
      this.locals[n] = e.alloc('i64');
      if (((load.x >>> n) & 1) === 0) continue;
      e.get(this.h);
      e.memory('load64', n * 8);
      e.set(this.locals[n]!);
    }
    for (let n = 0; n < 32; n++) {
      if (((used.f >>> n) & 1) === 0) continue;
      this.floats[n] = e.alloc('f64');
      if (((load.f >>> n) & 1) === 0) continue;
      e.get(this.h);
      e.memory('loadf64', hartAt.f + n * 8);
      e.set(this.floats[n]!);
    }
  }

  // ---- structure

  private tree(n: number): void {
    const { e } = this;
    const looping = this.flow.loop[n]!;
    if (looping) this.loopLabel.set(n, e.open(3));
    this.within(n, [...this.children[n]!].sort((a, b) => b - a));
    if (looping) {
      e.op(0x00);
      e.close();
    }
  }

  private within(n: number, joins: number[]): void {
    const [first, ...rest] = joins;
    if (first === undefined) return this.block(n);
    this.joinLabel.set(first, this.e.open(2));
    this.within(n, rest);
    this.e.close();
    this.tree(first);
  }

  private block(n: number): void {
    const { e } = this;
    const block = this.flow.order[n]!;
    this.dirty = { ...this.use.dirty[n]! };
    // What a dominator has checked holds here: neither FS nor frm changes inside a region.
    this.gates = n === 0 ? 0 : this.gatesAfter[this.flow.parent[n]!]!;
    this.left = block.count;
    if (block.count > 0) {
      e.get(this.fuel);
      e.i32(block.count);
      e.op(0x6b);
      e.set(this.fuel);
    }
    for (const step of block.steps) this.instruction(step);
    this.gatesAfter[n] = this.gates;
    this.terminate(block);
  }

  private terminate(block: Block): void {
    const { last } = block;
    if (last !== null) {
      this.step = last;
      this.left--;
    }
    switch (block.end) {
      case 'goto':
        return this.follow(block, block.next);
      case 'branch': {
        const s = statementsOf(last!.what)[0]!;
        if (s.k === 'expr') this.e.value(s.e, 'i32');
        const dirty = { ...this.dirty };
        this.e.open(4);
        this.follow(block, block.next);
        this.e.close();
        this.dirty = dirty;
        return this.follow(block, block.other);
      }
      case 'jump':
        this.link(block);
        return this.leaveTo(block.next);
      case 'indirect':
        return this.indirect(block);
      case 'stop':
        this.writeBack(this.dirty);
        this.storePc(block.next);
        this.e.get(this.fuel);
        this.e.op(0x0f);
    }
  }

  /** Goes on to an offset: inside the region where it can, else out. */
  private follow(from: Block, target: number): void {
    const { e, flow } = this;
    const to = flow.index.get(target);
    const cut = flow.cut.has(edgeKey(from.start, target));
    if (to === undefined || cut) return this.leaveTo(target);
    const here = flow.index.get(from.start)!;
    if (to <= here) {
      e.get(this.fuel);
      e.i32(1);
      e.op(0x48);
      e.get(this.h);
      e.memory('load32', fieldOffset('poke'));
      e.op(0x72);
      e.open(4);
      this.writeBack(this.dirty);
      this.storePc(target);
      e.get(this.fuel);
      e.op(0x0f);
      e.close();
      return e.br(this.loopLabel.get(to)!);
    }
    if (flow.join[to]) return e.br(this.joinLabel.get(to)!);
    this.tree(to);
  }

  // ---- ways out

  private writeBack(set: RegisterSet): void {
    for (let n = 1; n < 32; n++) {
      if (((set.x >>> n) & 1) === 0) continue;
      this.e.get(this.h);
      this.e.get(this.locals[n]!);
      this.e.memory('store64', n * 8);
    }
    for (let n = 0; n < 32; n++) {
      if (((set.f >>> n) & 1) === 0) continue;
      this.e.get(this.h);
      this.e.get(this.floats[n]!);
      this.e.memory('storef64', hartAt.f + n * 8);
    }
  }

  private pageOffset(offset: number): void {
    this.e.get(this.page);
    if (offset === 0) return;
    this.e.i64(offset);
    this.e.op(0x7c);
  }

  private storePc(offset: number): void {
    this.e.get(this.h);
    this.pageOffset(offset);
    this.e.memory('store64', fieldOffset('pc'));
  }

  private tailCall(): void {
    this.e.op(0x13);
    this.e.code.u32(this.builder.type(invokeSignature));
    this.e.code.u32(0);
  }

  private leaveTo(offset: number): void {
    const { e } = this;
    this.writeBack(this.dirty);
    if (offset >= 0 && offset < 4096) {
      this.storePc(offset);
      e.get(this.h);
      e.get(this.fuel);
      e.i32(this.env.slot(offset));
      return this.tailCall();
    }
    this.pageOffset(offset);
    e.set(this.va);
    this.leaveByLookup();
  }

  /** Out to the address in `va`, through the fetch side of the TLB and the page's code map. */
  private leaveByLookup(): void {
    const { e } = this;
    e.get(this.h);
    e.get(this.va);
    e.memory('store64', fieldOffset('pc'));
    this.entryOf(16, () => {
      e.get(this.va);
      e.i64(-4096);
      e.op(0x83);
    });
    e.op(0x52); // ne
    e.open(4);
    e.get(this.fuel);
    e.op(0x0f);
    e.close();
    e.get(this.h);
    e.get(this.fuel);
    e.get(this.entry);
    e.memory('load32', 28);
    e.get(this.va);
    e.op(0xa7);
    e.i32(0xffe);
    e.op(0x71, 0x6a);
    e.memory('load16u', 0);
    this.tailCall();
  }

  /** Leaves [what `before` emits, tag of va's TLB entry] on the stack; `entry` points at it. */
  private entryOf(tag: number, before: () => void): void {
    const { e } = this;
    before();
    e.get(this.tlb);
    e.get(this.va);
    e.i64(7);
    e.op(0x88, 0xa7);
    e.i32(Number(this.env.constants.get('TLB_MASK')!.value));
    e.op(0x71, 0x6a);
    e.tee(this.entry);
    e.memory('load64', tag);
  }

  private link(block: Block): void {
    const rd = (block.last!.bits >>> 7) & 31;
    if (rd === 0) return;
    this.pageOffset(block.other);
    this.e.set(this.locals[rd]!);
    this.dirty.x |= 1 << rd;
  }

  private indirect(block: Block): void {
    const { e } = this;
    const last = block.last!;
    this.get(e, 'rs1');
    if (last.imm !== 0) {
      e.i64(last.imm);
      e.op(0x7c);
    }
    e.i64(-2);
    e.op(0x83);
    e.set(this.va);
    this.link(block);
    this.writeBack(this.dirty);
    this.leaveByLookup();
  }

  private faultExit(set: RegisterSet): void {
    const { e } = this;
    this.writeBack(set);
    e.get(this.h);
    e.get(this.page);
    e.get(this.faultAt);
    e.op(0xad, 0x7c);
    e.memory('store64', fieldOffset('pc'));
    e.get(this.fuel);
    e.op(0x0f);
  }

  /** Leaves for the fault exit when h.fault is set. */
  private checkFault(): void {
    const { e } = this;
    e.get(this.h);
    e.memory('load32', fieldOffset('fault'));
    e.open(4);
    this.toFault();
    e.close();
  }

  private toFault(): void {
    const { e } = this;
    e.i32(this.step.at);
    e.set(this.faultAt);
    if (this.left > 0) {
      e.get(this.fuel);
      e.i32(this.left);
      e.op(0x6a);
      e.set(this.fuel);
    }
    const label = this.faultLabel.get(setKey(this.dirty));
    if (label === undefined) throw new Error('a fault mask was not foreseen');
    e.br(label);
  }

  // ---- instructions

  private instruction(step: Step): void {
    this.step = step;
    this.left--;
    const { kind } = step.what;
    const written = writes(step);
    if (kind === 'plain' && written.x === 0 && !step.what.code.includes('fence')) return;
    if (kind === 'fp' || kind === 'fpmem') this.gate(step);
    for (const s of statementsOf(step.what)) {
      if (kind === 'mem' && s.k === 'expr' && s.e.k === 'call' && !(s.e.name in storeWords)) {
        this.e.statement(s);
        this.checkFault();
      } else this.e.statement(s);
    }
    this.dirty.x |= written.x;
    this.dirty.f |= written.f;
  }

  /** Is the FPU on, and if frm decides, is it a rounding mode: once, for all that follows. */
  private gate(step: Step): void {
    const { e } = this;
    const dynamic = step.what.rounded && ((step.bits >>> 12) & 7) === 7;
    const need = dynamic ? 3 : 1;
    if ((this.gates & need) === need) return;
    this.gates |= need;
    for (const name of ['mstatus', 'fsgate'] as const) {
      e.get(this.h);
      e.memory('load64', fieldOffset(name));
    }
    e.i64(0x6000);
    e.op(0x83, 0x83);
    e.i64(0x6000);
    e.op(0x52); // not all of them: off, or not yet marked as used
    if (dynamic) {
      this.frm();
      e.i32(4);
      e.op(0x4b, 0x72);
    }
    e.open(4);
    e.get(this.h);
    e.i32(step.raw);
    e.callFunction(dynamic ? 'fp_gate_rm' : 'fp_gate');
    e.op(0x45);
    e.open(4);
    this.toFault();
    e.close();
    e.close();
  }

  private frm(): void {
    this.e.get(this.h);
    this.e.memory('load32', fieldOffset('frm'));
  }

  // ---- what the snippets' names mean here

  private register(n: number): void {
    if (n === 0) this.e.i64(0);
    else this.e.get(this.locals[n]!);
  }

  get(e: Emitter, name: string): Type | null {
    const { bits } = this.step;
    switch (name) {
      case 'rs1':
      case 'rs2':
        this.register((bits >>> (name === 'rs1' ? 15 : 20)) & 31);
        return 'i64';
      case 'imm':
        e.i64(this.step.imm);
        return 'i64';
      case 'pc':
        this.pageOffset(this.step.at);
        return 'i64';
      case 'fs1':
      case 'fs2':
      case 'fs3': {
        this.float(name);
        e.op(0xbd); // its bits
        return 'i64';
      }
      case 'rm':
        if (((bits >>> 12) & 7) === 7) this.frm();
        else e.i32((bits >>> 12) & 7);
        return 'i32';
      case 'raw':
        e.i32(this.step.raw);
        return 'i32';
      case 'h':
        e.get(this.h);
        return 'i32';
      default:
        return null;
    }
  }

  /** Register fs1, fs2 or fs3 as an f64, whatever it holds. */
  private float(name: string): void {
    const shift = name === 'fs1' ? 15 : name === 'fs2' ? 20 : 27;
    this.e.get(this.floats[(this.step.bits >>> shift) & 31]!);
  }

  /**
   * Double arithmetic, leaving an f64: the host's own operation when NX is set already, rounding
   * is to nearest and the result is a normal number; else the exact helper decides.
   */
  private usual(call: Expr & { k: 'call' }, operation: readonly number[]): void {
    const { e } = this;
    const rm = (this.step.bits >>> 12) & 7;
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
    e.tee(this.real);
    e.op(0xbd);
    e.i64(1);
    e.op(0x86); // without its sign
    e.i64(0x0020_0000_0000_0002n);
    e.op(0x7d);
    e.i64(0xffbf_ffff_ffff_fffen);
    e.op(0x54);
    e.get(this.h);
    e.memory('load64', fieldOffset('fflags'));
    e.i64(rm === 7 ? 0xffff_ffff_0000_0001n : 1);
    e.op(0x83);
    e.i64(1);
    e.op(0x51, 0x71);
    e.op(0x45);
    e.open(4);
    e.expr(call);
    e.op(0xbf);
    e.set(this.real);
    e.close();
    e.get(this.real);
  }

  /** ±fs1, fs2, ±fs3 as vectors; opcode bits 3:2 say which signs turn (fmadd … fnmadd). */
  private fusedOperands(): void {
    const form = (this.step.bits >>> 2) & 3;
    const splat = (name: string, negate: boolean) => {
      this.float(name);
      if (negate) this.e.op(0x9a);
      this.e.op(0xfd, 0x14);
    };
    splat('fs1', form >= 2);
    splat('fs2', false);
    splat('fs3', (form & 1) !== 0);
  }

  typeOf(name: string): Type | null {
    if (/^(h|rm|raw)$/.test(name)) return 'i32';
    return /^(rs[12]|fs[123]|imm|pc)$/.test(name) ? 'i64' : null;
  }

  set(e: Emitter, name: string, value: Expr): boolean {
    const n = (this.step.bits >>> 7) & 31;
    if (name === 'fd') {
      const host = value.k === 'call' ? usualFloat[value.name] : undefined;
      if (host !== undefined && value.k === 'call') this.usual(value, host);
      else {
        e.value(value, 'i64');
        e.op(0xbf);
      }
      e.set(this.floats[n]!);
      return true;
    }
    if (name !== 'rd') return false;
    e.value(value, 'i64');
    const calls = value.k === 'call' && this.step.what.kind === 'mem';
    if (calls && !(value.name in loadWords)) {
      e.set(this.value);
      this.checkFault();
      e.get(this.value);
    }
    if (n === 0) e.op(0x1a);
    else e.set(this.locals[n]!);
    return true;
  }

  callType(name: string): Type | null | undefined {
    if (name in loadWords) return 'i64';
    return name in storeWords ? null : undefined;
  }

  call(e: Emitter, name: string, args: Expr[]): Type | null | undefined {
    const load = loadWords[name];
    if (load !== undefined) {
      this.address(args[1]!);
      this.hit(0, load.size);
      e.open(4, 'i64');
      this.hostAddress();
      e.memory(load.hit, 0);
      e.otherwise();
      e.get(this.h);
      e.get(this.va);
      e.i32(load.size);
      e.callFunction('slow_load');
      if (load.sign !== 0) e.op(load.sign);
      e.set(this.value);
      this.checkFault();
      e.get(this.value);
      e.close();
      return 'i64';
    }
    const store = storeWords[name];
    if (store === undefined) return undefined;
    this.address(args[1]!);
    this.hit(8, store.size);
    e.open(4);
    this.hostAddress();
    e.value(args[2]!, 'i64');
    e.memory(store.hit, 0);
    e.otherwise();
    e.get(this.h);
    e.get(this.va);
    e.value(args[2]!, 'i64');
    e.i32(store.size);
    e.callFunction('slow_store');
    this.checkFault();
    e.close();
    return null;
  }

  private address(expr: Expr): void {
    if (expr.k === 'binary' && this.step.imm === 0) this.e.value(expr.l, 'i64');
    else this.e.value(expr, 'i64');
    this.e.set(this.va);
  }

  private hit(tag: number, size: number): void {
    this.entryOf(tag, () => this.e.get(this.va));
    this.e.op(0x7d);
    this.e.i64(4097 - size);
    this.e.op(0x54);
  }

  private hostAddress(): void {
    this.e.get(this.va);
    this.e.op(0xa7);
    this.e.get(this.entry);
    this.e.memory('load32', 24);
    this.e.op(0x6a);
  }
}

