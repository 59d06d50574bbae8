/**
 * Runs a machine in this process: harts and timekeeper on worker threads, consoles and virtio
 * devices on this one. Resolves when the guest has powered off, reset or failed.
 */
import { Worker } from 'node:worker_threads';
import { Bus } from '../devices/bus.ts';
import { at, machine } from '../layout.ts';
import { createShared, prepareBoot } from '../machine.ts';
import type { BootOptions, MachineOptions } from '../machine.ts';
import type { ConsolePort } from '../ports.ts';
import { nodeClock } from './clock.ts';
import type { WorkerStart } from './worker.ts';
import type { VirtioDevice, Wiring } from '../devices/virtio/device.ts';

export interface RunOptions extends MachineOptions, Omit<BootOptions, 'virtio' | 'sv48'> {
  console: ConsolePort;
  /** Devices in slot order, made once the memory exists; null leaves a slot empty. */
  devices: (((wiring: Wiring) => VirtioDevice) | null)[];
  /** Called on this thread with the memory's doorbell: rung, the devices are looked after. */
  onPower?: (power: {
    memory: WebAssembly.Memory;
    ring: () => void;
    stop: () => void;
    /** Fills an empty slot of a running machine; its guest does not notice by itself. */
    plug: (slot: number, make: (wiring: Wiring) => VirtioDevice) => void;
    unplug: (slot: number) => void;
  }) => void;
  /** Called each time this thread has woken, before the devices are looked after. */
  onWake?: () => void;
  sv48?: boolean;
  threshold?: number;
}

export interface Ended {
  reason: 'poweroff' | 'reset' | 'failure';
  harts: { index: number; retired: bigint; jit: unknown }[];
}

const defaultThreshold = 1000;
const stopReasons = { poweroff: 1, reset: 2, failure: 3 } as const;

export async function run(options: RunOptions): Promise<Ended> {
  const shared = createShared(options);
  const powerOnNs = process.hrtime.bigint();
  const bus = new Bus(shared.memory, shared.layout, nodeClock(powerOnNs));
  const devices: VirtioDevice[] = [];
  const plug = (slot: number, make: (wiring: Wiring) => VirtioDevice) =>
    void devices.push(make({ bus, memory: shared.memory, layout: shared.layout, slot }));
  options.devices.forEach((make, slot) => make && plug(slot, make));
  prepareBoot(shared, {
    ...options,
    sv48: options.sv48 ?? false,
    virtio: options.devices.map((_, slot) => slot),
  });
  const ended: Ended = { reason: 'failure', harts: [] };
  const workers: Promise<void>[] = [];
  const spawn = (role: WorkerStart['role'], index: number) => {
    const start: WorkerStart = {
      role, index, shared, powerOnNs, firmware: false, resume: false,
      threshold: options.threshold ?? defaultThreshold,
    }; // prettier-ignore
    const worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData: start });
    worker.on('message', (message: Ended['harts'][number]) => ended.harts.push(message));
    workers.push(
      new Promise((resolve) => {
        worker.on('error', (error) => {
          process.stderr.write(`machine thread: ${error.stack ?? error.message}\n`);
          bus.stop(3);
        });
        worker.on('exit', () => resolve());
      }),
    );
  };
  spawn('time', 0);
  for (let index = 0; index < options.harts; index++) spawn('hart', index);
  options.onPower?.({
    memory: shared.memory,
    ring: () => bus.ring(),
    stop: () => bus.stop(stopReasons.poweroff),
    plug,
    unplug: (slot) => {
      const index = devices.findIndex((device) => device.slot === slot);
      if (index >= 0) devices.splice(index, 1)[0]!.unplug();
    },
  });
  ended.reason = await serve(shared.memory, bus, devices, options);
  await Promise.all(workers);
  return ended;
}

/** The I/O thread's life: sleep on the doorbell, drain consoles and queues. */
async function serve(
  memory: WebAssembly.Memory,
  bus: Bus,
  devices: VirtioDevice[],
  options: Pick<RunOptions, 'console' | 'onWake'>,
): Promise<Ended['reason']> {
  const consolePort = options.console;
  const words = new Int32Array(memory.buffer, at.machine, 64);
  const pendingInput: number[] = [];
  const feed = () => {
    if (pendingInput.length === 0) return;
    let fed = 0;
    while (fed < pendingInput.length && bus.consoleInRing.put(pendingInput[fed]!)) fed++;
    pendingInput.splice(0, fed);
    bus.lock();
    bus.uart.update();
    bus.unlock();
  };
  consolePort.onInput((bytes) => {
    if (pendingInput.length < 0x1_0000) pendingInput.push(...bytes);
    feed();
  });
  for (;;) {
    const bell = Atomics.load(words, machine.doorbell >> 2);
    drain(bus, consolePort);
    feed();
    options.onWake?.();
    for (const device of devices) device.service();
    const stop = Atomics.load(words, machine.stop >> 2);
    if (stop !== 0) {
      drain(bus, consolePort);
      return stop === 1 ? 'poweroff' : stop === 2 ? 'reset' : 'failure';
    }
    const wait = Atomics.waitAsync(words, machine.doorbell >> 2, bell, 1000);
    if (wait.async) await wait.value;
    else await new Promise<void>((resolve) => setImmediate(resolve));
  }
}

const chunk = new Uint8Array(4096);

function drain(bus: Bus, consolePort: ConsolePort): void {
  while (consolePort.full !== true) {
    let count = 0;
    while (count < chunk.length) {
      const byte = bus.consoleOutRing.take();
      if (byte < 0) break;
      chunk[count++] = byte;
    }
    if (count === 0) return;
    consolePort.write(chunk.slice(0, count));
    // The line may have been busy for want of room.
    bus.lock();
    bus.uart.update();
    bus.unlock();
  }
}
