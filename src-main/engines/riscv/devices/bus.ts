/**
 * The devices' front halves: what a load or store to device memory does at once, on the thread of
 * the hart that makes it. All registers are shared words under one short lock; slow work (queues,
 * console) is left to the I/O thread, which the doorbell wakes, but for disks: see `serve`.
 */
import { board, registers } from '../board.ts';
import { HartState, poke } from '../hart-state.ts';
import { at, machine } from '../layout.ts';
import type { Layout } from '../layout.ts';
import type { Clock } from '../ports.ts';
import { Clint, clintBytes } from './clint.ts';
import { Plic } from './plic.ts';
import { Ring } from './ring.ts';
import { GoldfishRtc, rtcBytes } from './rtc.ts';
import { Uart } from './uart.ts';
import { VirtioRegisters } from './virtio/registers.ts';

export const consoleOutSize = 0x8000;
export const consoleInSize = 0x1000;

export class Bus {
  readonly plic: Plic;
  readonly uart: Uart;
  readonly rtc: GoldfishRtc;
  readonly clint: Clint;
  readonly virtio: VirtioRegisters[] = [];
  readonly consoleOutRing: Ring;
  readonly consoleInRing: Ring;
  /** The registers of all front halves by name: with the harts, what a machine is besides RAM. */
  readonly blocks = new Map<string, Int32Array>();
  private readonly words: Int32Array;
  private readonly harts: HartState[] = [];
  /** Whose queues' bell the store under way has rung; -1: nobody's. */
  private rung = -1;
  /**
   * Answers what a slot's queues hold on the thread that has rung their bell; false leaves it to
   * the I/O thread. Called without the lock.
   */
  serve: (slot: number) => boolean = () => false;

  constructor(memory: WebAssembly.Memory, layout: Layout, clock: Clock) {
    const { buffer } = memory;
    this.words = new Int32Array(buffer, at.machine, 64);
    for (let n = 0; n < layout.harts; n++) this.harts.push(new HartState(buffer, n));
    this.consoleOutRing = new Ring(buffer, at.consoleOut, consoleOutSize);
    this.consoleInRing = new Ring(buffer, at.consoleIn, consoleInSize);
    const block = (name: string, offset: number, words: number) => {
      const view = new Int32Array(buffer, at.devices + offset, words);
      this.blocks.set(name, view);
      return view;
    };
    this.plic = new Plic(block('plic', registers.plic, 256), this.harts);
    this.clint = new Clint(this.harts, clock, () => this.timerMoved());
    const rtcWords = block('rtc', registers.rtc, 16);
    this.rtc = new GoldfishRtc(rtcWords, clock, (level) => this.plic.setLine(board.rtcIrq, level));
    this.uart = new Uart(
      block('uart', registers.uart, 16),
      this.consoleOutRing,
      this.consoleInRing,
      (level) => this.plic.setLine(board.uartIrq, level),
      () => this.ring(),
    );
    for (let n = 0; n < board.virtioCount; n++) {
      const words = block(`virtio${n}`, registers.virtio + n * registers.virtioStride, 128);
      const line = (level: boolean) => this.plic.setLine(board.virtioIrq + n, level);
      const rung = () => {
        this.rung = n;
      };
      this.virtio.push(new VirtioRegisters(words, line, () => this.ring(), rung));
    }
  }

  /** Wakes the I/O thread. */
  ring(): void {
    Atomics.add(this.words, machine.doorbell >> 2, 1);
    Atomics.notify(this.words, machine.doorbell >> 2);
  }

  stopped(): boolean {
    return Atomics.load(this.words, machine.stop >> 2) !== 0;
  }

  timerMoved(): void {
    Atomics.add(this.words, machine.timer >> 2, 1);
    Atomics.notify(this.words, machine.timer >> 2);
  }

  /** One byte to the console, without the UART; false when the ring is full. */
  consoleOut(byte: number): boolean {
    const put = this.consoleOutRing.put(byte);
    this.ring();
    return put;
  }

  lock(): void {
    const index = machine.deviceLock >> 2;
    while (Atomics.compareExchange(this.words, index, 0, 1) !== 0) {
      Atomics.wait(this.words, index, 1, 0.01);
    }
  }

  unlock(): void {
    Atomics.store(this.words, machine.deviceLock >> 2, 0);
  }

  load(pa: number, size: number, _hart: number): number {
    this.lock();
    try {
      return this.loadLocked(pa, size);
    } finally {
      this.unlock();
    }
  }

  store(pa: number, size: number, value: number, _hart: number): void {
    this.lock();
    try {
      this.storeLocked(pa, size, value);
    } finally {
      this.unlock();
    }
    if (this.rung < 0) return;
    const slot = this.rung;
    this.rung = -1;
    if (!this.serve(slot)) this.ring();
  }

  /** To be called once a second at least. */
  lookAtAlarm(): void {
    this.lock();
    this.rtc.look();
    this.unlock();
  }

  private loadLocked(pa: number, size: number): number {
    if (pa >= board.virtio && pa < board.virtio + board.virtioCount * board.virtioStride) {
      const n = (pa - board.virtio) >> 12;
      return this.virtio[n]!.load(pa & 0xfff, size);
    }
    if (pa >= board.plic && pa < board.plic + 0x400_0000) {
      return size === 4 ? this.plic.load(pa - board.plic) : 0;
    }
    if (pa >= board.uart && pa < board.uart + 8) return this.uart.load(pa - board.uart);
    if (pa >= board.clint && pa < board.clint + clintBytes) {
      return size === 4 ? this.clint.load(pa - board.clint) : 0;
    }
    if (pa >= board.rtc && pa < board.rtc + rtcBytes) return this.rtc.load(pa - board.rtc);
    return 0;
  }

  private storeLocked(pa: number, size: number, value: number): void {
    if (pa >= board.virtio && pa < board.virtio + board.virtioCount * board.virtioStride) {
      const n = (pa - board.virtio) >> 12;
      this.virtio[n]!.store(pa & 0xfff, size, value);
    } else if (pa >= board.plic && pa < board.plic + 0x400_0000) {
      if (size === 4) this.plic.store(pa - board.plic, value);
    } else if (pa >= board.uart && pa < board.uart + 8) {
      this.uart.store(pa - board.uart, value & 0xff);
    } else if (pa >= board.clint && pa < board.clint + clintBytes) {
      if (size === 4) this.clint.store(pa - board.clint, value);
    } else if (pa >= board.rtc && pa < board.rtc + rtcBytes) {
      this.rtc.store(pa - board.rtc, value);
    } else if (pa === board.syscon) this.syscon(value & 0xffff);
  }

  private syscon(value: number): void {
    if (value !== 0x5555 && value !== 0x7777) return;
    this.stop(value === 0x5555 ? 1 : 2);
  }

  stop(reason: number): void {
    Atomics.compareExchange(this.words, machine.stop >> 2, 0, reason);
    this.ring();
    this.timerMoved();
    for (const hart of this.harts) hart.poke(poke.attention);
  }
}
