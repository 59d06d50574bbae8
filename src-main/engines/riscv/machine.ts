/**
 * Builds a machine: one shared memory laid out, the processor compiled for it, kernel, initrd and
 * device tree in guest RAM, hart 0 ready to start. Threads are the caller's: see node/main.ts.
 */
import { Refusal } from '../../base/refusal.ts';
import { deviceTree } from './boot/tree.ts';
import { isElf, readElf } from './boot/elf.ts';
import { compileCore } from './cpu/core.ts';
import { expansionTable } from './cpu/compressed.ts';
import { HartState } from './hart-state.ts';
import type { Shared } from './hart.ts';
import type { Compiled } from './wasm/compile.ts';
import { at, guestRamBase, layoutOf, machine } from './layout.ts';

export interface MachineOptions {
  ramMib: number;
  harts: number;
}

/** What its harts share, and what regions of its code are made with. */
export interface Machine extends Shared {
  compiled: Pick<Compiled, 'signatures' | 'inlines'>;
}

export interface BootOptions {
  /** A raw `Image` or an ELF file, already decompressed. */
  kernel: Uint8Array;
  initrd: Uint8Array | null;
  bootArguments: string;
  seed: Uint8Array;
  virtio: number[];
  /** A user's own, in M-mode, instead of the SBI inside the engine; it starts the kernel. */
  firmware?: Uint8Array;
  sv48: boolean;
}

export const ramMibMax = 3072;
export const hartsMax = 16;

/** @throws Refusal for a machine that cannot be made. */
export function checkMachine(options: MachineOptions): void {
  const { ramMib, harts } = options;
  if (!Number.isInteger(ramMib) || ramMib < 2 || ramMib > ramMibMax || ramMib % 2 !== 0) {
    throw new Refusal('bad-input', `Memory must be an even number of MiB up to ${ramMibMax}.`);
  }
  if (!Number.isInteger(harts) || harts < 1 || harts > hartsMax) {
    throw new Refusal('bad-input', `A machine has 1 to ${hartsMax} processors.`);
  }
}

export type Memory = Pick<Machine, 'memory' | 'layout'>;

/** Laid out, with all of its RAM zero. */
export function createMemory(options: MachineOptions): Memory {
  checkMachine(options);
  const { ramMib, harts } = options;
  const layout = layoutOf(ramMib * 0x10_0000, harts);
  const memory = new WebAssembly.Memory({
    initial: layout.pages,
    maximum: layout.pages,
    shared: true,
  });
  new Uint32Array(memory.buffer, at.expand, 0x1_0000).set(expansionTable());
  new Int32Array(memory.buffer, at.machine, 64)[machine.hartCount >> 2] = harts;
  new BigInt64Array(memory.buffer, at.machine, 32)[machine.ramBytes >> 3] = BigInt(layout.ramBytes);
  return { memory, layout };
}

/** `compiled`: the processor, where it is kept; else it is compiled now. */
export function createShared(
  options: MachineOptions, compiled = compileCore(), made = createMemory(options),
): Machine { // prettier-ignore
  return { ...made, core: new WebAssembly.Module(compiled.bytes), compiled };
}

export function guestRam(shared: Memory): Uint8Array {
  return new Uint8Array(shared.memory.buffer, at.ram, shared.layout.ramBytes);
}

/** Copies bytes to a guest physical address. */
export function place(shared: Shared, address: number, bytes: Uint8Array): void {
  const offset = address - guestRamBase;
  if (!(offset >= 0) || offset + bytes.length > shared.layout.ramBytes) {
    throw new Refusal('no-space', 'The machine has too little memory for what it is to load.');
  }
  guestRam(shared).set(bytes, offset);
}

/** Loads an ELF file where it says; returns its entry and symbols. */
export function loadElf(shared: Shared, file: Uint8Array): ReturnType<typeof readElf> {
  const elf = readElf(file);
  for (const segment of elf.segments) {
    const address = Number(segment.address);
    const end = address - guestRamBase + segment.memoryBytes;
    if (!(end <= shared.layout.ramBytes)) {
      throw new Refusal('no-space', 'The machine has too little memory for the ELF file.');
    }
    place(shared, address, segment.bytes);
  }
  return elf;
}

