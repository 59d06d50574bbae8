/**
 * One hart's translated code: which physical frame has which regions, in which table slots. Keyed
 * by physical address only, so one translation serves every address space that maps the frame.
 *
 * A frame that is written after its translation lands in the dirty log (see note_store); the next
 * fence.i drops what came from it. When slots, maps or modules run out, half of the pages are
 * dropped, those first that no TLB has: what runs at the moment stays.
 */
import {
  at, contextCount, fieldOffset, frameSize, guestRamBase, hartAt, heatIndex, layoutConstants,
  machine, tlbBytes,
} from '../layout.ts'; // prettier-ignore
import type { Hart } from '../hart.ts';
import { remoteFence } from '../boot/sbi.ts';
import type { Signature } from '../wasm/module.ts';
import { flowOf } from './flow.ts';
import { ModuleEmitter } from './emit.ts';
import type { Flow } from './flow.ts';
import { CodePage, exits, formRegion, usualLimits } from './region.ts';
import type { Limits } from './region.ts';
import { CounterBlock } from './report.ts';
import { Trace } from './trace.ts';
import type { EventKind } from './trace.ts';

interface Page {
  map: number;
  frame: number;
  slots: Map<number, number>;
  compiled: Set<number>;
}

interface Region {
  offset: number;
  flow: Flow;
}

export const dirtyLogSize = 1024;
const slotLimit = 60_000;
const batchLimit = 16;
const dropCounter = {
  rewritten: 'droppedRewritten',
  overrun: 'droppedOverrun',
  full: 'droppedFull',
} as const;

export class Translator {
  limits: Limits = usualLimits;
  /** Kept at once; one is some twelve kilobytes, with what V8 makes of it. */
  regionsMax = 12_000;
  private readonly hart: Hart;
  private readonly table: WebAssembly.Table;
  private readonly pages = new Map<number, Page>();
  private readonly freeSlots: number[] = [];
  private readonly freeMaps: number[] = [];
  private readonly stub: unknown;
  private readonly emitter: ModuleEmitter;
  private readonly flags: Uint8Array;
  private readonly bytes: Uint8Array;
  private readonly words: Uint32Array;
  private readonly halves: Uint16Array;
  private readonly expand: Uint32Array;
  private nextSlot = 1;
  private nextMap = 0;
  private regions = 0;
  private readonly refused = new Set<number>(); // host addresses
  private logSeen = 0;
  private readonly count: CounterBlock;
  private readonly trace: Trace;

  constructor(hart: Hart, table: WebAssembly.Table, _signature: Signature) {
    const { layout, memory } = hart.shared;
    this.hart = hart;
    this.table = table;
    this.count = new CounterBlock(memory.buffer, hart.index);
    this.trace = new Trace(memory.buffer, hart.index);
    this.emitter = new ModuleEmitter({
      constants: layoutConstants,
      ...hart.shared.compiled,
    });
    this.flags = new Uint8Array(memory.buffer, at.frameFlags, layout.frames);
    this.bytes = new Uint8Array(memory.buffer);
    this.words = new Uint32Array(memory.buffer);
    this.halves = new Uint16Array(memory.buffer);
    this.expand = new Uint32Array(memory.buffer, at.expand, 0x1_0000);
    this.stub = hart.coreExports['region_stub'];
    this.table.set(0, this.stub);
  }

  statistics(): Record<string, number> {
    return this.count.read();
  }

  /** The interpreter has come by `ip` often: translate from there. */
  hot(ip: number, _pc: bigint): boolean {
    const { layout } = this.hart.shared;
    const frame = (ip - at.ram) >>> 12;
    const offset = ip & (frameSize - 1);
    if (frame >= layout.frames || this.refused.has(ip)) return false;
    if (this.pages.get(frame)?.compiled.has(offset) === true) return true;
    if (this.regions >= this.regionsMax || this.slotsUsed() >= slotLimit) this.makeRoom();
    const started = this.hart.clock.ticks();
    const regions = this.gather(frame, offset);
    if (regions.length === 0) {
      this.refused.add(ip);
      this.count.add('refused', 1);
      this.note('refused', frame, offset, 0, 0);
      return false;
    }
    this.translate(this.pages.get(frame) ?? this.openPage(frame), regions);
    this.count.add('milliseconds', (this.hart.clock.ticks() - started) / 10_000);
    this.countLive();
    return true;
  }

  /** The region at an offset and those it leads to that are warm: a module costs as a region. */
  private gather(frame: number, entry: number): Region[] {
    const from = (at.ram + frame * frameSize) >>> 1;
    const source = new CodePage(this.halves.subarray(from, from + frameSize / 2), this.expand);
    const compiled = this.pages.get(frame)?.compiled;
    const regions: Region[] = [];
    const offsets = new Set([entry]);
    for (const offset of offsets) {
      const blocks = formRegion(source, offset, this.limits);
      if (blocks.size === 0) continue;
      regions.push({ offset, flow: flowOf(blocks, offset) });
      if (regions.length >= batchLimit) break;
      for (const next of exits(blocks)) {
        if (compiled?.has(next) !== true && this.isWarm(frame, next)) offsets.add(next);
      }
    }
    return regions[0]?.offset === entry ? regions : [];
  }

  /** Whether the interpreter has half the reason to have this place translated. */
  private isWarm(frame: number, offset: number): boolean {
    const { state } = this.hart;
    const ip = at.ram + frame * frameSize + offset;
    const heat = this.halves[((state.base + hartAt.heat) >>> 1) + heatIndex(ip)]!;
    return heat * 2 >= state.word('threshold');
  }

