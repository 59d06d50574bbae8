/**
 * One hart's translated code: which physical frame has which regions, in which table slots. Keyed
 * by physical address only, so one translation serves every address space that maps the frame.
 * Regions come from a workshop, perhaps later; those made of what has been dropped since do not
 * come into use.
 *
 * A frame that is written after its translation lands in the dirty log (see note_store); the next
 * fence.i drops what came from it. When slots, maps or modules run out, half of the pages are
 * dropped, those first that no TLB has: what runs at the moment stays.
 */
import {
  at, contextCount, fieldOffset, frameSize, guestRamBase, hartAt, machine, tlbBytes,
} from '../layout.ts'; // prettier-ignore
import type { Hart } from '../hart.ts';
import { remoteFence } from '../boot/sbi.ts';
import { CounterBlock } from './report.ts';
import { Trace } from './trace.ts';
import type { EventKind } from './trace.ts';
import type { Life, Made, Workshop } from './workshop.ts';

interface Page extends Life {
  map: number;
  /** Offsets of its regions, and where they stand in the table. */
  slots: Map<number, number>;
  wanted: Set<number>;
}

export const dirtyLogSize = 1024;
const slotLimit = 60_000;
/** What becomes hot while so much waits to be made asks again later, if it still is. */
const waitingMax = 48;
const dropCounter = {
  rewritten: 'droppedRewritten',
  overrun: 'droppedOverrun',
  full: 'droppedFull',
} as const;

export class Translator {
  /** Kept at once; one is some twelve kilobytes, with what V8 makes of it. */
  regionsMax = 12_000;
  private readonly hart: Hart;
  private readonly table: WebAssembly.Table;
  private readonly workshop: Workshop;
  private readonly pages = new Map<number, Page>();
  private readonly freeMaps: number[] = [];
  private readonly stub: unknown;
  private readonly flags: Uint8Array;
  private readonly bytes: Uint8Array;
  private readonly words: Uint32Array;
  private readonly halves: Uint16Array;
  private nextMap = 0;
  private lives = 0;
  private regions = 0;
  private slots = 0;
  private waiting = 0;
  private readonly refused = new Set<number>(); // host addresses
  private logSeen = 0;
  private readonly count: CounterBlock;
  private readonly trace: Trace;

  constructor(hart: Hart, table: WebAssembly.Table, workshop: Workshop) {
    const { layout, memory } = hart.shared;
    this.hart = hart;
    this.table = table;
    this.workshop = workshop;
    this.count = new CounterBlock(memory.buffer, hart.index);
    this.trace = new Trace(memory.buffer, hart.index);
    this.flags = new Uint8Array(memory.buffer, at.frameFlags, layout.frames);
    this.bytes = new Uint8Array(memory.buffer);
    this.words = new Uint32Array(memory.buffer);
    this.halves = new Uint16Array(memory.buffer);
    this.stub = hart.coreExports['region_stub'];
    this.table.set(0, this.stub);
  }

  statistics(): Record<string, number> {
    return this.count.read();
  }

  /**
   * The interpreter has come by `ip` often: it wants a region there. Says whether it has one.
   * `behind`: see `Want`.
   */
  hot(ip: number, behind: number): boolean {
    const { layout } = this.hart.shared;
    const frame = (ip - at.ram) >>> 12;
    const offset = ip & (frameSize - 1);
    if (frame >= layout.frames || this.refused.has(ip)) return false;
    const known = this.pages.get(frame);
    if (known?.slots.has(offset) === true) return true;
    if (known?.wanted.has(offset) !== true && this.waiting < waitingMax) {
      if (this.regions >= this.regionsMax || this.slots >= slotLimit) this.makeRoom();
      const page = this.pages.get(frame) ?? this.openPage(frame);
      page.wanted.add(offset);
      this.waiting++;
      this.workshop.want({ frame, life: page.life, offset, behind });
    }
    this.install();
    return this.pages.get(frame)?.slots.has(offset) === true;
  }

  /** Puts in place what has been made. */
  install(): void {
    for (;;) {
      const made = this.workshop.take();
      if (made === undefined) return;
      this.place(made);
      this.countLive();
    }
  }

  private place(made: Made): void {
    const { module, imports, regions, refused, tableLength } = made;
    const { shared, coreExports } = this.hart;
    this.slots = made.slots;
    this.waiting -= made.asked;
    this.count.add('wasmBytes', made.wasmBytes);
    this.count.add('milliseconds', made.milliseconds);
    if (module !== null) {
      const missing = tableLength - this.table.length;
      if (missing > 0) this.table.grow(Math.max(missing, this.table.length), this.stub);
      const e: Record<string, WebAssembly.ImportValue> = {
        memory: shared.memory,
        table: this.table,
      };
      for (const name of imports) e[name] = coreExports[name] as WebAssembly.ImportValue;
      new WebAssembly.Instance(module, { e });
    }
    const bytesEach = Math.round(made.wasmBytes / regions.length);
    for (const { frame, life, offset, slot, instructions } of regions) {
      const page = this.pages.get(frame);
      if (page?.life !== life) {
        this.table.set(slot, this.stub);
        continue;
      }
      this.halves[(page.map + offset) >>> 1] = slot;
      page.slots.set(offset, slot);
      page.wanted.delete(offset);
      this.regions++;
      this.count.add('regions', 1);
      this.count.add('instructions', instructions);
      this.note('translated', frame, offset, instructions, bytesEach);
    }
    for (const { frame, life, offset } of refused) {
      const page = this.pages.get(frame);
      if (page?.life !== life) continue;
      page.wanted.delete(offset);
      this.refused.add(at.ram + frame * frameSize + offset);
      this.count.add('refused', 1);
      this.note('refused', frame, offset, 0, 0);
    }
  }

  private note(kind: EventKind, frame: number, offset: number, count: number, wasmBytes: number) {
    const address = guestRamBase + frame * frameSize + offset;
    this.trace.add({ kind, address, count, wasmBytes });
  }

  private countLive(): void {
    this.count.set('liveRegions', this.regions);
    this.count.set('livePages', this.pages.size);
    this.count.set('slots', this.slots);
  }

  private openPage(frame: number): Page {
    const { layout } = this.hart.shared;
    const { state } = this.hart;
    if (this.freeMaps.length === 0 && this.nextMap >= layout.mapPoolFrames) this.makeRoom();
    const pool = state.word('mappool');
    const map = this.freeMaps.pop() ?? pool + frameSize * this.nextMap++;
    this.bytes.fill(0, map, map + frameSize);
    const life = ++this.lives;
    const page: Page = { frame, life, map, slots: new Map(), wanted: new Set() };
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
    for (const slot of page.slots.values()) this.table.set(slot, this.stub);
    this.workshop.forget({ frame: page.frame, life: page.life });
    this.bytes.fill(0, page.map, page.map + frameSize);
    this.words[(this.hart.state.word('mapdir') >>> 2) + page.frame] = 0;
    this.freeMaps.push(page.map);
    this.pages.delete(page.frame);
    this.regions -= page.slots.size;
    this.count.add(dropCounter[why], page.slots.size);
    this.note(why, page.frame, 0, page.slots.size, 0);
    this.countLive();
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
