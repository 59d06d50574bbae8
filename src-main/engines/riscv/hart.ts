/**
 * One processor: the core module bound to its place in the shared memory, and the loop around it.
 * It may run on any thread, one hart per thread; all its state is in the shared memory, so that
 * other threads talk to it through its mailbox words `irq`, `poke` and `remote` only.
 *
 * poke bits: 1 look at interrupts, 4 wfi, 8 pause or stop, 16 remote fences, 32 started by HSM.
 */
import { at, fieldOffset, hartAt, hartSize, machine } from './layout.ts';
import type { Layout, Narrow, Wide } from './layout.ts';
import { invokeSignature } from './wasm/compile.ts';
import type { CoreExports, CoreImports } from './cpu/core.ts';
import type { Bus } from './devices/bus.ts';
import { sbiCall } from './boot/sbi.ts';
import type { Clock } from './ports.ts';
import { Samples } from './jit/trace.ts';
import { Translator } from './jit/translator.ts';
import type { Compiled } from './wasm/compile.ts';
import { ran } from './cpu/interpret.ts';

export const poke = { irq: 1, wfi: 4, attention: 8, remote: 16, start: 32 } as const;
export const remote = { fence: 1, fenceI: 2 } as const;

export interface Shared {
  memory: WebAssembly.Memory;
  layout: Layout;
  core: WebAssembly.Module;
  compiled: Pick<Compiled, 'signatures' | 'inlines'>;
}

/** A hart's deadlines, in ticks, and the interrupt bit that each raises. */
const timers = [
  ['stimecmp', 0x20],
  ['vsdeadline', 0x40],
] as const;

/** Instructions between looks at the clock, should the timekeeper's thread not get to run. */
const slice = 300_000;

/** Named access to one hart's words, from any thread. */
export class HartState {
  readonly base: number;
  readonly i32: Int32Array;
  readonly i64: BigInt64Array;

  constructor(buffer: ArrayBufferLike, index: number) {
    this.base = at.harts + index * hartSize;
    this.i32 = new Int32Array(buffer);
    this.i64 = new BigInt64Array(buffer);
  }

  word(name: Narrow): number {
    return this.i32[(this.base + fieldOffset(name)) >> 2]!;
  }
  setWord(name: Narrow, value: number): void {
    this.i32[(this.base + fieldOffset(name)) >> 2] = value;
  }
  wide(name: Wide): bigint {
    return BigInt.asUintN(64, this.i64[(this.base + fieldOffset(name)) >> 3]!);
  }
  setWide(name: Wide, value: bigint): void {
    this.i64[(this.base + fieldOffset(name)) >> 3] = BigInt.asIntN(64, value);
  }
  x(index: number): bigint {
    return BigInt.asUintN(64, this.i64[(this.base >> 3) + index]!);
  }
  setX(index: number, value: bigint): void {
    if (index !== 0) this.i64[(this.base >> 3) + index] = BigInt.asIntN(64, value);
  }
  f(index: number): bigint {
    return BigInt.asUintN(64, this.i64[((this.base + hartAt.f) >> 3) + index]!);
  }
  setF(index: number, value: bigint): void {
    this.i64[((this.base + hartAt.f) >> 3) + index] = BigInt.asIntN(64, value);
  }

  /** Ors bits into the mailbox and wakes the hart. */
  poke(bits: number): void {
    const index = (this.base + fieldOffset('poke')) >> 2;
    Atomics.or(this.i32, index, bits);
    Atomics.notify(this.i32, index);
  }
  raiseIrq(bits: number): void {
    Atomics.or(this.i32, (this.base + fieldOffset('irq')) >> 2, bits);
    this.poke(poke.irq);
  }
  lowerIrq(bits: number): void {
    Atomics.and(this.i32, (this.base + fieldOffset('irq')) >> 2, ~bits);
  }

  /** The next tick at which a timer is to raise its bit; an unsigned 64-bit number. */
  nextDeadline(): bigint {
    let next = 0xffff_ffff_ffff_ffffn;
    for (const [name, bit] of timers) {
      const deadline = this.deadline(name);
      if ((this.word('irq') & bit) === 0 && deadline < next) next = deadline;
    }
    return next;
  }
  /** Raises what is due; says whether anything was. */
  ring(ticks: number): boolean {
    let bits = 0;
    for (const [name, bit] of timers) if (ticks >= Number(this.deadline(name))) bits |= bit;
    bits &= ~this.word('irq');
    if (bits !== 0) this.raiseIrq(bits);
    return bits !== 0;
  }
  private deadline(name: Wide): bigint {
    return BigInt.asUintN(64, Atomics.load(this.i64, (this.base + fieldOffset(name)) >> 3));
  }
}