  private translate(page: Page, regions: readonly Region[]): void {
    const { shared, coreExports } = this.hart;
    const flows = regions.map(({ flow }) => flow);
    const emitted = this.emitter.emit(flows, (target) => this.slotOf(page, target));
    const e: Record<string, WebAssembly.ImportValue> = {
      memory: shared.memory,
      table: this.table,
    };
    for (const name of emitted.imports) e[name] = coreExports[name] as WebAssembly.ImportValue;
    const module = new WebAssembly.Module(emitted.bytes);
    const { exports } = new WebAssembly.Instance(module, { e });
    this.count.add('wasmBytes', emitted.bytes.length);
    regions.forEach(({ offset, flow }, n) => {
      const slot = this.slotOf(page, offset);
      this.table.set(slot, exports[`r${n}`]);
      this.halves[(page.map + offset) >>> 1] = slot;
      page.compiled.add(offset);
      this.regions++;
      this.count.add('regions', 1);
      let instructions = 0;
      for (const block of flow.order) instructions += block.count;
      this.count.add('instructions', instructions);
      const wasmBytes = Math.round(emitted.bytes.length / regions.length);
      this.note('translated', page.frame, offset, instructions, wasmBytes);
    });
  }

  private note(kind: EventKind, frame: number, offset: number, count: number, wasmBytes: number) {
    const address = guestRamBase + frame * frameSize + offset;
    this.trace.add({ kind, address, count, wasmBytes });
  }

  private countLive(): void {
    this.count.set('liveRegions', this.regions);
    this.count.set('livePages', this.pages.size);
    this.count.set('slots', this.slotsUsed());
  }

  private slotOf(page: Page, offset: number): number {
    const known = page.slots.get(offset);
    if (known !== undefined) return known;
    const slot = this.freeSlots.pop() ?? this.nextSlot++;
    if (slot >= this.table.length) this.table.grow(this.table.length);
    this.table.set(slot, this.stub);
    page.slots.set(offset, slot);
    return slot;
  }

  private openPage(frame: number): Page {
    const { layout } = this.hart.shared;
    const { state } = this.hart;
    if (this.freeMaps.length === 0 && this.nextMap >= layout.mapPoolFrames) this.makeRoom();
    const pool = state.word('mappool');
    const map = this.freeMaps.pop() ?? pool + frameSize * this.nextMap++;
    this.bytes.fill(0, map, map + frameSize);
    const page: Page = { map, frame, slots: new Map(), compiled: new Set() };
    this.pages.set(frame, page);
    this.words[(state.word('mapdir') >>> 2) + frame] = map;
    this.flags[frame] = 1;
    this.hart.core.purge_frame(state.base, at.ram + frame * frameSize);
    // No other hart may go on writing the frame unseen.
    this.hart.others.forEach((_, index) => {
      if (index !== this.hart.index) remoteFence(this.hart, index, 1);
    });
    return page;
  }

  private drop(page: Page, why: 'rewritten' | 'overrun' | 'full'): void {
    for (const slot of page.slots.values()) {
      this.table.set(slot, this.stub);
      this.freeSlots.push(slot);
    }
    this.bytes.fill(0, page.map, page.map + frameSize);
    this.words[(this.hart.state.word('mapdir') >>> 2) + page.frame] = 0;
    this.freeMaps.push(page.map);
    this.pages.delete(page.frame);
    this.regions -= page.compiled.size;
    this.count.add(dropCounter[why], page.compiled.size);
    this.note(why, page.frame, 0, page.compiled.size, 0);
    this.countLive();
  }

  private slotsUsed(): number {
    return this.nextSlot - 1 - this.freeSlots.length;
  }

  private makeRoom(): void {
    const fetched = this.mapsInTlbs();
    const pages = [...this.pages.values()];
    const idle = pages.filter(({ map }) => !fetched.has(map));
    const busy = pages.filter(({ map }) => fetched.has(map));
    for (const page of [...idle, ...busy].slice(0, Math.ceil(pages.length / 2))) {
      this.drop(page, 'full');
    }
    this.count.add('resets', 1);
    this.hart.core.flush_all(this.hart.state.base);
  }

  /** The code maps of pages from which the hart has fetched of late. */
  private mapsInTlbs(): Set<number> {
    const maps = new Set<number>();
    const from = (this.hart.state.base + hartAt.tlbs) >>> 2;
    const to = from + ((contextCount * tlbBytes) >>> 2);
    for (let entry = from; entry < to; entry += 8) maps.add(this.words[entry + 7]!);
    return maps;
  }

  /** fence.i: drops what came from frames that were written since. */
  codeChanged(): void {
    this.refused.clear();
    const { layout } = this.hart.shared;
    const index = (at.machine + machine.dirtyFrames) >>> 2;
    const now = Atomics.load(this.words, index);
    const behind = (now - this.logSeen) >>> 0;
    let dropped = 0;
    if (behind > dirtyLogSize - 16) {
      for (const page of [...this.pages.values()]) {
        if ((this.flags[page.frame]! & 2) === 0 && layout.harts === 1) continue;
        this.drop(page, 'overrun');
        dropped++;
      }
    } else {
      for (let n = 0; n < behind; n++) {
        const entry = (this.logSeen + n) & (dirtyLogSize - 1);
        const frame = this.words[(at.dirtyLog >>> 2) + entry]!;
        const page = this.pages.get(frame);
        if (page === undefined) continue;
        this.drop(page, 'rewritten');
        dropped++;
      }
    }
    this.logSeen = now;
    this.words[(this.hart.state.base + fieldOffset('seendirty')) >>> 2] = now;
    // TLB entries point at the dropped pages' maps.
    if (dropped > 0) this.hart.core.flush_all(this.hart.state.base);
  }
}
