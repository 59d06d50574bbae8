/**
 * Where everything stands in the machine's one shared WebAssembly memory. All state that a
 * snapshot needs is in here: harts, device registers, rings, guest RAM.
 *
 *   0x00001000  machine words (see `machine`)     0x00010000  table: 16-bit code → 32-bit code
 *   0x00002000  device registers                  0x00060000  console rings
 *   0x00080000  hypervisor registers of guests
 *   0x00100000  harts, 1 MiB each: state, address-space contexts, TLBs, heat
 *   0x01100000  one flag byte per RAM frame; a code map that is empty
 *   0x01200000  guest RAM
 *   behind it   per hart a directory of code maps and their pool
 *
 * Nothing that compiled code names depends on how much RAM or how many harts there are, so that
 * the processor is compiled once for all machines.
 */
import type { Type } from './wasm/module.ts';

export const guestRamBase = 0x8000_0000;
export const frameSize = 4096;

export const at = {
  machine: 0x1000,
  devices: 0x2000,
  expand: 0x1_0000,
  dirtyLog: 0x5_0000,
  consoleOut: 0x6_0000,
  consoleIn: 0x7_0000,
  banks: 0x8_0000, // 1024 × 256 bytes, see cpu/levels.ts; the first is nobody's
  harts: 0x10_0000,
  frameFlags: 0x110_0000,
  emptyMap: 0x11c_0000,
  ram: 0x120_0000,
} as const;

export const hartSize = 0x10_0000;
export const tlbEntries = 1024;
export const tlbBytes = tlbEntries * 32;
export const contextCount = 16;
export const bankCount = 1024;
export const bankBytes = 256;
export const heatEntries = 0x8000;
export const codeMapBytes = 4096;
/** How deep calls of translated code may stand in one another on the host's stack. */
export const callRoom = 100;

/** Words at `at.machine`, as byte offsets. */
export const machine = {
  stop: 0x00, // why the machine ends: 0 runs, 1 poweroff, 2 reset, 3 failure
  doorbell: 0x04, // harts count it up for the I/O thread
  timer: 0x08, // harts count it up when a deadline moves nearer
  dirtyFrames: 0x0c, // count of code frames written since the last fence.i of anybody
  deviceLock: 0x10,
  pause: 0x14, // 1: every hart is to park
  hartCount: 0x18,
  parked: 0x1c, // how many harts stand still for `pause`
  timerUntil: 0x20, // i64: when the timekeeper will look again by itself, in ticks
  stood: 0x28, // f64: ticks for which the guest's time has stood still
  ramBytes: 0x38, // i64
  banks: 0x30, // counted up for each bank that a guest is given
} as const;

/** Hart-relative blocks. */
export const hartAt = {
  x: 0,
  f: 256,
  fields: 512,
  counters: 0x600, // of the translator, see jit/report.ts
  contextFast: 0x800, // 256 × i32: mode bits → TLB of the present satp
  contexts: 0xc00, // 16 × 64 bytes
  samples: 0x2000, // 1024 looks at where the hart is, see jit/trace.ts
  trace: 0x8000, // 256 things that its translator did
  tlbs: 0x1_0000,
  heat: 0xa_0000,
} as const;

/**
 * The registers of a hypervisor, together: a guest that is one has a bank of its own, in which they
 * stand as they do in a hart. alt* is the supervisor's set that is not in force; of mie a guest's
 * bank has hie. The first three say whose a bank is (see cpu/levels.ts).
 */
export const banked = [
  'bankserial', 'bankhart', 'bankused',
  'mie', 'hstatus', 'hedeleg', 'hideleg', 'hvip', 'hgatp', 'htval', 'htinst', 'htimedelta',
  'hcounteren', 'henvcfg', 'altstatus', 'alttvec', 'altscratch', 'altepc', 'altcause', 'alttval',
  'altsatp', 'vstimecmp',
] as const; // prettier-ignore

const wide = [
  ...banked,
  'pc', 'mstatus', 'mipsoft', 'medeleg', 'mideleg', 'mtvec', 'mepc', 'mcause', 'mtval',
  'mscratch', 'mcounteren', 'menvcfg', 'stvec', 'sepc', 'scause', 'stval', 'sscratch',
  'scounteren', 'senvcfg', 'satp', 'stimecmp', 'misa', 'fueltop', 'ftval', 'mmiopa', 'resvalue',
  'sigb', 'instretoff', 'sighi', 'siglo', 'pmpcfg0', 'faultpc',
  'mtval2', 'mtinst', 'vsdeadline', 'deepdeadline', 'mtimecmp', 'fsgate', 'faulttval2', 'walkat',
  'walkgpa', 'walkbig', 'codedelta',
] as const; // prettier-ignore
// fflags and frm stand together: translated code looks at both with one load.
const narrow = [
  'fflags', 'frm', 'priv', 'poke', 'irq', 'fault', 'tlb', 'hartid', 'ctxnext', 'gen', 'resaddr',
  'expa', 'expb', 'signb', 'mapdir', 'mappool', 'mapnext', 'mapcount', 'waiting', 'sbi', 'fuel',
  'codemap', 'threshold', 'hsm', 'probeslot', 'compiles', 'lastslot', 'raw', 'sleeping',
  'remote', 'remotefrom', 'remoteto', 'remoteack', 'mailbox', 'sv48', 'lockstep',
  'seendirty', 'intranslated', 'virt', 'faultgva', 'faultinst', 'walkfault',
  'walkperm', 'walkinst', 'walkhost', 'walklevel', 'walkstage', 'faultstage', 'nests', 'deepbank',
  'unwind',
] as const; // prettier-ignore