export class Hart {
  readonly index: number;
  readonly shared: Shared;
  readonly state: HartState;
  readonly others: HartState[] = [];
  readonly core: CoreExports;
  readonly coreExports: Record<string, unknown>;
  readonly bus: Bus;
  readonly clock: Clock;
  readonly translator: Translator;
  private readonly samples: Samples;
  private readonly machineWords: Int32Array;

  constructor(shared: Shared, index: number, bus: Bus, clock: Clock) {
    this.index = index;
    this.shared = shared;
    this.bus = bus;
    this.clock = clock;
    const { memory, layout } = shared;
    this.state = new HartState(memory.buffer, index);
    for (let n = 0; n < layout.harts; n++) this.others.push(new HartState(memory.buffer, n));
    this.machineWords = new Int32Array(memory.buffer, at.machine, 64);
    this.samples = new Samples(memory.buffer, index);
    const table = new WebAssembly.Table({ element: 'anyfunc', initial: 1024 });
    const imports: CoreImports = {
      mmio_load: (_h, pa, size) => this.bus.load(pa >>> 0, size, this.index),
      mmio_store: (_h, pa, size, value) => this.bus.store(pa >>> 0, size, value, this.index),
      now: () => this.clock.ticks(),
      sbi_call: () => sbiCall(this),
      code_changed: () => this.translator.codeChanged(),
      timer_moved: () => this.timerMoved(),
      hot: (_h, ip, pc) => (this.translator.hot(ip >>> 0, pc) ? 1 : 0),
    };
    const e = { memory, table, ...imports };
    this.coreExports = new WebAssembly.Instance(shared.core, { e }).exports;
    this.core = this.coreExports as unknown as CoreExports;
    this.translator = new Translator(this, table, invokeSignature);
  }

  /** Power-on values. Firmware mode starts in M; otherwise in S with the SBI inside the engine. */
  reset(firmware: boolean): void {
    const s = this.state;
    this.settleIn();
    s.setWord('priv', firmware ? 3 : 1);
    s.setWord('sbi', firmware ? 0 : 1);
    s.setWide('misa', 0x8000_0000_0014_11adn);
    s.setWide('mideleg', firmware ? 0x1444n : 0x1666n);
    s.setWide('mstatus', 0xa_0000_0000n);
    for (const name of ['stimecmp', 'vstimecmp', 'vsdeadline', 'fsgate'] as const) {
      s.setWide(name, 0xffff_ffff_ffff_ffffn);
    }
    s.setWide('altstatus', 0x2_0000_0000n);
    if (!firmware) {
      s.setWide('medeleg', 0xf0_b5ffn);
      s.setWide('mcounteren', 7n);
      s.setWide('scounteren', 7n);
      s.setWide('menvcfg', 0xe000_0000_0000_00f0n);
    }
    this.core.flush_all(s.base);
  }

  /** Goes on from a saved state, which is in its fields already. */
  resume(): void {
    this.settleIn();
    this.core.flush_all(this.state.base);
    // Whatever it was being asked for: it looks at all of it once.
    this.state.poke(poke.irq | poke.attention | poke.remote | poke.start);
  }

  /** What follows from its place in this process. */
  private settleIn(): void {
    const s = this.state;
    const { layout } = this.shared;
    const directory = layout.mapDirectory + this.index * layout.mapStride;
    s.setWord('hartid', this.index);
    s.setWord('gen', 1);
    s.setWord('mapdir', directory);
    s.setWord('mappool', directory + layout.mapStride - layout.mapPoolFrames * 4096);
  }

  /** Runs until the machine stops. Call on the hart's own thread. */
  loop(): void {
    const s = this.state;
    for (;;) {
      if (Atomics.load(this.machineWords, machine.stop >> 2) !== 0) return;
      if (s.word('hsm') !== 0) {
        this.sleep(Infinity);
        this.attention();
        continue;
      }
      this.refuel(slice);
      const why = this.core.run(s.base);
      if (why === ran.wait) this.idle();
      else if (why === ran.attention) this.attention();
      else this.sliceEnded();
    }
  }

