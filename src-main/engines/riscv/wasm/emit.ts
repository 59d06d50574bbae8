/**
 * Turns W statements into one WebAssembly function body. The interpreter compiles whole functions
 * with it; the translator compiles the same instruction snippets with its own `Binder`, which says
 * what `rs1`, `rd`, `imm`, `pc` and the guest memory words mean in translated code.
 */
import { Assembler } from './assembler.ts';
import { Bytes } from './bytes.ts';
import { arithmetic, comparison, intrinsics } from './intrinsics.ts';
import type { Signature, Type } from './module.ts';
import type { Expr, Func, Stmt } from './parse.ts';

export interface Binder {
  /** Emits the value of an outside name; null when it does not know the name. */
  get(e: Emitter, name: string): Type | null;
  typeOf(name: string): Type | null;
  /** Assigns to an outside name; false when it does not know the name. */
  set(e: Emitter, name: string, value: Expr): boolean;
  /** Emits a call of an outside word; undefined when it does not know the word. */
  call(e: Emitter, name: string, args: Expr[]): Type | null | undefined;
  callType(name: string): Type | null | undefined;
}

/** What all functions of a module share. */
export interface Scope {
  constants: ReadonlyMap<string, { value: bigint; type: Type }>;
  fields: ReadonlyMap<string, { offset: number; type: Type }>;
  inlines: ReadonlyMap<string, Func>;
  /** Index and signature of a callable function; may import it on first use. */
  callee(name: string): { index: number; signature: Signature } | null;
  /** Type index of what `invoke` calls through the table. */
  invokeType?: number;
}

interface Local {
  index: number;
  type: Type;
}

export class Emitter extends Assembler {
  readonly scope: Scope;
  private readonly binder: Binder | null;
  private names: Map<string, Local> = new Map();
  private readonly loops: { break: number; continue: number }[] = [];
  private result: Type | null = null;
  private returnDepth = -1;

  /** `code`: an empty buffer to write to. */
  constructor(scope: Scope, binder: Binder | null = null, code = new Bytes()) {
    super(code);
    this.scope = scope;
    this.binder = binder;
  }

  // ---- locals

  param(name: string, type: Type): number {
    const index = this.addParam();
    this.names.set(name, { index, type });
    return index;
  }

  bind(name: string, index: number, type: Type): void {
    this.names.set(name, { index, type });
  }

  callFunction(name: string): Type | null {
    const callee = this.scope.callee(name);
    if (callee === null) throw new Error(`W: unknown function ${name}`);
    this.code.u8(0x10);
    this.code.u32(callee.index);
    return callee.signature.result;
  }

  // ---- expressions

  typeOf(e: Expr): Type | null {
    switch (e.k) {
      case 'num':
        return e.type;
      case 'name':
        return (
          this.names.get(e.name)?.type ??
          this.scope.constants.get(e.name)?.type ??
          this.binder?.typeOf(e.name) ??
          null
        );
      case 'field':
        return this.field(e.name).type;
      case 'unary':
        return e.op === '!' ? 'i32' : this.typeOf(e.e);
      case 'cond':
        return this.typeOf(e.a) ?? this.typeOf(e.b);
      case 'binary':
        if (e.op in comparison || e.op === '&&' || e.op === '||') return 'i32';
        return this.typeOf(e.l) ?? this.typeOf(e.r);
      case 'call':
        return this.callType(e);
    }
  }

  private callType(e: Expr & { k: 'call' }): Type | null {
    if (e.name === 'select') return this.typeOf(e.args[1]!) ?? this.typeOf(e.args[2]!);
    if (e.name === 'invoke') return 'i32';
    const bound = this.binder?.callType(e.name);
    if (bound !== undefined) return bound;
    const inline = this.scope.inlines.get(e.name);
    if (inline !== undefined) return inline.result;
    const word = intrinsics.get(e.name);
    if (word !== undefined) return word.result;
    return this.scope.callee(e.name)?.signature.result ?? null;
  }

