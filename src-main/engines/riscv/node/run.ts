/**
 * Runs a machine in this process: harts and timekeeper on worker threads, consoles and virtio
 * devices on this one. It boots a kernel or goes on from a saved state. Resolves when the guest has
 * powered off, reset or failed.
 */
import { Bus } from '../devices/bus.ts';
import { at, machine } from '../layout.ts';
import type { Machine } from '../machine.ts';
import { checkMachine, createMemory, createShared, guestRam, prepareBoot } from '../machine.ts';
import type { BootOptions, MachineOptions } from '../machine.ts';
import type { ConsolePort } from '../ports.ts';
import type { Shared } from '../hart.ts';
import { restoreState, savedTicks, saveState, typedBytesMax } from '../snapshot.ts';
import { nodeClock } from './clock.ts';
import { keptCore } from './core-cache.ts';
import type { SharedDisk } from './hart-disks.ts';
import type { OpenSnapshot } from './snapshot-read.ts';
import { writeSnapshot } from './snapshot-write.ts';
import { Standstill } from './standstill.ts';
import { Threads } from './threads.ts';
import type { HartEnded } from './worker.ts';
import type { Saved, VirtioDevice, Wiring } from '../devices/virtio/device.ts';

type Make = (wiring: Wiring) => VirtioDevice;

/** A machine that is on, from the thread that its devices live on. */
export interface Power {
  readonly memory: WebAssembly.Memory;
  /** The memory's doorbell: rung, the devices are looked after. */
  ring(): void;
  stop(): void;
  /** Fills an empty slot of a running machine; its guest does not notice by itself. */
  plug(slot: number, make: Make): void;
  unplug(slot: number): void;
  /** A disk that was plugged in, for the harts to serve. */
  shareDisk(disk: SharedDisk): void;
  readonly still: Pick<Standstill, 'hold' | 'release'>;
  /**
   * Writes a machine that is held into a new file; answers with its length in bytes. `beside` is
   * kept with it, for who starts it again.
   */
  save(path: string, beside: Saved): Promise<number>;
}

/** A kernel to start; `virtio` is what the devices say. */
export type Boot = MachineOptions & Omit<BootOptions, 'virtio' | 'sv48'> & { sv48?: boolean };

/** A saved state to go on from; memory and harts are as they were then. */
export interface Resume {
  readonly saved: Pick<OpenSnapshot, 'head' | 'state' | 'fill'>;
  /** Called when all of it is in the machine, before the guest moves. */
  taken(): Promise<void>;
}

export interface RunOptions {
  from: Boot | Resume;
  console: ConsolePort;
  /** Devices in slot order, made once the memory exists; null leaves a slot empty. */
  devices: (Make | null)[];
  /** The disks among them, which harts serve themselves. */
  disks?: readonly SharedDisk[];
  onPower?: (power: Power) => void;
  /** Called each time this thread has woken, before the devices are looked after. */
  onWake?: () => void;
  threshold?: number;
}

export interface Ended {
  reason: 'poweroff' | 'reset' | 'failure';
  harts: HartEnded[];
}

/** Sooner, and the code that is made, hardly run again, drives what is hot out of the caches. */
const defaultThreshold = 4000;
const stopReasons = { poweroff: 1, reset: 2, failure: 3 } as const;
const nsPerTick = 100n;

/** @throws Refusal for a kernel or a saved state that cannot be loaded. */
export async function run(options: RunOptions): Promise<Ended> {
  const { from } = options;
  const wanted = 'saved' in from ? from.saved.head : from;
  checkMachine(wanted);
  const memory = createMemory(wanted);
  // While the processor and the threads are being made.
  const filling = 'saved' in from ? from.saved.fill(guestRam(memory)) : undefined;
  filling?.catch(() => {});
  const threads = new Threads(wanted.harts);
  try {
    return await runOn(threads, createShared(wanted, keptCore(), memory), options, filling);
  } catch (thrown) {
    await threads.discard();
    throw thrown;
  }
}

async function runOn(
  threads: Threads, shared: Machine, options: RunOptions, filling?: Promise<void>,
): Promise<Ended> { // prettier-ignore
  const { from, devices: makes } = options;
  const resume = 'saved' in from ? from : undefined;
  const board = 'saved' in from ? goOn(shared, makes, from) : powerOn(shared, makes, from);
  const { bus, devices, still, powerOnNs } = board;
  const lines = new ConsoleLines(options.console, board);
  const threshold = options.threshold ?? defaultThreshold;
  const firmware = 'firmware' in from && from.firmware !== undefined;
  const start = { machine: shared, powerOnNs, firmware, resume: resume !== undefined, threshold };
  for (const disk of options.disks ?? []) threads.shareDisk(disk);
  threads.start(start, () => bus.stop(stopReasons.failure));
  options.onPower?.({
    memory: shared.memory,
    ring: () => bus.ring(),
    stop: () => bus.stop(stopReasons.poweroff),
    plug: (slot, make) => void devices.push(make(wiringOf(shared, bus, slot))),
    unplug: (slot) => {
      const index = devices.findIndex((device) => device.slot === slot);
      if (index >= 0) devices.splice(index, 1)[0]!.unplug();
    },
    shareDisk: (disk) => threads.shareDisk(disk),
    still,
    save: (path, beside) => {
      const typed = Uint8Array.from(lines.typed);
      const state = saveState(shared, bus, devices, typed, still.ticks);
      return writeSnapshot(path, shared, { ...state, beside });
    },
  });
  const filled = resume && goOnWhen(filling, resume, board);
  filled?.catch(() => {});
  const reason = await serve(shared.memory, board, lines, options);
  await threads.ended;
  await filled;
  return { reason, harts: threads.harts };
}

