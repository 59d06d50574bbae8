/**
 * The processor: everything written in W, compiled to one module.
 *
 * Imports it wants from the host (module `e`): memory, table, and the functions below.
 */
import { layoutConstants, fields } from '../layout.ts';
import { compile } from '../wasm/compile.ts';
import type { Compiled } from '../wasm/compile.ts';
import { accessSource } from './access.ts';
import { csrSource } from './csr.ts';
import { floatSource } from './float.ts';
import { hypervisorSource } from './hypervisor.ts';
import { interpreterSource } from './interpret.ts';
import { isaSource } from './isa.ts';
import { levelsSource } from './levels.ts';
import { mmuSource } from './mmu.ts';
import { trapSource } from './trap.ts';
import { walkSource } from './walk.ts';

export interface CoreImports {
  /** Device access: 32-bit physical address, size 1, 2 or 4. */
  mmio_load(h: number, pa: number, size: number): number;
  mmio_store(h: number, pa: number, size: number, value: number): void;
  /** Timebase ticks since power-on, a whole number. */
  now(): number;
  sbi_call(h: number): void;
  /** fence.i while some code frame was written: drop what was translated from it. */
  code_changed(h: number): void;
  timer_moved(h: number): void;
  /**
   * Host address `ip` has been reached often; 1 when there is a region now. `behind` is the first
   * half word of the page that follows it in the address space, -1 when that is not known.
   */
  hot(h: number, ip: number, behind: number): number;
}

export interface CoreExports {
  run(h: number): number;
  deliver_fault(h: number): void;
  flush_all(h: number): void;
  /** `space`: -1 for translations with V=0, else a guest's (see mmu.ts); `asid`: -1 for all. */
  fence_page(h: number, va: bigint, asid: number, space: number): void;
  fence_space(h: number, asid: number, space: number): void;
  fence_guest(h: number, level: number, vmid: number): void;
  purge_frame(h: number, host: number): void;
  note_store(frame: number): void;
  walk(h: number, va: bigint, access: number): number;
}

export function compileCore(): Compiled {
  const source = [
    levelsSource, mmuSource, walkSource, accessSource, trapSource, csrSource, hypervisorSource,
    floatSource, isaSource, interpreterSource(),
  ].join('\n'); // prettier-ignore
  return compile(source, { constants: layoutConstants, fields });
}
