import type { Hart } from '../hart.ts';
import type { Signature } from '../wasm/module.ts';
/** placeholder */
export class Translator {
  constructor(_hart: Hart, _table: WebAssembly.Table, _signature: Signature) {}
  codeChanged(): void {}
  hot(_ip: number, _pc: bigint): void {}
  statistics(): unknown { return null; }
}
