/** The part of the WebAssembly interface that the engine uses; every JavaScript host has it. */
declare namespace WebAssembly {
  type ImportValue = unknown;
  class Memory {
    constructor(options: { initial: number; maximum: number; shared: boolean });
    readonly buffer: SharedArrayBuffer;
  }
  class Table {
    constructor(options: { element: 'anyfunc'; initial: number; maximum?: number });
    readonly length: number;
    set(index: number, value: unknown): void;
    get(index: number): unknown;
    grow(count: number, value?: unknown): number;
  }
  class Module {
    constructor(bytes: Uint8Array);
  }
  class Instance {
    constructor(module: Module, imports: Record<string, Record<string, unknown>>);
    readonly exports: Record<string, unknown>;
  }
}
