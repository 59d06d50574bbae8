/**
 * Lays out a WebAssembly module: types, imports (functions, one shared memory, one table),
 * functions, exports. Functions are numbered imports first; add every import before the first
 * function. The caller fills each function's body with bytes.
 */
import { Bytes } from './bytes.ts';

export type Type = 'i32' | 'i64' | 'f32' | 'f64';
export const typeCode: Record<Type, number> = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c };

export interface Signature {
  params: readonly Type[];
  result: Type | null;
}

interface Import {
  name: string;
  type: number;
}

interface Func {
  type: number;
  name: string;
  exported: boolean;
  hints: readonly Hint[];
}

/** Which way the `if` or `br_if` at a place of a function's body nearly always goes. */
export interface Hint {
  at: number;
  taken: boolean;
}

/** Of 64 KiB: the memory that is given may be of any size up to this. */
const memoryPagesMax = 0x1_0000;

/** Buffers are dear to make; a module is built without pause, so all are built in these. */
const whole = new Bytes(0x1_0000);
const part = new Bytes(0x1000);
const bodies = new Bytes(0x1_0000);

export class ModuleBuilder {
  private readonly typeKeys = new Map<string, number>();
  private readonly types: Signature[] = [];
  private readonly imports: Import[] = [];
  private readonly functions: Func[] = [];
  private readonly placed: { slot: number; ordinal: number }[] = [];

  constructor() {
    bodies.clear();
  }

  type(signature: Signature): number {
    const key = `${signature.params.join()}>${signature.result ?? ''}`;
    const known = this.typeKeys.get(key);
    if (known !== undefined) return known;
    this.types.push(signature);
    this.typeKeys.set(key, this.types.length - 1);
    return this.types.length - 1;
  }

  importFunction(name: string, signature: Signature): number {
    this.imports.push({ name, type: this.type(signature) });
    return this.imports.length - 1;
  }

  /** `hints` by rising place in the body. */
  addFunction(
    name: string, signature: Signature, exported: boolean, body: Bytes, hints: readonly Hint[] = [],
  ): number { // prettier-ignore
    this.functions.push({ name, type: this.type(signature), exported, hints });
    bodies.u32(body.length);
    bodies.append(body);
    return this.imports.length + this.functions.length - 1;
  }

  /** Instantiation puts the function that was added as number `ordinal` into the table. */
  place(slot: number, ordinal: number): void {
    this.placed.push({ slot, ordinal });
  }

  build(): Uint8Array<ArrayBuffer> {
    const out = whole;
    out.clear();
    out.all([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
    section(out, 1, (b) => {
      b.u32(this.types.length);
      for (const t of this.types) {
        b.u8(0x60);
        b.u32(t.params.length);
        for (const p of t.params) b.u8(typeCode[p]);
        b.u32(t.result === null ? 0 : 1);
        if (t.result !== null) b.u8(typeCode[t.result]);
      }
    });
    section(out, 2, (b) => {
      b.u32(this.imports.length + 2);
      b.text('e');
      b.text('memory');
      b.all([2, 3]);
      b.u32(0);
      b.u32(memoryPagesMax);
      b.text('e');
      b.text('table');
      b.all([1, 0x70, 0, 0]);
      for (const i of this.imports) {
        b.text('e');
        b.text(i.name);
        b.u8(0);
        b.u32(i.type);
      }
    });
    section(out, 3, (b) => {
      b.u32(this.functions.length);
      for (const f of this.functions) b.u32(f.type);
    });
    section(out, 7, (b) => {
      b.u32(this.functions.filter((f) => f.exported).length);
      this.functions.forEach((f, n) => {
        if (!f.exported) return;
        b.text(f.name);
        b.u8(0);
        b.u32(this.imports.length + n);
      });
    });
    this.elements(out);
    this.branchHints(out);
    section(out, 10, (b) => {
      b.u32(this.functions.length);
      b.append(bodies);
    });
    return out.take();
  }

  private elements(out: Bytes): void {
    if (this.placed.length === 0) return;
    section(out, 9, (b) => {
      b.u32(this.placed.length);
      for (const { slot, ordinal } of this.placed) {
        b.all([0, 0x41]);
        b.s32(slot);
        b.all([0x0b, 1]);
        b.u32(this.imports.length + ordinal);
      }
    });
  }

  /** The section of the branch hinting proposal, which stands before the code. */
  private branchHints(out: Bytes): void {
    const hinted = this.functions.filter((f) => f.hints.length > 0);
    if (hinted.length === 0) return;
    section(out, 0, (b) => {
      b.text('metadata.code.branch_hint');
      b.u32(hinted.length);
      this.functions.forEach((f, n) => {
        if (f.hints.length === 0) return;
        b.u32(this.imports.length + n);
        b.u32(f.hints.length);
        for (const { at, taken } of f.hints) {
          b.u32(at);
          b.u8(1);
          b.u8(taken ? 1 : 0);
        }
      });
    });
  }
}

function section(out: Bytes, id: number, fill: (b: Bytes) => void): void {
  part.clear();
  fill(part);
  out.u8(id);
  out.u32(part.length);
  out.append(part);
}