  /** Each slice is as many instructions, so what is often met at their ends is what is hot. */
  private sliceEnded(): void {
    const s = this.state;
    const translated = s.word('intranslated') !== 0;
    this.samples.add({ pc: s.wide('pc'), mode: s.word('priv'), translated });
    s.ring(this.clock.ticks());
  }

  /** Gives the hart `count` instructions, keeping its count of retired ones. */
  refuel(count: number): void {
    const s = this.state;
    const left = BigInt(s.word('fuel'));
    s.setWide('fueltop', s.wide('fueltop') - left + BigInt(count));
    s.setWord('fuel', count);
  }

  /** Instructions executed since power-on. */
  retired(): bigint {
    return BigInt.asIntN(64, this.state.wide('fueltop')) - BigInt(this.state.word('fuel'));
  }

  private idle(): void {
    const s = this.state;
    const delta = Number(s.nextDeadline()) - this.clock.ticks();
    if (delta > 0) this.sleep(delta > 1e12 ? 1e8 : delta / 10_000);
    if (!s.ring(this.clock.ticks())) s.poke(poke.irq);
  }

  private sleep(timeoutMs: number): void {
    const s = this.state;
    const index = (s.base + fieldOffset('poke')) >> 2;
    s.setWord('sleeping', 1);
    if (Atomics.load(s.i32, index) === 0) Atomics.wait(s.i32, index, 0, timeoutMs);
    s.setWord('sleeping', 0);
  }

  /** What other harts asked of this one; here it stands still while the machine is held. */
  attention(): void {
    const s = this.state;
    const bits = Atomics.and(s.i32, (s.base + fieldOffset('poke')) >> 2, 7);
    if ((bits & poke.remote) !== 0) this.serveRemote();
    if ((bits & poke.start) !== 0 && s.word('hsm') === 2) this.start();
    if ((bits & poke.attention) !== 0) this.park();
    // A wfi that was broken off goes on.
    if (s.word('waiting') !== 0) s.poke(poke.wfi);
  }

  /** All its state is in the shared memory now. It counts as asleep: nobody waits for a fence. */
  private park(): void {
    const words = this.machineWords;
    const held = () =>
      Atomics.load(words, machine.pause >> 2) !== 0 && Atomics.load(words, machine.stop >> 2) === 0;
    if (!held()) return;
    this.state.setWord('sleeping', 1);
    Atomics.add(words, machine.parked >> 2, 1);
    Atomics.notify(words, machine.parked >> 2);
    while (held()) Atomics.wait(words, machine.pause >> 2, 1, 1000);
    Atomics.sub(words, machine.parked >> 2, 1);
    this.state.setWord('sleeping', 0);
  }

  serveRemote(): void {
    const s = this.state;
    const index = (s.base + fieldOffset('remote')) >> 2;
    const asked = Atomics.load(s.i32, index);
    if ((asked & remote.fence) !== 0) this.core.flush_all(s.base);
    if ((asked & remote.fenceI) !== 0) this.translator.codeChanged();
    Atomics.and(s.i32, index, ~asked);
    Atomics.notify(s.i32, index);
  }

  private start(): void {
    const s = this.state;
    s.setWord('hsm', 0);
    s.setWord('priv', 1);
    s.setWide('satp', 0n);
    s.setWide('mstatus', 0xa_0000_0000n);
    s.setWide('mie', 0n);
    this.core.flush_all(s.base);
  }

  /** A new deadline: the timekeeper hears of it only when it would oversleep. */
  timerMoved(): void {
    const { i64 } = this.state;
    const until = Atomics.load(i64, (at.machine + machine.timerUntil) >> 3);
    if (this.state.nextDeadline() >= until) return;
    Atomics.add(this.machineWords, machine.timer >> 2, 1);
    Atomics.notify(this.machineWords, machine.timer >> 2);
  }

  /** Ends the machine: 1 poweroff, 2 reset, 3 failure. */
  stop(reason: number): void {
    Atomics.compareExchange(this.machineWords, machine.stop >> 2, 0, reason);
    Atomics.add(this.machineWords, machine.doorbell >> 2, 1);
    Atomics.notify(this.machineWords, machine.doorbell >> 2);
    Atomics.notify(this.machineWords, machine.timer >> 2);
    for (const other of this.others) other.poke(poke.attention);
  }
}
