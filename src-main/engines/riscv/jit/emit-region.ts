/**
 * Writes a region as one WebAssembly function `r(h, fuel) → fuel`: integer registers in locals,
 * loops and joins as structured code, the TLB inline. On entry h.pc says where in the address
 * space the page stands; on every way out h.pc and the registers are in memory again, and the
 * next region is called in tail position through its table slot (slot 0 goes back to `run`).
 * Fuel is taken per block; loops look at it and at the mailbox on each turn.
 */
import { fieldOffset, hartAt } from '../layout.ts';
import type { Emitter } from '../wasm/emit.ts';
import { StepEmitter } from './emit-steps.ts';
import type { ModuleEmitter, SlotOf } from './emit.ts';
import { edgeKey } from './flow.ts';
import type { Flow } from './flow.ts';
import type { Block, Step } from './region.ts';
import type { RegisterSet } from './operands.ts';
import { emitEntry, local, localTypes, siteBits } from './stencil.ts';

export class RegionEmitter extends StepEmitter {
  private readonly slotOf: SlotOf;
  private readonly children: number[][];
  private readonly loopLabel = new Map<number, number>();
  private readonly joinLabel = new Map<number, number>();
  private readonly gatesAfter: number[] = [];

  constructor(flow: Flow, module: ModuleEmitter, slotOf: SlotOf) {
    super(flow, module);
    this.slotOf = slotOf;
    this.children = flow.order.map(() => []);
    flow.order.forEach((_, n) => {
      if (n > 0 && flow.join[n]) this.children[flow.parent[n]!]!.push(n);
    });
  }

  emit(): Emitter {
    const { e } = this;
    e.param('h', 'i32');
    e.param('fuel', 'i32');
    for (const type of localTypes) e.alloc(type);
    this.prologue();
    // The ways back to the interpreter stand around everything, a subset of registers outside.
    const { exits } = this.use;
    for (let n = 0; n < exits.length; n++) this.exitLabels.push(e.open(2));
    this.tree(0);
    e.op(0x00);
    for (let n = exits.length - 1; n >= 0; n--) {
      e.close();
      this.exit(exits, n);
    }
    return e;
  }

  private prologue(): void {
    const { e } = this;
    e.get(local.h);
    e.memory('load32', fieldOffset('poke'));
    e.get(local.fuel);
    e.i32(1);
    e.op(0x48, 0x72); // fuel < 1, or
    e.hint(false);
    e.open(4);
    e.get(local.fuel);
    e.op(0x0f);
    e.close();
    e.get(local.h);
    e.memory('load32', fieldOffset('tlb'));
    e.set(local.tlb);
    e.get(local.h);
    e.memory('load64', fieldOffset('pc'));
    e.i64(-4096);
    e.op(0x83);
    e.set(local.page);
    const { used, load } = this.use;
    for (let n = 1; n < 32; n++) {
      if (((used.x >>> n) & 1) === 0) continue;
      this.locals[n] = e.alloc('i64');
      if (((load.x >>> n) & 1) !== 0) this.loadRegister(n);
    }
    for (let n = 0; n < 32; n++) {
      if (((used.f >>> n) & 1) === 0) continue;
      this.floats[n] = e.alloc('f64');
      if (((load.f >>> n) & 1) === 0) continue;
      e.get(local.h);
      e.memory('loadf64', hartAt.f + n * 8);
      e.set(this.floats[n]!);
    }
  }

  // ---- structure

  private tree(n: number): void {
    const { e } = this;
    const looping = this.flow.loop[n]!;
    if (looping) this.loopLabel.set(n, e.open(3));
    this.within(n, [...this.children[n]!].sort((a, b) => b - a));
    if (looping) {
      e.op(0x00);
      e.close();
    }
    this.closeGroups(n);
  }

  private within(n: number, joins: number[]): void {
    const [first, ...rest] = joins;
    if (first === undefined) return this.block(n);
    this.joinLabel.set(first, this.e.open(2));
    this.within(n, rest);
    this.e.close();
    this.tree(first);
  }

  private block(n: number): void {
    const { e } = this;
    const block = this.flow.order[n]!;
    this.dirty = { ...this.use.dirty[n]! };
    // What a dominator has checked holds here, where nothing in the region changes FS or frm.
    this.gates = n === 0 || this.changesCsrs ? 0 : this.gatesAfter[this.flow.parent[n]!]!;
    this.left = block.count;
    if (block.count > 0) {
      e.get(local.fuel);
      e.i32(block.count);
      e.op(0x6b);
      e.set(local.fuel);
    }
    for (const step of block.steps) this.instruction(step);
    this.gatesAfter[n] = this.gates;
    this.terminate(block);
  }

