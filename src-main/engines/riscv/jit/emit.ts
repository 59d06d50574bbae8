/**
 * Writes modules of regions for one core, several regions to a module; what has been learnt of the
 * instructions is kept. Each region is a function `r(h, fuel) → fuel`, see `emit-region.ts`.
 */
import { fields } from '../layout.ts';
import { Bytes } from '../wasm/bytes.ts';
import { invokeSignature } from '../wasm/compile.ts';
import { ModuleBuilder } from '../wasm/module.ts';
import type { Signature, Type } from '../wasm/module.ts';
import type { Func } from '../wasm/parse.ts';
import { RegionEmitter } from './emit-region.ts';
import type { Flow } from './flow.ts';
import { Stencils } from './stencil.ts';

export interface Environment {
  constants: ReadonlyMap<string, { value: bigint; type: Type }>;
  inlines: ReadonlyMap<string, Func>;
  signatures: ReadonlyMap<string, Signature>;
}

/** A region's code, its place in the table, and those of the places it goes to. */
export interface PlacedFlow {
  flow: Flow;
  slot: number;
  slotOf: SlotOf;
}

export interface Emitted {
  bytes: Uint8Array<ArrayBuffer>;
  imports: string[];
}

/** Table slot of the region at an offset of the same page, made if there is none. */
export type SlotOf = (offset: number) => number;

export class ModuleEmitter {
  readonly env: Environment;
  readonly stencils: Stencils;
  readonly tlbMask: number;
  /** The region's code, and its function's body: one region is written at a time. */
  readonly code = new Bytes(0x4000);
  private readonly body = new Bytes(0x4000);
  private builder!: ModuleBuilder;
  private imports = new Map<string, number>();

  constructor(env: Environment) {
    this.env = env;
    this.stencils = new Stencils({ ...env, fields });
    this.tlbMask = Number(env.constants.get('TLB_MASK')!.value);
  }

  /** One module that puts the regions into the table by itself. */
  emit(placed: readonly PlacedFlow[]): Emitted {
    this.builder = new ModuleBuilder();
    this.imports = new Map();
    placed.forEach(({ flow, slot, slotOf }, n) => {
      this.code.clear();
      this.body.clear();
      const region = new RegionEmitter(flow, this, slotOf).emit();
      const body = region.finish(this.body);
      this.builder.addFunction('', invokeSignature, false, body, region.hints);
      this.builder.place(slot, n);
    });
    return { bytes: this.builder.build(), imports: [...this.imports.keys()] };
  }

  function(name: string): number {
    let index = this.imports.get(name);
    if (index === undefined) {
      index = this.builder.importFunction(name, this.env.signatures.get(name)!);
      this.imports.set(name, index);
    }
    return index;
  }

  invokeType(): number {
    return this.builder.type(invokeSignature);
  }
}