  private field(name: string): { offset: number; type: Type } {
    const field = this.scope.fields.get(name);
    if (field === undefined) throw new Error(`W: unknown field ${name}`);
    return field;
  }

  /** Emits an expression; `want` types a bare literal. Returns its type (null: no value). */
  expr(e: Expr, want: Type | null = null): Type | null {
    switch (e.k) {
      case 'num': {
        const type = e.type ?? want ?? 'i32';
        if (type === 'i32') this.i32(Number(BigInt.asIntN(32, e.value)));
        else if (type === 'i64') this.i64(e.value);
        else throw new Error('W: float literals are written as bits');
        return type;
      }
      case 'name':
        return this.nameValue(e.name);
      case 'field': {
        const field = this.field(e.name);
        this.expr(e.base, 'i32');
        this.memory(field.type === 'i64' ? 'load64' : 'load32', field.offset);
        return field.type;
      }
      case 'unary':
        return this.unary(e, want);
      case 'binary':
        return this.binary(e, want);
      case 'cond': {
        const type = this.typeOf(e.a) ?? this.typeOf(e.b) ?? want ?? 'i32';
        this.value(e.c, 'i32');
        this.open(4, type);
        this.value(e.a, type);
        this.otherwise();
        this.value(e.b, type);
        this.close();
        return type;
      }
      case 'call':
        return this.call(e);
    }
  }

  /** Emits an expression that must have this type. */
  value(e: Expr, type: Type): void {
    const got = this.expr(e, type);
    if (got !== type) throw new Error(`W: want ${type}, got ${got} in ${show(e)}`);
  }

  private nameValue(name: string): Type {
    const local = this.names.get(name);
    if (local !== undefined) {
      this.get(local.index);
      return local.type;
    }
    const constant = this.scope.constants.get(name);
    if (constant !== undefined) {
      if (constant.type === 'i32') this.i32(Number(BigInt.asIntN(32, constant.value)));
      else this.i64(constant.value);
      return constant.type;
    }
    const bound = this.binder?.get(this, name) ?? null;
    if (bound === null) throw new Error(`W: unknown name ${name}`);
    return bound;
  }

  private unary(e: Expr & { k: 'unary' }, want: Type | null): Type {
    if (e.op === '!') {
      const type = this.expr(e.e, 'i32');
      this.code.u8(type === 'i64' ? 0x50 : 0x45);
      return 'i32';
    }
    const type = this.typeOf(e.e) ?? want ?? 'i32';
    if (e.op === '~') {
      this.value(e.e, type);
      if (type === 'i64') this.i64(-1);
      else this.i32(-1);
      this.code.u8(type === 'i64' ? 0x85 : 0x73);
      return type;
    }
    if (type === 'f64' || type === 'f32') {
      this.value(e.e, type);
      this.code.u8(type === 'f64' ? 0x9a : 0x8c);
      return type;
    }
    if (type === 'i64') this.i64(0);
    else this.i32(0);
    this.value(e.e, type);
    this.code.u8(type === 'i64' ? 0x7d : 0x6b);
    return type;
  }

  private binary(e: Expr & { k: 'binary' }, want: Type | null): Type {
    if (e.op === '&&' || e.op === '||') {
      this.value(e.l, 'i32');
      this.open(4, 'i32');
      if (e.op === '||') this.i32(1);
      else this.value(e.r, 'i32');
      this.otherwise();
      if (e.op === '||') this.value(e.r, 'i32');
      else this.i32(0);
      this.close();
      return 'i32';
    }
    const compare = comparison[e.op];
    const type = this.typeOf(e.l) ?? this.typeOf(e.r) ?? (compare ? null : want) ?? 'i32';
    this.value(e.l, type);
    this.value(e.r, type);
    const opcode = (compare ?? arithmetic[e.op])?.[type];
    if (opcode === undefined) throw new Error(`W: no ${e.op} for ${type}`);
    this.code.u8(opcode);
    return compare ? 'i32' : type;
  }

