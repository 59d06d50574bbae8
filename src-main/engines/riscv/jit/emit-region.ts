/**
 * Writes a region as one WebAssembly function `r(h, fuel, room) → fuel`: integer registers in
 * locals, loops and joins as structured code, the TLB inline. On entry h.pc says where in the
 * address space the page stands; on every way out h.pc and the registers are in memory again, and
 * the next region is called in tail position through its table slot (slot 0 goes back to `run`).
 * Fuel is taken per block; loops look at it and at the mailbox on each turn.
 *
 * A call of the guest is one of the host, `room` deep at most, and its return a return: whoever
 * called goes on if h.pc is where it expects it, else comes back to its own caller, down to `run`.
 * So a frame on the host's stack holds nothing of the guest, only that its page is still mapped
 * and its translation valid. Whatever may change that sets h.unwind, or happens in `run`.
 */
import { callRoom, fieldOffset } from '../layout.ts';
import type { Emitter } from '../wasm/emit.ts';
import { StepEmitter } from './emit-steps.ts';
import type { ModuleEmitter, SlotOf } from './emit.ts';
import { edgeKey } from './flow.ts';
import type { Flow } from './flow.ts';
import { gatesAtStarts } from './gates.ts';
import type { Block, Step } from './region.ts';
import type { RegisterSet } from './operands.ts';
import { emitEntry, local, localTypes, siteBits } from './stencil.ts';

export class RegionEmitter extends StepEmitter {
  private readonly slotOf: SlotOf;
  private readonly children: number[][];
  private readonly loopLabel = new Map<number, number>();
  private readonly joinLabel = new Map<number, number>();
  private readonly gatesAt: readonly number[];
  /** Around everything: to what `va` says, by a return if a caller waits; always by lookup. */
  private returnLabel = 0;
  private lookupLabel = 0;

  constructor(flow: Flow, module: ModuleEmitter, slotOf: SlotOf) {
    super(flow, module);
    this.slotOf = slotOf;
    this.gatesAt = gatesAtStarts(flow);
    this.children = flow.order.map(() => []);
    flow.order.forEach((_, n) => {
      if (n > 0 && flow.join[n]) this.children[flow.parent[n]!]!.push(n);
    });
  }

  emit(): Emitter {
    const { e } = this;
    e.param('h', 'i32');
    e.param('fuel', 'i32');
    e.param('room', 'i32');
    for (const type of localTypes) e.alloc(type);
    this.prologue();
    this.lookupLabel = e.open(2);
    this.returnLabel = e.open(2);
    // The ways back to the interpreter stand around everything, a subset of registers outside.
    const { exits } = this.use;
    for (let n = 0; n < exits.length; n++) this.exitLabels.push(e.open(2));
    this.tree(0);
    e.op(0x00);
    for (let n = exits.length - 1; n >= 0; n--) {
      e.close();
      this.exit(exits, n);
    }
    e.close();
    this.return();
    e.close();
    this.lookUp();
    this.tailCall();
    return e;
  }

  private prologue(): void {
    const { e } = this;
    e.get(local.h);
    e.memory('load32', fieldOffset('poke'));
    e.get(local.fuel);
    e.i32(1);
    e.op(0x6b);
    e.get(local.room);
    e.op(0x72);
    e.i32(0);
    e.op(0x48, 0x72); // fuel < 1, or room < 0, or
    this.returnIf();
    this.loadTlb();
    e.get(local.h);
    e.memory('load64', fieldOffset('pc'));
    e.i64(-4096);
    e.op(0x83);
    e.set(local.page);
    const { used, need } = this.use;
    for (let n = 1; n < 32; n++) if (((used.x >>> n) & 1) !== 0) this.locals[n] = e.alloc('i64');
    for (let n = 0; n < 32; n++) if (((used.f >>> n) & 1) !== 0) this.floats[n] = e.alloc('f64');
    this.loadRegisters(need[0]!);
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
    this.gates = this.gatesAt[n]!;
    this.left = block.count;
    if (block.count > 0) {
      e.get(local.fuel);
      e.i32(block.count);
      e.op(0x6b);
      e.set(local.fuel);
    }
    for (const step of block.steps) this.instruction(step);
    this.terminate(block);
  }