  private terminate(block: Block): void {
    const { last } = block;
    if (last !== null) {
      this.step = last;
      this.left--;
    }
    switch (block.end) {
      case 'goto':
        return this.follow(block, block.next);
      case 'branch': {
        this.play(this.module.stencils.of(last!).pieces);
        const dirty = { ...this.dirty };
        this.e.open(4);
        this.follow(block, block.next);
        this.e.close();
        this.dirty = dirty;
        return this.follow(block, block.other);
      }
      case 'jump':
        this.link(block);
        return this.leaveTo(block.next);
      case 'indirect':
        return this.indirect(block);
      case 'trap':
        return this.trap(last!);
      case 'stop':
        this.toInterpreter(block.next);
    }
  }

  /** Goes on to an offset: inside the region where it can, else out. */
  private follow(from: Block, target: number): void {
    const { e, flow } = this;
    const to = flow.index.get(target);
    const cut = flow.cut.has(edgeKey(from.start, target));
    if (to === undefined || cut) return this.leaveTo(target);
    const here = flow.index.get(from.start)!;
    if (to <= here) {
      e.get(local.fuel);
      e.i32(1);
      e.op(0x48);
      e.get(local.h);
      e.memory('load32', fieldOffset('poke'));
      e.op(0x72);
      e.hint(false);
      e.open(4);
      this.toInterpreter(target);
      e.close();
      return e.br(this.loopLabel.get(to)!);
    }
    if (flow.join[to]) return e.br(this.joinLabel.get(to)!);
    this.tree(to);
  }

  // ---- ways out

  private tailCall(): void {
    this.e.op(0x13);
    this.e.code.u32(this.module.invokeType());
    this.e.code.u32(0);
  }

  private leaveTo(offset: number): void {
    const { e } = this;
    this.writeBack(this.dirty);
    if (offset >= 0 && offset < 4096) {
      e.get(local.h);
      this.pageOffset(offset);
      e.memory('store64', fieldOffset('pc'));
      e.get(local.h);
      e.get(local.fuel);
      e.i32(this.slotOf(offset));
      return this.tailCall();
    }
    this.pageOffset(offset);
    e.set(local.va);
    this.leaveByLookup();
  }

  /** To wherever ecall leads or sret comes back to, by the interpreter's own helper. */
  private trap(step: Step): void {
    const { e } = this;
    this.writeBack(this.dirty);
    e.get(local.h);
    this.pageOffset(step.at);
    e.memory('store64', fieldOffset('pc'));
    e.get(local.h);
    e.i32(step.raw);
    e.get(local.fuel);
    this.call('system_out');
    e.set(local.fuel);
    e.get(local.h);
    e.memory('load32', fieldOffset('tlb'));
    e.set(local.tlb);
    e.get(local.h);
    e.memory('load64', fieldOffset('pc'));
    e.set(local.va);
    this.goOnByLookup();
  }

  /** Out to the address in `va`. */
  private leaveByLookup(): void {
    const { e } = this;
    e.get(local.h);
    e.get(local.va);
    e.memory('store64', fieldOffset('pc'));
    this.goOnByLookup();
  }

  /** `va` is the pc: on through the fetch side of the TLB and the page's code map. */
  private goOnByLookup(): void {
    const { e } = this;
    e.get(local.va);
    e.i64(-4096);
    e.op(0x83);
    emitEntry(e, 16, this.module.tlbMask);
    e.op(0x52); // ne
    e.hint(false);
    e.open(4);
    e.get(local.fuel);
    e.op(0x0f);
    e.close();
    e.get(local.h);
    e.get(local.fuel);
    e.get(local.entry);
    e.memory('load32', 28);
    e.get(local.va);
    e.op(0xa7);
    e.i32(0xffe);
    e.op(0x71, 0x6a);
    e.memory('load16u', 0);
    this.tailCall();
  }

  private link(block: Block): void {
    const rd = (block.last!.bits >>> 7) & 31;
    if (rd === 0) return;
    this.pageOffset(block.other);
    this.e.set(this.locals[rd]!);
    this.dirty.x |= 1 << rd;
  }

  private indirect(block: Block): void {
    const { e } = this;
    this.sum(block.last!);
    e.i64(-2);
    e.op(0x83);
    e.set(local.va);
    this.link(block);
    this.writeBack(this.dirty);
    this.leaveByLookup();
  }

  /** Writes back what the exit's largest subset does not, and goes on there; ∅ leaves. */
  private exit(exits: readonly RegisterSet[], n: number): void {
    const { e } = this;
    const set = exits[n]!;
    if (n > 0) {
      let inner = n - 1;
      while (((exits[inner]!.x & ~set.x) | (exits[inner]!.f & ~set.f)) !== 0) inner--;
      const less = exits[inner]!;
      this.writeBack({ x: set.x & ~less.x, f: set.f & ~less.f });
      if (inner !== n - 1) e.br(this.exitLabels[inner]!);
      return;
    }
    e.get(local.h);
    e.get(local.page);
    e.get(local.site);
    e.i32((1 << siteBits) - 1);
    e.op(0x71, 0xad, 0x7c);
    e.memory('store64', fieldOffset('pc'));
    e.get(local.fuel);
    e.get(local.site);
    e.i32(siteBits);
    e.op(0x76, 0x6a);
  }
}