export type Wide = (typeof wide)[number];
export type Narrow = (typeof narrow)[number];

/**
 * Fields that are no state of the guest: caches, mailboxes and places of this process. Whatever
 * else stands in the two tables above is saved with a machine, by its name.
 */
export const fleetingFields: ReadonlySet<string> = new Set<Wide | Narrow>([
  'mmiopa', 'sigb', 'sighi', 'siglo', 'faultpc', 'poke', 'tlb', 'hartid', 'ctxnext', 'gen',
  'resaddr', 'expa', 'expb', 'signb', 'mapdir', 'mappool', 'mapnext', 'mapcount', 'codemap',
  'threshold', 'probeslot', 'compiles', 'lastslot', 'raw', 'sleeping', 'remote', 'remotefrom',
  'remoteto', 'remoteack', 'mailbox', 'lockstep', 'seendirty', 'walkfault', 'walkperm', 'walkinst',
  'walkhost', 'walklevel', 'walkat', 'walkgpa', 'walkbig', 'walkstage', 'deepbank',
  'bankserial', 'bankhart', 'bankused', 'codedelta', 'unwind',
]); // prettier-ignore

export const fields: ReadonlyMap<string, { offset: number; type: Type }> = new Map([
  ...wide.map((name, i) => [name, { offset: hartAt.fields + i * 8, type: 'i64' as Type }] as const),
  ...narrow.map(
    (name, i) =>
      [name, { offset: hartAt.fields + wide.length * 8 + i * 4, type: 'i32' as Type }] as const,
  ),
]);

export function fieldOffset(name: Wide | Narrow): number {
  return fields.get(name)!.offset;
}

/** Which of the counters of how often code was come by is that of a host address. */
export function heatIndex(ip: number): number {
  return ((ip >>> 1) ^ (ip >>> 13)) & (heatEntries - 1);
}

export interface Layout {
  ramBytes: number;
  harts: number;
  frames: number;
  /** Byte addresses inside the memory. */
  mapDirectory: number; // of hart 0; the next hart's follows at mapStride
  mapStride: number;
  mapPoolFrames: number;
  pages: number; // of 64 KiB
}

const up = (value: number, unit: number) => Math.ceil(value / unit) * unit;

/** `ramBytes` is a multiple of 2 MiB and at most 3 GiB; up to 16 harts. */
export function layoutOf(ramBytes: number, harts: number): Layout {
  const frames = ramBytes / frameSize;
  const mapDirectory = at.ram + ramBytes;
  const mapPoolFrames = Math.min(frames, 4096);
  const mapStride = up(frames * 4, 0x1_0000) + mapPoolFrames * codeMapBytes;
  const pages = Math.ceil((mapDirectory + mapStride * harts) / 0x1_0000);
  return { ramBytes, harts, frames, mapDirectory, mapStride, mapPoolFrames, pages };
}

/** The constants of W. */
export const layoutConstants: ReadonlyMap<string, { value: bigint; type: Type }> = constantsOf();

function constantsOf(): Map<string, { value: bigint; type: Type }> {
  const numbers: Record<string, number> = {
    RAM: at.ram,
    FRAME_FLAGS: at.frameFlags,
    EMPTY_MAP: at.emptyMap,
    EXPAND: at.expand,
    F: hartAt.f,
    CTX_FAST: hartAt.contextFast,
    CTX: hartAt.contexts,
    CTX_COUNT: contextCount,
    TLBS: hartAt.tlbs,
    TLB_BYTES: tlbBytes,
    TLB_MASK: (tlbEntries - 1) << 5,
    HEAT: hartAt.heat,
    HEAT_MASK: heatEntries - 1,
    CALL_ROOM: callRoom,
    M_STOP: at.machine + machine.stop,
    M_DIRTY: at.machine + machine.dirtyFrames,
    DIRTY_LOG: at.dirtyLog,
    M_TIMER: at.machine + machine.timer,
    M_BANKS: at.machine + machine.banks,
    // So that a field of a bank stands where it does in a hart.
    BANKS: at.banks - fieldOffset(banked[0]),
    BANK_FIELDS: fieldOffset(banked[0]),
    M_HARTS: at.machine + machine.hartCount,
    M_RAM_BYTES: at.machine + machine.ramBytes,
  };
  const constants = new Map<string, { value: bigint; type: Type }>();
  for (const [name, value] of Object.entries(numbers)) {
    constants.set(name, { value: BigInt(value), type: 'i32' });
  }
  for (const name of ['irq', 'poke', 'stimecmp', 'vsdeadline', 'deepdeadline'] as const) {
    const value = BigInt(fieldOffset(name));
    constants.set(name.toUpperCase(), { value, type: 'i32' });
  }
  constants.set('TLB_SLOT', { value: BigInt((tlbEntries - 1) << 12), type: 'i64' });
  constants.set('RAM_PA', { value: BigInt(guestRamBase), type: 'i64' });
  return constants;
}