  private terminate(block: Block): void {
    const { e } = this;
    const { last } = block;
    if (last !== null) {
      this.step = last;
      this.left--;
      if (last.across) this.across(last);
    }
    switch (block.end) {
      case 'goto':
        return this.follow(block, block.next);
      case 'branch': {
        this.play(this.module.stencils.of(last!).pieces);
        const dirty = { ...this.dirty };
        e.open(4);
        this.follow(block, block.next);
        e.close();
        this.dirty = dirty;
        return this.follow(block, block.other);
      }
      case 'jump':
        this.link(block);
        return this.leaveTo(block.next);
      case 'indirect':
        this.target(block);
        this.writeBack(this.dirty);
        return e.br(this.lookupLabel);
      case 'return':
        this.target(block);
        this.writeBack(this.dirty);
        return e.br(this.returnLabel);
      case 'call':
        return this.makeCall(block);
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

  /** Comes back to whoever called, where the i32 on the stack, which is unlikely, is not 0. */
  private returnIf(): void {
    const { e } = this;
    e.hint(false);
    e.open(4);
    e.get(local.fuel);
    e.op(0x0f);
    e.close();
  }

  /** Hart, fuel, room and a slot are on the stack. */
  private tailCall(): void {
    this.e.op(0x13);
    this.e.code.u32(this.module.invokeType());
    this.e.code.u32(0);
  }

  private storePc(): void {
    const { e } = this;
    e.get(local.h);
    e.get(local.va);
    e.memory('store64', fieldOffset('pc'));
  }

  /** Pushes what the region at an offset of this page wants, but its slot. */
  private enter(offset: number): void {
    const { e } = this;
    e.get(local.h);
    this.pageOffset(offset);
    e.memory('store64', fieldOffset('pc'));
    e.get(local.h);
    e.get(local.fuel);
    e.get(local.room);
  }

  private leaveTo(offset: number): void {
    const { e } = this;
    this.writeBack(this.dirty);
    if (offset >= 0 && offset < 4096) {
      this.enter(offset);
      e.i32(this.slotOf(offset));
      return this.tailCall();
    }
    this.pageOffset(offset);
    e.set(local.va);
    e.br(this.lookupLabel);
  }

  /**
   * To wherever ecall leads or sret comes back to, by the interpreter's own helper. Fetches are
   * others from there on, so that no frame on the host's stack may stay.
   */
  private trap(step: Step): void {
    const { e } = this;
    this.writeBack(this.dirty);
    e.get(local.h);
    this.pageOffset(step.at);
    e.memory('store64', fieldOffset('pc'));
    e.get(local.h);
    e.i32(step.bits | 0); // as the interpreter has it: ebreak may be a short one
    e.get(local.fuel);
    this.call('system_out');
    e.set(local.fuel);
    this.loadTlb();
    e.get(local.h);
    e.memory('load64', fieldOffset('pc'));
    e.set(local.va);
    e.get(local.h);
    e.get(local.room);
    e.i32(callRoom);
    e.op(0x47); // ne
    e.memory('store32', fieldOffset('unwind'));
    e.br(this.returnLabel);
  }

  /** To `va`: back to who called on the host's stack, if anybody has. */
  private return(): void {
    const { e } = this;
    this.storePc();
    e.get(local.room);
    e.i32(callRoom);
    e.op(0x47);
    e.open(4);
    e.get(local.fuel);
    e.op(0x0f);
    e.close();
  }

  /**
   * Pushes what the region at `va` wants, and its slot, found through the fetch side of the TLB and
   * the page's code map; where the TLB has no such page it leaves for `run`.
   */
  private lookUp(): void {
    const { e } = this;
    this.storePc();
    e.get(local.va);
    e.i64(-4096);
    e.op(0x83);
    emitEntry(e, 16, this.module.tlbMask);
    e.op(0x52); // ne
    this.returnIf();
    e.get(local.h);
    e.get(local.fuel);
    e.get(local.room);
    e.get(local.entry);
    e.memory('load32', 28);
    e.get(local.va);
    e.op(0xa7);
    e.i32(0xffe);
    e.op(0x71, 0x6a);
    e.memory('load16u', 0);
  }

  private link(block: Block): void {
    const rd = (block.last!.bits >>> 7) & 31;
    if (rd === 0) return;
    this.pageOffset(block.other);
    this.e.set(this.locals[rd]!);
    this.dirty.x |= 1 << rd;
  }

  /** Where a jalr goes, in `va`; and its link, which may be what that was taken from. */
  private target(block: Block): void {
    this.sum(block.last!);
    this.e.i64(-2);
    this.e.op(0x83);
    this.e.set(local.va);
    this.link(block);
  }

  private makeCall(block: Block): void {
    const { e } = this;
    const { next, other } = block;
    const inPage = block.last!.what.kind === 'jal' && next >= 0 && next < 4096;
    if (block.last!.what.kind === 'jalr') this.target(block);
    else {
      this.link(block);
      if (!inPage) {
        this.pageOffset(next);
        e.set(local.va);
      }
    }
    this.writeBack(this.dirty);
    e.get(local.room);
    e.i32(1);
    e.op(0x6b);
    e.set(local.room);
    if (inPage) {
      this.enter(next);
      e.i32(this.slotOf(next));
    } else this.lookUp();
    e.op(0x11);
    e.code.u32(this.module.invokeType());
    e.code.u32(0);
    e.set(local.fuel);
    this.comeBack(other);
    this.dirty = { x: 0, f: 0 };
    const to = this.flow.index.get(other);
    const inside = to !== undefined && !this.flow.cut.has(edgeKey(block.start, other));
    if (inside) this.loadRegisters(this.use.need[to]!);
    this.follow(block, other);
  }

  /** Behind a call: goes on if it has come back to the offset expected. */
  private comeBack(offset: number): void {
    const { e } = this;
    e.get(local.h);
    e.memory('load64', fieldOffset('pc'));
    this.pageOffset(offset);
    e.op(0x52); // ne
    e.get(local.h);
    e.memory('load32', fieldOffset('unwind'));
    e.op(0x72);
    this.returnIf();
    e.get(local.room);
    e.i32(1);
    e.op(0x6a);
    e.set(local.room);
    this.loadTlb();
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
    e.get(local.h);
    e.i32(1);
    e.memory('store32', fieldOffset('unwind'));
    e.get(local.fuel);
    e.get(local.site);
    e.i32(siteBits);
    e.op(0x76, 0x6a, 0x0f);
  }
}
