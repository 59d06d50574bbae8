/**
 * One WebAssembly function body, instruction by instruction.
 *
 * `depth` counts open blocks: a label is the depth at which its block was opened.
 */
import { Bytes } from './bytes.ts';
import { intrinsics } from './intrinsics.ts';
import { typeCode } from './module.ts';
import type { Hint, Type } from './module.ts';

export class Assembler {
  readonly code: Bytes;
  /** Places count from the code's begin, and from that of the body when it is finished. */
  hints: Hint[] = [];
  depth = 0;
  private readonly localTypes: Type[] = [];
  private readonly free: Record<Type, number[]> = { i32: [], i64: [], f32: [], f64: [] };
  private paramCount = 0;

  /** `code`: an empty buffer to write to. */
  constructor(code = new Bytes()) {
    this.code = code;
  }

  /** Parameters are the first locals. */
  addParam(): number {
    return this.paramCount++;
  }

  alloc(type: Type): number {
    const reused = this.free[type].pop();
    if (reused !== undefined) return reused;
    this.localTypes.push(type);
    return this.paramCount + this.localTypes.length - 1;
  }

  release(type: Type, index: number): void {
    this.free[type].push(index);
  }

  /** The finished body: local declarations, code, end. */
  finish(out = new Bytes()): Bytes {
    const runs: { type: Type; count: number }[] = [];
    for (const type of this.localTypes) {
      const last = runs.at(-1);
      if (last !== undefined && last.type === type) last.count++;
      else runs.push({ type, count: 1 });
    }
    out.u32(runs.length);
    for (const run of runs) {
      out.u32(run.count);
      out.u8(typeCode[run.type]);
    }
    for (const hint of this.hints) hint.at += out.length;
    out.append(this.code);
    out.u8(0x0b);
    return out;
  }

  get(index: number): void {
    this.code.u8(0x20);
    this.code.u32(index);
  }

  set(index: number): void {
    this.code.u8(0x21);
    this.code.u32(index);
  }

  tee(index: number): void {
    this.code.u8(0x22);
    this.code.u32(index);
  }

  i32(value: number): void {
    this.code.u8(0x41);
    this.code.s32(value);
  }

  i64(value: bigint | number): void {
    this.code.u8(0x42);
    this.code.s64(value);
  }

  /** A memory instruction by its W name. */
  memory(name: string, offset: number): void {
    this.memoryAt(name);
    this.code.u32(offset);
  }

  /** The same without its offset, which is to follow. */
  memoryAt(name: string): void {
    const word = intrinsics.get(name)!;
    this.code.all(word.code);
    this.code.u32(word.align!);
  }

  op(...bytes: number[]): void {
    this.code.all(bytes);
  }

  /** Says of the `if` or `br_if` that is written next which way it nearly always goes. */
  hint(taken: boolean): void {
    this.hints.push({ at: this.code.length, taken });
  }

  /** Opens `block` (2), `loop` (3) or `if` (4); returns its label. */
  open(opcode: number, type: Type | null = null): number {
    this.code.u8(opcode);
    this.code.u8(type === null ? 0x40 : typeCode[type]);
    return this.depth++;
  }

  otherwise(): void {
    this.code.u8(0x05);
  }

  close(): void {
    this.code.u8(0x0b);
    this.depth--;
  }

  br(label: number): void {
    this.code.u8(0x0c);
    this.code.u32(this.depth - 1 - label);
  }

  brIf(label: number): void {
    this.code.u8(0x0d);
    this.code.u32(this.depth - 1 - label);
  }
}
