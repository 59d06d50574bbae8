/**
 * One processor: the core module bound to its place in the shared memory, and the loop around it.
 * It may run on any thread, one hart per thread; all its state is in the shared memory, so that
 * other threads talk to it through its mailbox words `irq`, `poke` and `remote` only.
 */
import { HartState, poke, remote } from './hart-state.ts';
import { at, fieldOffset, machine } from './layout.ts';
import type { Layout } from './layout.ts';
import type { CoreExports, CoreImports } from './cpu/core.ts';
import type { Bus } from './devices/bus.ts';
import { sbiCall } from './boot/sbi.ts';
import type { Clock } from './ports.ts';
import { Samples } from './jit/trace.ts';
import { Translator } from './jit/translator.ts';
import type { Workshop } from './jit/workshop.ts';
import { ran } from './cpu/interpret.ts';

export interface Shared {
  memory: WebAssembly.Memory;
  layout: Layout;
  core: WebAssembly.Module;
}

const neverAtFirst = [
  'stimecmp', 'vstimecmp', 'vsdeadline', 'deepdeadline', 'mtimecmp', 'fsgate',
] as const; // prettier-ignore

/** Instructions between looks at the clock, should the timekeeper's thread not get to run. */
const slice = 300_000;

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

  constructor(shared: Shared, index: number, bus: Bus, clock: Clock, workshop: Workshop) {
    this.index = index;
    this.shared = shared;
    this.bus = bus;
    this.clock = clock;
    const { memory, layout } = shared;
    this.state = new HartState(memory.buffer, index);
    for (let n = 0; n < layout.harts; n++) this.others.push(new HartState(memory.buffer, n));
    this.machineWords = new Int32Array(memory.buffer, at.machine, 64);
    this.samples = new Samples(memory.buffer, index);
    const table = new WebAssembly.Table({ element: 'anyfunc', initial: 1 });
    const imports: CoreImports = {
      mmio_load: (_h, pa, size) => this.bus.load(pa >>> 0, size, this.index),
      mmio_store: (_h, pa, size, value) => this.bus.store(pa >>> 0, size, value, this.index),
      now: () => this.clock.ticks(),
      sbi_call: () => sbiCall(this),
      code_changed: () => this.translator.codeChanged(),
      timer_moved: () => this.timerMoved(),
      hot: (_h, ip, behind) => (this.translator.hot(ip >>> 0, behind) ? 1 : 0),
    };
    const e = { memory, table, ...imports };
    this.coreExports = new WebAssembly.Instance(shared.core, { e }).exports;
    this.core = this.coreExports as unknown as CoreExports;
    this.translator = new Translator(this, table, workshop);
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
    for (const name of neverAtFirst) s.setWide(name, 0xffff_ffff_ffff_ffffn);
    s.setWide('altstatus', 0x2_0000_0000n);
    if (!firmware) {
      s.setWord('nests', 1);
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
    const now = this.clock.ticks();
    if (s.ring(now)) return;
    const delta = Number(s.nextDeadline(now)) - now;
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
    if ((bits & poke.made) !== 0) this.translator.install();
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
    if (this.state.nextDeadline(this.clock.ticks()) >= until) return;
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
