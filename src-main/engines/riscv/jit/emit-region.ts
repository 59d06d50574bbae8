/**
 * Writes a region as one WebAssembly function `r(h, fuel) → fuel`: integer registers in locals,
 * loops and joins as structured code, the TLB inline. On entry h.pc says where in the address
 * space the page stands; on every way out h.pc and the registers are in memory again, and the
 * next region is called in tail position through its table slot (slot 0 goes back to `run`).
 * Fuel is taken per block; loops look at it and at the mailbox on each turn.
 */
import { fieldOffset, fields, hartAt } from '../layout.ts';
import { Emitter } from '../wasm/emit.ts';
import type { Type } from '../wasm/module.ts';
import type { ModuleEmitter, SlotOf } from './emit.ts';
import { edgeKey } from './flow.ts';
import type { Flow } from './flow.ts';
import { groupsOf } from './groups.ts';
import type { Group } from './groups.ts';
import { isCsr } from './region.ts';
import type { Block, Step } from './region.ts';
import { reads, registerUse, sameSet, writes } from './registers.ts';
import type { RegisterSet, RegisterUse } from './registers.ts';
import { emitEntry, emitHit, hole, local, localTypes, operandAt, siteBits } from './stencil.ts';
import type { Piece } from './stencil.ts';

export class RegionEmitter {
  private readonly flow: Flow;
  private readonly module: ModuleEmitter;
  private readonly slotOf: SlotOf;
  private readonly use: RegisterUse;
  private readonly e: Emitter;
  private readonly locals = new Array<number>(32).fill(-1);
  private readonly floats = new Array<number>(32).fill(-1);
  private readonly temporaries = new Map<Type, number[]>();
  private readonly children: number[][];
  private readonly loopLabel = new Map<number, number>();
  private readonly joinLabel = new Map<number, number>();
  private readonly exitLabels: number[] = [];
  private step!: Step;
  private dirty: RegisterSet = { x: 0, f: 0 };
  private groups = new Map<Step, Group>();
  private readonly hosts = new Map<Group, number>(); // the locals of those that are open
  private readonly freeHosts: number[] = [];
  private left = 0; // instructions of the block after the present one
  private gates = 0; // FPU checks already made
  private readonly changesCsrs: boolean;
  private readonly gatesAfter: number[] = [];