  private call(e: Expr & { k: 'call' }): Type | null {
    if (e.name === 'select') {
      const type = this.callType(e) ?? 'i32';
      this.value(e.args[1]!, type);
      this.value(e.args[2]!, type);
      this.value(e.args[0]!, 'i32');
      this.code.u8(0x1b);
      return type;
    }
    if (e.name === 'invoke') {
      const [slot, ...rest] = e.args;
      for (const arg of [...rest, slot!]) this.value(arg, 'i32');
      this.code.u8(0x11);
      this.code.u32(this.scope.invokeType ?? 0);
      this.code.u8(0);
      return 'i32';
    }
    if (e.name === 'memory_fill') {
      for (const arg of e.args) this.value(arg, 'i32');
      this.op(0xfc, 11, 0);
      return null;
    }
    if (e.name === 'fence') {
      this.op(0xfe, 0x03, 0);
      return null;
    }
    const bound = this.binder?.call(this, e.name, e.args);
    if (bound !== undefined) return bound;
    const inline = this.scope.inlines.get(e.name);
    if (inline !== undefined) return this.inline(inline, e.args);
    const word = intrinsics.get(e.name);
    if (word !== undefined) {
      word.params.forEach((type, i) => this.value(e.args[i]!, type));
      this.code.all(word.code);
      if (word.align !== undefined) {
        const offset = e.args[word.params.length];
        this.code.u32(word.align);
        this.code.u32(offset === undefined ? 0 : this.constant(offset));
      }
      return word.result;
    }
    const signature = this.scope.callee(e.name)?.signature;
    if (signature === undefined) throw new Error(`W: unknown function ${e.name}`);
    if (signature.params.length !== e.args.length) {
      throw new Error(`W: ${e.name} takes ${signature.params.length} arguments`);
    }
    signature.params.forEach((type, i) => this.value(e.args[i]!, type));
    return this.callFunction(e.name);
  }

  private constant(e: Expr): number {
    if (e.k === 'num') return Number(e.value);
    if (e.k === 'name') {
      const constant = this.scope.constants.get(e.name);
      if (constant !== undefined) return Number(constant.value);
    }
    throw new Error(`W: not a constant: ${show(e)}`);
  }

  private inline(f: Func, args: Expr[]): Type | null {
    if (args.length !== f.params.length) throw new Error(`W: arguments of ${f.name}`);
    const outer = this.names;
    const inner = new Map<string, Local>();
    f.params.forEach((p, i) => {
      const arg = args[i]!;
      const known = arg.k === 'name' ? this.names.get(arg.name) : undefined;
      if (known !== undefined && known.type === p.type && !assigns(f.body, p.name)) {
        inner.set(p.name, known);
        return;
      }
      this.value(arg, p.type);
      const index = this.alloc(p.type);
      this.set(index);
      inner.set(p.name, { index, type: p.type });
    });
    const own = [...inner.entries()];
    this.names = inner;
    const { result, returnDepth } = this;
    const savedLoops = this.loops.splice(0);
    this.result = f.result;
    const last = f.body.at(-1);
    if (f.body.length === 1 && last?.k === 'return' && last.e !== null && f.result !== null) {
      this.value(last.e, f.result);
    } else {
      this.returnDepth = this.open(2, f.result);
      this.block(f.body);
      if (f.result !== null && last?.k !== 'return') this.code.u8(0x00);
      else if (f.result !== null) this.code.u8(0x00);
      this.close();
    }
    this.loops.push(...savedLoops);
    this.result = result;
    this.returnDepth = returnDepth;
    this.names = outer;
    own.forEach(([name, local], i) => {
      const arg = args[i]!;
      const shared = arg.k === 'name' && outer.get(arg.name)?.index === local.index;
      if (!shared && name !== '') this.release(local.type, local.index);
    });
    return f.result;
  }

  // ---- statements

  /** Compiles a whole function. */
  function(f: Func): Bytes {
    for (const p of f.params) this.param(p.name, p.type);
    this.result = f.result;
    this.block(f.body);
    if (f.result !== null) this.code.u8(0x00);
    return this.finish();
  }