interface Board {
  readonly powerOnNs: bigint;
  readonly bus: Bus;
  readonly devices: VirtioDevice[];
  readonly still: Standstill;
  /** Console input that finds no room in the ring. */
  readonly typed: number[];
}

function wiringOf({ memory, layout }: Shared, bus: Bus, slot: number): Wiring {
  return { bus, memory, layout, slot };
}

/** `ticks`: how long ago, in guest time, the power was switched on. */
function boardOf(shared: Shared, makes: readonly (Make | null)[], ticks: number): Board {
  const { memory, layout } = shared;
  const powerOnNs = process.hrtime.bigint() - BigInt(ticks) * nsPerTick;
  const clock = nodeClock(powerOnNs, memory);
  const bus = new Bus(memory, layout, clock);
  const devices = makes.flatMap((make, slot) => make?.(wiringOf(shared, bus, slot)) ?? []);
  return { powerOnNs, bus, devices, still: new Standstill(shared, devices, clock), typed: [] };
}

function powerOn(shared: Shared, makes: RunOptions['devices'], boot: Boot): Board {
  const board = boardOf(shared, makes, 0);
  const virtio = makes.map((_, slot) => slot);
  prepareBoot(shared, { ...boot, sv48: boot.sv48 ?? false, virtio });
  return board;
}

/** As it was saved, and held still. */
function goOn(shared: Shared, makes: RunOptions['devices'], { saved }: Resume): Board {
  const restored = restoreState(shared, saved.state);
  const board = boardOf(shared, makes, savedTicks(saved.state));
  restored.furnish(board.devices);
  board.typed.push(...restored.typed);
  board.still.begin();
  return board;
}

/** When the memory is full. A machine that cannot be filled ends. */
async function goOnWhen(
  filling: Promise<void> | undefined, resume: Resume, { bus, still }: Board,
): Promise<void> { // prettier-ignore
  try {
    await filling;
    await resume.taken();
    still.release();
  } catch (thrown) {
    bus.stop(stopReasons.failure);
    throw thrown;
  }
}

/** The serial line's way between the console and the rings, moved on while nobody is held. */
class ConsoleLines {
  readonly typed: number[];
  private readonly bus: Bus;
  private readonly port: ConsolePort;

  constructor(port: ConsolePort, { bus, typed }: Pick<Board, 'bus' | 'typed'>) {
    this.port = port;
    this.bus = bus;
    this.typed = typed;
    port.onInput((bytes) => {
      if (typed.length < typedBytesMax) typed.push(...bytes);
      bus.ring();
    });
  }

  feed(): void {
    const { bus, typed } = this;
    if (typed.length === 0) return;
    let fed = 0;
    while (fed < typed.length && bus.consoleInRing.put(typed[fed]!)) fed++;
    typed.splice(0, fed);
    this.update(bus);
  }

  drain(): void {
    const { bus } = this;
    while (this.port.full !== true) {
      let count = 0;
      while (count < chunk.length) {
        const byte = bus.consoleOutRing.take();
        if (byte < 0) break;
        chunk[count++] = byte;
      }
      if (count === 0) return;
      this.port.write(chunk.slice(0, count));
      // The line may have been busy for want of room.
      this.update(bus);
    }
  }

  private update(bus: Bus): void {
    bus.lock();
    bus.uart.update();
    bus.unlock();
  }
}

const chunk = new Uint8Array(4096);

/** The I/O thread's life: sleep on the doorbell, drain consoles and queues. */
async function serve(
  memory: WebAssembly.Memory,
  { bus, devices, still }: Board,
  lines: ConsoleLines,
  options: Pick<RunOptions, 'onWake'>,
): Promise<Ended['reason']> {
  const words = new Int32Array(memory.buffer, at.machine, 64);
  // Once a second in any case; a limit to each wait would be a timer of V8's and one more thread.
  const look = setInterval(() => Atomics.notify(words, machine.doorbell >> 2), 1000).unref();
  for (;;) {
    const bell = Atomics.load(words, machine.doorbell >> 2);
    if (!still.held) {
      lines.drain();
      lines.feed();
      options.onWake?.();
      bus.lookAtAlarm();
      for (const device of devices) device.service();
    }
    const stop = Atomics.load(words, machine.stop >> 2);
    if (stop !== 0) {
      lines.drain();
      clearInterval(look);
      return stop === 1 ? 'poweroff' : stop === 2 ? 'reset' : 'failure';
    }
    const wait = Atomics.waitAsync(words, machine.doorbell >> 2, bell);
    if (wait.async) await wait.value;
    else await new Promise<void>((resolve) => setImmediate(resolve));
  }
}