  constructor(flow: Flow, module: ModuleEmitter, slotOf: SlotOf) {
    this.flow = flow;
    this.module = module;
    this.slotOf = slotOf;
    this.use = registerUse(flow);
    this.changesCsrs = flow.order.some(({ steps }) => steps.some((step) => isCsr(step.what)));
    const scope = { ...module.env, fields, callee: () => null };
    this.e = new Emitter(scope, null, module.code);
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

  private loadRegister(n: number): void {
    this.e.get(local.h);
    this.e.memory('load64', n * 8);
    this.e.set(this.locals[n]!);
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
    this.groups = groupsOf(block);
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

  private writeBack(set: RegisterSet): void {
    for (let n = 1; n < 32; n++) {
      if (((set.x >>> n) & 1) === 0) continue;
      this.e.get(local.h);
      this.e.get(this.locals[n]!);
      this.e.memory('store64', n * 8);
    }
    for (let n = 0; n < 32; n++) {
      if (((set.f >>> n) & 1) === 0) continue;
      this.e.get(local.h);
      this.e.get(this.floats[n]!);
      this.e.memory('storef64', hartAt.f + n * 8);
    }
  }

  private pageOffset(offset: number): void {
    this.e.get(local.page);
    if (offset === 0) return;
    this.e.i64(offset);
    this.e.op(0x7c);
  }

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

  /** Out to the address in `va`, through the fetch side of the TLB and the page's code map. */
  private leaveByLookup(): void {
    const { e } = this;
    e.get(local.h);
    e.get(local.va);
    e.memory('store64', fieldOffset('pc'));
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

  /** Back to `run`, which goes on at an offset of this page, `site`. */
  private toInterpreter(site: number): void {
    this.e.i32(site);
    this.e.set(local.site);
    this.e.br(this.exitLabel());
  }

  private exitLabel(): number {
    const index = this.use.exits.findIndex((set) => sameSet(set, this.dirty));
    if (index < 0) throw new Error('a way out was not foreseen');
    return this.exitLabels[index]!;
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

  // ---- instructions

  private instruction(step: Step): void {
    this.step = step;
    this.left--;
    const { kind } = step.what;
    if (kind === 'system') return this.csr(step);
    const group = this.groups.get(step);
    const { stencils } = this.module;
    const stencil = group === undefined ? stencils.of(step) : stencils.inGroup(step);
    const written = writes(step);
    if (!stencil.effect && written.x === 0) return;
    if (kind === 'fp' || kind === 'fpmem') this.gate(step);
    if (group?.members[0] === step) this.openGroup(group);
    this.play(stencil.pieces, stencil.temporaries);
    if (group?.members.at(-1) === step) this.freeHosts.push(this.hosts.get(group)!);
    this.dirty.x |= written.x;
    this.dirty.f |= written.f;
  }

  /**
   * A CSR instruction, by the interpreter's own helper, which finds rs1 and leaves rd in memory.
   * Leaves when what follows has to be fetched anew or an interrupt looked at.
   */
  private csr(step: Step): void {
    const { e } = this;
    const written = writes(step);
    this.writeBack({ x: this.dirty.x & reads(step).x, f: 0 });
    this.site();
    e.get(local.h);
    e.i32(step.raw);
    e.get(local.fuel);
    e.i32(this.left);
    e.op(0x6a);
    this.call('csr_inside');
    e.set(local.entry);
    e.get(local.h);
    e.memory('load32', fieldOffset('fault'));
    e.hint(false);
    e.brIf(this.exitLabel());
    if (written.x !== 0) this.loadRegister((step.bits >>> 7) & 31);
    this.dirty.x |= written.x;
    this.gates = 0;
    e.get(local.entry);
    e.hint(false);
    e.open(4);
    this.toInterpreter((step.at + step.length) | (this.left << siteBits));
    e.close();
  }

  /** Is the FPU on, and if frm decides, is it a rounding mode: once, for all that follows. */
  private gate(step: Step): void {
    const { e } = this;
    const dynamic = step.what.rounded && ((step.bits >>> 12) & 7) === 7;
    const need = dynamic ? 3 : 1;
    if ((this.gates & need) === need) return;
    this.gates |= need;
    for (const name of ['mstatus', 'fsgate'] as const) {
      e.get(local.h);
      e.memory('load64', fieldOffset(name));
    }
    e.i64(0x6000);
    e.op(0x83, 0x83);
    e.i64(0x6000);
    e.op(0x52); // not all of them: off, or not yet marked as used
    if (dynamic) {
      e.get(local.h);
      e.memory('load32', fieldOffset('frm'));
      e.i32(4);
      e.op(0x4b, 0x72);
    }
    e.hint(false);
    e.open(4);
    this.site();
    e.get(local.h);
    e.i32(step.raw);
    this.call(dynamic ? 'fp_gate_rm' : 'fp_gate');
    e.op(0x45);
    e.hint(false);
    e.brIf(this.exitLabel());
    e.close();
  }

  /** Looks once for all that a group will touch. */
  private openGroup(group: Group): void {
    const { e } = this;
    const host = this.freeHosts.pop() ?? e.alloc('i32');
    this.hosts.set(group, host);
    e.get(this.locals[group.base]!);
    e.i64(group.low);
    e.op(0x7c);
    e.set(local.va);
    emitHit(e, group.writes ? 8 : 0, group.bytes, this.module.tlbMask);
    e.hint(true);
    e.open(4, 'i32');
    e.get(local.va);
    e.op(0xa7);
    e.get(local.entry);
    e.memory('load32', 24);
    e.op(0x6a);
    e.otherwise();
    e.i32(0);
    e.close();
    e.set(host);
  }

  private site(): void {
    this.e.i32(this.step.at | (this.left << siteBits));
    this.e.set(local.site);
  }

  private call(name: string): void {
    this.e.op(0x10);
    this.e.code.u32(this.module.function(name));
  }

  private register(n: number): void {
    if (n === 0) this.e.i64(0);
    else this.e.get(this.locals[n]!);
  }

  private sum({ bits, imm }: Step): void {
    const rs1 = (bits >>> 15) & 31;
    if (rs1 === 0) return this.e.i64(imm);
    this.e.get(this.locals[rs1]!);
    if (imm === 0) return;
    this.e.i64(imm);
    this.e.op(0x7c);
  }

  /** Copies an instruction's pieces, with its operands in the holes between them. */
  private play(pieces: readonly Piece[], temporaries: readonly Type[] = []): void {
    const { e, step } = this;
    const { bits } = step;
    for (const piece of pieces) {
      for (const { at, taken } of piece.hints) e.hints.push({ at: e.code.length + at, taken });
      e.code.all(piece.bytes);
      const n = (bits >>> operandAt[piece.hole]!) & 31;
      switch (piece.hole) {
        case hole.rs1:
        case hole.rs2:
          this.register(n);
          break;
        case hole.fs1:
        case hole.fs2:
        case hole.fs3:
          e.get(this.floats[n]!);
          break;
        case hole.imm:
          e.i64(step.imm);
          break;
        case hole.raw:
          e.i32(step.raw);
          break;
        case hole.imm32:
          e.i32(step.imm);
          break;
        case hole.sum:
          this.sum(step);
          break;
        case hole.pc:
          this.pageOffset(step.at);
          break;
        case hole.rd:
          if (n === 0) e.op(0x1a);
          else e.set(this.locals[n]!);
          break;
        case hole.fd:
          e.set(this.floats[n]!);
          break;
        case hole.host:
          e.get(this.hosts.get(this.groups.get(step)!)!);
          break;
        case hole.place:
          e.code.u32(step.imm - this.groups.get(step)!.low);
          break;
        case hole.call:
          this.call(piece.name);
          break;
        case hole.site:
          this.site();
          break;
        case hole.fault:
          e.depth += piece.number;
          e.hint(false);
          e.brIf(this.exitLabel());
          e.depth -= piece.number;
          break;
        case hole.get:
        case hole.set:
        case hole.tee:
          e.op(0x20 + piece.hole - hole.get); // local.get, local.set, local.tee
          e.code.u32(this.temporary(temporaries, piece.number));
      }
    }
  }

  /** The local of a stencil's temporary; instructions share them. */
  private temporary(types: readonly Type[], number: number): number {
    const type = types[number]!;
    let known = this.temporaries.get(type);
    if (known === undefined) this.temporaries.set(type, (known = []));
    return (known[number] ??= this.e.alloc(type));
  }
}