  block(body: readonly Stmt[]): void {
    const outer = this.names;
    this.names = new Map(outer);
    for (const s of body) this.statement(s);
    for (const [name, local] of this.names) {
      if (outer.get(name)?.index !== local.index) this.release(local.type, local.index);
    }
    this.names = outer;
  }

  statement(s: Stmt): void {
    switch (s.k) {
      case 'let': {
        const type = s.type ?? this.typeOf(s.e) ?? 'i32';
        this.value(s.e, type);
        const index = this.alloc(type);
        this.set(index);
        this.names.set(s.name, { index, type });
        return;
      }
      case 'set':
        return this.assign(s.target, s.e);
      case 'if':
        this.condition(s.c);
        this.open(4);
        this.block([s.a]);
        if (s.b !== null) {
          this.otherwise();
          this.block([s.b]);
        }
        return this.close();
      case 'while':
      case 'loop':
        return this.loop(s);
      case 'break':
        return this.br(this.loops.at(-1)!.break);
      case 'continue':
        return this.br(this.loops.at(-1)!.continue);
      case 'return':
        if (s.e !== null) this.value(s.e, this.result!);
        if (this.returnDepth >= 0) this.br(this.returnDepth);
        else this.code.u8(0x0f);
        return;
      case 'switch':
        return this.switchStatement(s);
      case 'block':
        return this.block(s.body);
      case 'expr':
        if (this.expr(s.e) !== null) this.code.u8(0x1a);
    }
  }

  private condition(c: Expr): void {
    if (this.expr(c) === 'i64') {
      this.i64(0);
      this.code.u8(0x52);
    }
  }

  private assign(target: Expr, e: Expr): void {
    if (target.k === 'field') {
      const field = this.field(target.name);
      this.expr(target.base, 'i32');
      this.value(e, field.type);
      this.memory(field.type === 'i64' ? 'store64' : 'store32', field.offset);
      return;
    }
    if (target.k !== 'name') throw new Error('W: cannot assign to that');
    const local = this.names.get(target.name);
    if (local !== undefined) {
      this.value(e, local.type);
      this.set(local.index);
      return;
    }
    if (this.binder?.set(this, target.name, e)) return;
    throw new Error(`W: cannot assign to ${target.name}`);
  }

  private loop(s: Stmt & { k: 'while' | 'loop' }): void {
    const out = this.open(2);
    const again = this.open(3);
    this.loops.push({ break: out, continue: again });
    if (s.k === 'while') {
      this.condition(s.c);
      this.code.u8(0x45);
      this.brIf(out);
    }
    this.block([s.body]);
    this.br(again);
    this.loops.pop();
    this.close();
    this.close();
  }

  private switchStatement(s: Stmt & { k: 'switch' }): void {
    const out = this.open(2);
    const other = this.open(2);
    const labels = s.cases.map(() => this.open(2));
    const highest = Math.max(...s.cases.flatMap((c) => c.values));
    const targets = new Array<number>(highest + 1).fill(other);
    s.cases.forEach((c, i) => {
      for (const v of c.values) targets[v] = labels[s.cases.length - 1 - i]!;
    });
    this.value(s.e, 'i32');
    this.code.u8(0x0e);
    this.code.u32(targets.length);
    for (const target of targets) this.code.u32(this.depth - 1 - target);
    this.code.u32(this.depth - 1 - other);
    for (const c of s.cases) {
      this.close();
      this.block(c.body);
      this.br(out);
    }
    this.close();
    this.block(s.other);
    this.close();
  }
}

function assigns(body: readonly Stmt[], name: string): boolean {
  return JSON.stringify(body, (_, v: unknown) => (typeof v === 'bigint' ? String(v) : v)).includes(
    `"target":{"k":"name","name":"${name}"}`,
  );
}

function show(e: Expr): string {
  const plain = (_: string, v: unknown) => (typeof v === 'bigint' ? String(v) : v);
  return JSON.stringify(e, plain).slice(0, 300);
}
