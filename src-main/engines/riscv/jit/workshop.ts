/**
 * Where regions are made: from the places that one hart's translator wants, modules that put their
 * functions into the hart's table when they are instantiated. It reads shared memory only, so it
 * may work on any thread; a hart asks by `want` and `forget` and puts in place what `take` gives,
 * in the order in which it was made.
 */
import {
  at, fieldOffset, frameSize, hartAt, hartSize, heatIndex, layoutConstants,
} from '../layout.ts'; // prettier-ignore
import type { Compiled } from '../wasm/compile.ts';
import { flowOf } from './flow.ts';
import { ModuleEmitter } from './emit.ts';
import type { PlacedFlow } from './emit.ts';
import { CodePage, exits, formRegion, usualLimits } from './region.ts';
import type { Limits } from './region.ts';

/** A page of code in one of its lives: what was made for an earlier one is not for this. */
export interface Life {
  frame: number;
  life: number;
}

export interface Place extends Life {
  /** Where a region begins, in bytes from the start of its page. */
  offset: number;
}

export interface Want extends Place {
  /** The first half word of the page that follows in the address space, or -1. */
  behind: number;
}

export interface MadeRegion extends Place {
  /** Where its module puts it into the table. */
  slot: number;
  instructions: number;
}

export interface Made {
  /** Null when nothing could be made. */
  module: WebAssembly.Module | null;
  /** What it takes of the core's exports. */
  imports: readonly string[];
  wasmBytes: number;
  regions: readonly MadeRegion[];
  /** Places whose first instruction only the interpreter runs. */
  refused: readonly Place[];
  /** In use, and how long the table has to be. */
  slots: number;
  tableLength: number;
  /** How many wants are answered by this. */
  asked: number;
  milliseconds: number;
}

export interface Workshop {
  want(want: Want): void;
  /** The page has lost its regions, its slots are free. */
  forget(page: Life): void;
  /** Undefined where nothing is ready. */
  take(): Made | undefined;
}

export interface Plans {
  memory: WebAssembly.Memory;
  compiled: Pick<Compiled, 'signatures' | 'inlines'>;
}

interface Page {
  life: number;
  slots: Map<number, number>;
  made: Set<number>;
}

/** A module costs as much as a region, so that what is warm beside it is made with it. */
const regionsMax = 16;
/** Numbers of slots are 16 bits; some room for what is asked before it is known. */
const slotsMax = 65_000;

/** A workshop on the thread of whoever asks: all that is wanted is made when it is taken. */
export class RegionMaker implements Workshop {
  private readonly base: number;
  private readonly limits: Limits;
  private readonly now: () => number;
  private wants: Want[] = [];
  private asked = 0;
  private readonly pages = new Map<number, Page>();
  private readonly freeSlots: number[] = [];
  private readonly emitter: ModuleEmitter;
  private readonly words: Uint32Array;
  private readonly halves: Uint16Array;
  private readonly expand: Uint32Array;
  private nextSlot = 1;

  /** `now` in milliseconds. */
  constructor({ memory, compiled }: Plans, hart: number, limits = usualLimits, now = () => 0) {
    this.base = at.harts + hart * hartSize;
    this.limits = limits;
    this.now = now;
    this.emitter = new ModuleEmitter({ constants: layoutConstants, ...compiled });
    this.words = new Uint32Array(memory.buffer);
    this.halves = new Uint16Array(memory.buffer);
    this.expand = new Uint32Array(memory.buffer, at.expand, 0x1_0000);
  }

  want(want: Want): void {
    this.wants.push(want);
    this.asked++;
  }

  forget({ frame }: Life): void {
    this.wants = this.wants.filter((want) => want.frame !== frame);
    for (const slot of this.pages.get(frame)?.slots.values() ?? []) this.freeSlots.push(slot);
    this.pages.delete(frame);
  }

  take(): Made | undefined {
    if (this.asked === 0) return undefined;
    const started = this.now();
    const { wants, asked } = this;
    this.wants = [];
    this.asked = 0;
    const refused: Place[] = [];
    const flows: PlacedFlow[] = [];
    const regions: MadeRegion[] = [];
    for (const want of wants) {
      const page = this.page(want);
      if (page.made.has(want.offset) || this.slots() > slotsMax) continue;
      const found = this.gather(page, want);
      const { frame, life } = want;
      if (found.length === 0) refused.push({ frame, life, offset: want.offset });
      for (const { offset, flow } of found) {
        const slotOf = (target: number) => this.slotOf(page, target);
        let instructions = 0;
        for (const block of flow.order) instructions += block.count;
        flows.push({ flow, slot: slotOf(offset), slotOf });
        regions.push({ frame, life, offset, slot: slotOf(offset), instructions });
      }
    }
    const { module, imports, wasmBytes } = this.compile(flows);
    return {
      module, imports, wasmBytes, regions, refused, asked,
      slots: this.slots(), tableLength: this.nextSlot, milliseconds: this.now() - started,
    }; // prettier-ignore
  }

  private compile(flows: readonly PlacedFlow[]) {
    if (flows.length === 0) return { module: null, imports: [], wasmBytes: 0 };
    const { bytes, imports } = this.emitter.emit(flows);
    return { module: new WebAssembly.Module(bytes), imports, wasmBytes: bytes.length };
  }

  /** The region at an offset and those it leads to that are warm. */
  private gather({ made }: Page, { frame, offset: entry, behind }: Want) {
    const from = (at.ram + frame * frameSize) >>> 1;
    const halves = this.halves.subarray(from, from + frameSize / 2);
    const source = new CodePage(halves, this.expand, behind);
    const regions = [];
    const offsets = new Set([entry]);
    for (const offset of offsets) {
      const isWarm = (next: number) => made.has(next) || this.isWarm(frame, next);
      const blocks = formRegion(source, offset, this.limits, isWarm);
      if (blocks.size === 0) continue;
      regions.push({ offset, flow: flowOf(blocks, offset) });
      made.add(offset);
      if (regions.length >= regionsMax) break;
      for (const next of exits(blocks)) {
        if (!made.has(next) && this.isWarm(frame, next)) offsets.add(next);
      }
    }
    return regions;
  }

  /** Whether the interpreter has half the reason to have this place translated. */
  private isWarm(frame: number, offset: number): boolean {
    const ip = at.ram + frame * frameSize + offset;
    const heat = this.halves[((this.base + hartAt.heat) >>> 1) + heatIndex(ip)]!;
    return heat * 2 >= this.words[(this.base + fieldOffset('threshold')) >>> 2]!;
  }

  private page({ frame, life }: Life): Page {
    const known = this.pages.get(frame);
    if (known?.life === life) return known;
    const page: Page = { life, slots: new Map(), made: new Set() };
    this.pages.set(frame, page);
    return page;
  }

  private slotOf(page: Page, offset: number): number {
    const known = page.slots.get(offset);
    if (known !== undefined) return known;
    const slot = this.freeSlots.pop() ?? this.nextSlot++;
    page.slots.set(offset, slot);
    return slot;
  }

  private slots(): number {
    return this.nextSlot - 1 - this.freeSlots.length;
  }
}