const imageMagic = 0x05435352;
const kernelOffset = 0x20_0000;

const firmwareBytesMax = kernelOffset;
/** `struct fw_dynamic_info` of OpenSBI: where it is to go on, in which mode, on which hart. */
const nextStage = { magic: 0x4942_534fn, version: 2n, supervisor: 1n } as const;

/**
 * Puts everything in place and sets hart 0 at the kernel's entry; the others wait for HSM. With
 * firmware all of them begin there, in M-mode.
 */
export function prepareBoot(shared: Shared, options: BootOptions): void {
  const { layout } = shared;
  const { entry, end } = loadKernel(shared, options.kernel);
  const top = guestRamBase + layout.ramBytes;
  let initrd: { start: number; end: number } | null = null;
  let below = top - 0x20_0000;
  if (options.initrd !== null) {
    const start = Math.floor((below - options.initrd.length) / 4096) * 4096;
    if (start < end) {
      throw new Refusal('no-space', 'The machine has too little memory for kernel and initrd.');
    }
    place(shared, start, options.initrd);
    initrd = { start, end: start + options.initrd.length };
    below = start;
  }
  const tree = deviceTree({
    harts: layout.harts,
    ramBytes: layout.ramBytes,
    bootArguments: options.bootArguments,
    initrd,
    seed: options.seed,
    virtio: options.virtio,
    sv48: options.sv48,
    firmware: options.firmware !== undefined,
  });
  const treeAt = top - 0x10_0000;
  place(shared, treeAt, tree);
  const infoAt = treeAt - 0x1000;
  if (options.firmware) placeFirmware(shared, options.firmware, infoAt, entry);
  for (let n = 0; n < layout.harts; n++) {
    const hart = new HartState(shared.memory.buffer, n);
    const runs = n === 0 || options.firmware !== undefined;
    hart.setWord('hsm', runs ? 0 : 1);
    hart.setWord('sv48', options.sv48 ? 1 : 0);
    if (!runs) continue;
    hart.setWide('pc', BigInt(options.firmware ? guestRamBase : entry));
    hart.setX(10, BigInt(n));
    hart.setX(11, BigInt(treeAt));
    hart.setX(12, BigInt(infoAt));
  }
}

function placeFirmware(shared: Shared, firmware: Uint8Array, infoAt: number, next: number): void {
  if (firmware.length > firmwareBytesMax) {
    throw new Refusal('bad-input', 'The firmware is larger than the 2 MiB below the kernel.');
  }
  place(shared, guestRamBase, firmware);
  const words = [nextStage.magic, nextStage.version, BigInt(next), nextStage.supervisor, 0n, 0n];
  const info = new DataView(new ArrayBuffer(words.length * 8));
  words.forEach((value, n) => info.setBigUint64(n * 8, value, true));
  place(shared, infoAt, new Uint8Array(info.buffer));
}

function loadKernel(shared: Shared, kernel: Uint8Array): { entry: number; end: number } {
  if (isElf(kernel)) {
    const elf = loadElf(shared, kernel);
    const ends = elf.segments.map((s) => Number(s.address) + s.memoryBytes);
    return { entry: Number(elf.entry), end: Math.max(guestRamBase, ...ends) };
  }
  const view = new DataView(kernel.buffer, kernel.byteOffset, kernel.byteLength);
  if (kernel.length < 64 || view.getUint32(56, true) !== imageMagic) {
    throw new Refusal('bad-input', 'The kernel is neither a RISC-V Image nor an ELF file.');
  }
  const size = Number(view.getBigUint64(16, true));
  const entry = guestRamBase + kernelOffset;
  place(shared, entry, kernel);
  const end = entry + Math.max(size, kernel.length);
  if (!(end <= guestRamBase + shared.layout.ramBytes)) {
    throw new Refusal('no-space', 'The machine has too little memory for this kernel.');
  }
  return { entry, end };
}
