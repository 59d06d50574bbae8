/**
 * Compiles W source to a WebAssembly module over one imported shared memory. Every function is
 * exported (`export fn` says that others rely on it), `import fn` comes from the
 * host, `inline fn` is copied into its callers.
 */
import { Emitter } from './emit.ts';
import type { Scope } from './emit.ts';
import { ModuleBuilder } from './module.ts';
import type { Signature, Type } from './module.ts';
import { Parser } from './parse.ts';
import type { Func } from './parse.ts';

export interface CompileOptions {
  constants: ReadonlyMap<string, { value: bigint; type: Type }>;
  fields: ReadonlyMap<string, { offset: number; type: Type }>;
}

export interface Compiled {
  bytes: Uint8Array<ArrayBuffer>;
  inlines: ReadonlyMap<string, Func>;
  /** Signatures of everything callable, for modules that import from this one. */
  signatures: ReadonlyMap<string, Signature>;
}

/** Of a region: hart, fuel, and how many calls may stand in one another from there on. */
export const invokeSignature: Signature = { params: ['i32', 'i32', 'i32'], result: 'i32' };

export function compile(source: string, options: CompileOptions): Compiled {
  const functions = new Parser(source).program();
  const builder = new ModuleBuilder();
  const inlines = new Map<string, Func>();
  const index = new Map<string, { index: number; signature: Signature }>();
  const signatures = new Map<string, Signature>();
  const plain: Func[] = [];
  for (const f of functions) {
    if (index.has(f.name) || inlines.has(f.name)) throw new Error(`W: ${f.name} stands twice`);
    const signature = { params: f.params.map((p) => p.type), result: f.result };
    if (f.kind === 'inline') inlines.set(f.name, f);
    else if (f.kind === 'import') {
      index.set(f.name, { index: builder.importFunction(f.name, signature), signature });
      signatures.set(f.name, signature);
    } else plain.push(f);
  }
  const imports = index.size;
  plain.forEach((f, i) => {
    const signature = { params: f.params.map((p) => p.type), result: f.result };
    index.set(f.name, { index: imports + i, signature });
    signatures.set(f.name, signature);
  });
  const scope: Scope = {
    constants: options.constants,
    fields: options.fields,
    inlines,
    callee: (name) => index.get(name) ?? null,
    invokeType: builder.type(invokeSignature),
  };
  for (const f of plain) {
    try {
      const body = new Emitter(scope).function(f);
      builder.addFunction(f.name, index.get(f.name)!.signature, true, body);
    } catch (error) {
      throw new Error(`${f.name}: ${(error as Error).message}`, { cause: error });
    }
  }
  return { bytes: builder.build(), inlines, signatures };
}
