/**
 * What the instructions of a region become: pieces of stencils with the region's locals in their
 * holes, and what has to stand before some of them. `RegionEmitter` lays the ways between them.
 */
import { fieldOffset, fields, hartAt } from '../layout.ts';
import { Emitter } from '../wasm/emit.ts';
import type { Type } from '../wasm/module.ts';
import type { ModuleEmitter } from './emit.ts';
import type { Flow } from './flow.ts';
import { gateOf } from './gates.ts';
import { groupsOf } from './groups.ts';
import type { Group } from './groups.ts';
import type { RegisterSet } from './operands.ts';
import type { Step } from './region.ts';
import { registerUse, sameSet } from './registers.ts';
import type { RegisterUse } from './registers.ts';
import { emitEntry, emitHit, hole, local, operandAt, siteBits } from './stencil.ts';
import type { Piece } from './stencil.ts';

export abstract class StepEmitter {
  protected readonly flow: Flow;
  protected readonly module: ModuleEmitter;
  protected readonly use: RegisterUse;
  protected readonly e: Emitter;
  protected readonly locals = new Array<number>(32).fill(-1);
  protected readonly floats = new Array<number>(32).fill(-1);
  protected readonly exitLabels: number[] = [];
  protected step!: Step;
  /** What is newer in a local than in memory. */
  protected dirty: RegisterSet = { x: 0, f: 0 };
  protected left = 0; // instructions of the block after the present one
  protected gates = 0; // FPU checks already made
  private readonly temporaries = new Map<Type, number[]>();
  private readonly groups: ReadonlyMap<Step, Group>;
  private readonly hosts = new Map<Group, number>(); // the locals of those that are open
  private readonly freeHosts: number[] = [];

  constructor(flow: Flow, module: ModuleEmitter) {
    this.flow = flow;
    this.module = module;
    this.use = registerUse(flow);
    this.groups = groupsOf(flow);
    const scope = { ...module.env, fields, callee: () => null };
    this.e = new Emitter(scope, null, module.code);
  }

  protected instruction(step: Step): void {
    this.step = step;
    this.left--;
    if (step.across) this.across(step);
    const { kind } = step.what;
    if (kind === 'system') return this.system(step);
    const group = this.groups.get(step);
    const { stencils } = this.module;
    const stencil = group === undefined ? stencils.of(step) : stencils.inGroup(step);
    const written = step.writes;
    if (!stencil.effect && written.x === 0) return;
    this.gate(step);
    if (group?.first === step) this.openGroup(group);
    this.play(stencil.pieces, stencil.temporaries);
    this.dirty.x |= written.x;
    this.dirty.f |= written.f;
  }

  /**
   * A CSR, a fence or a wait, by the interpreter's own helper, which finds its registers and leaves
   * rd in memory. Leaves when what follows has to be fetched anew or an interrupt looked at.
   */
  private system(step: Step): void {
    const { e } = this;
    const written = step.writes;
    this.writeBack({ x: this.dirty.x & step.reads.x, f: 0 });
    this.site();
    e.get(local.h);
    e.i32(step.raw);
    e.get(local.fuel);
    e.i32(this.left);
    e.op(0x6a);
    this.call('system_inside');
    e.set(local.entry);
    e.get(local.h);
    e.memory('load32', fieldOffset('fault'));
    e.hint(false);
    e.brIf(this.exitLabel());
    if (written.x !== 0) this.loadRegister((step.bits >>> 7) & 31);
    this.dirty.x |= written.x;
    this.gates = 0;
    this.loadTlb();
    e.get(local.entry);
    e.hint(false);
    e.open(4);
    this.toInterpreter((step.at + step.length) | (this.left << siteBits));
    e.close();
  }

  /** Leaves the instruction to the interpreter unless its second half is still what it was. */
  protected across({ at, raw }: Step): void {
    const { e } = this;
    this.pageOffset(4096);
    e.tee(local.va);
    emitEntry(e, 16, this.module.tlbMask);
    e.op(0x52); // ne
    e.hint(false);
    e.open(4, 'i32');
    e.i32(1);
    e.otherwise();
    e.get(local.va);
    e.op(0xa7);
    e.get(local.entry);
    e.memory('load32', 24);
    e.op(0x6a);
    e.memory('load16u', 0);
    e.i32(raw >>> 16);
    e.op(0x47);
    e.close();
    e.hint(false);
    e.open(4);
    this.toInterpreter(at | ((this.left + 1) << siteBits));
    e.close();
  }

  /** Is the FPU on, and if frm decides, is it a rounding mode: once, for all that follows. */
  private gate(step: Step): void {
    const { e } = this;
    const need = gateOf(step);
    if ((this.gates & need) === need) return;
    this.gates |= need;
    const dynamic = need === 3;
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

  private site(): void {
    this.e.i32(this.step.at | (this.left << siteBits));
    this.e.set(local.site);
  }

  protected call(name: string): void {
    this.e.op(0x10);
    this.e.code.u32(this.module.function(name));
  }

  private register(n: number): void {
    if (n === 0) this.e.i64(0);
    else this.e.get(this.locals[n]!);
  }

  protected sum({ bits, imm }: Step): void {
    const rs1 = (bits >>> 15) & 31;
    if (rs1 === 0) return this.e.i64(imm);
    this.e.get(this.locals[rs1]!);
    if (imm === 0) return;
    this.e.i64(imm);
    this.e.op(0x7c);
  }

  /** Copies an instruction's pieces, with its operands in the holes between them. */
  protected play(pieces: readonly Piece[], temporaries: readonly Type[] = []): void {
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

  /** No block after this one, in the order of the flow, is led to by it. */
  protected closeGroups(block: number): void {
    for (const [group, host] of this.hosts) {
      if (group.block !== block) continue;
      this.freeHosts.push(host);
      this.hosts.delete(group);
    }
  }

  // ---- registers, and the way back to the interpreter

  /** The table of the present address space and privilege. */
  protected loadTlb(): void {
    this.e.get(local.h);
    this.e.memory('load32', fieldOffset('tlb'));
    this.e.set(local.tlb);
  }

  protected loadRegisters(set: RegisterSet): void {
    for (let n = 1; n < 32; n++) if (((set.x >>> n) & 1) !== 0) this.loadRegister(n);
    for (let n = 0; n < 32; n++) {
      if (((set.f >>> n) & 1) === 0) continue;
      this.e.get(local.h);
      this.e.memory('loadf64', hartAt.f + n * 8);
      this.e.set(this.floats[n]!);
    }
  }

  protected loadRegister(n: number): void {
    this.e.get(local.h);
    this.e.memory('load64', n * 8);
    this.e.set(this.locals[n]!);
  }

  protected writeBack(set: RegisterSet): void {
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

  protected pageOffset(offset: number): void {
    this.e.get(local.page);
    if (offset === 0) return;
    this.e.i64(offset);
    this.e.op(0x7c);
  }

  /** Back to `run`, which goes on at an offset of this page, `site`. */
  protected toInterpreter(site: number): void {
    this.e.i32(site);
    this.e.set(local.site);
    this.e.br(this.exitLabel());
  }

  protected exitLabel(): number {
    const index = this.use.exits.findIndex((set) => sameSet(set, this.dirty));
    if (index < 0) throw new Error('a way out was not foreseen');
    return this.exitLabels[index]!;
  }
}
