/**
 * What a machine that is held is, besides its RAM, as plain values: harts, device registers, the
 * bytes on the console's way, what devices hold, and the time. `saveState` only looks;
 * `restoreState` fills a fresh machine before its devices are made and its threads begin.
 *
 * Guest time: `time` goes on from the saved tick as if nothing had been in between, as QEMU's
 * virtual clock does; the wall clock is the host's, and the guest's agent is told it afterwards.
 * Left out are caches (TLBs, translations), which are made anew.
 */
import { bankState, HartState } from './hart-state.ts';
import type { Shared } from './hart.ts';
import { Bus, consoleInSize, consoleOutSize } from './devices/bus.ts';
import type { Saved, VirtioDevice } from './devices/virtio/device.ts';
import { at, bankCount, banked, fields, fleetingFields } from './layout.ts';
import type { Narrow, Wide } from './layout.ts';
import {
  bytesToText, damaged, listOf, recordOf, textToBytes, textToWide, textToWords, wholeOf,
  wideToText, wordsToText,
} from './saved.ts'; // prettier-ignore
import { Refusal } from '../../base/refusal.ts';

/** What the console's reader may have waiting before the guest's line is full. */
export const typedBytesMax = 0x1_0000;

export interface Restored {
  /** Console input that the guest has not taken yet. */
  readonly typed: Uint8Array;
  /**
   * Gives new devices what the saved ones of their slots held.
   * @throws Refusal `bad-input` unless the same slots are filled.
   */
  furnish(devices: readonly VirtioDevice[]): void;
}

/** @param typed console input that waits outside of the machine. */
export function saveState(
  shared: Shared,
  bus: Bus,
  devices: readonly VirtioDevice[],
  typed: Uint8Array,
  ticks: number,
): Record<string, Saved> {
  const harts = Array.from({ length: shared.layout.harts }, (_, n) => saveHart(shared, n));
  const blocks = [...bus.blocks].map(([name, words]) => [name, wordsToText(words)]);
  return {
    ticks,
    harts,
    banks: saveBanks(shared),
    blocks: Object.fromEntries(blocks),
    shown: bytesToText(bus.consoleOutRing.contents()),
    typed: bytesToText(bus.consoleInRing.contents()) + bytesToText(typed),
    devices: Object.fromEntries(devices.map((device) => [device.slot, device.save()])),
  };
}

/** The guest's time in a saved state, in ticks. */
export function savedTicks(saved: unknown): number {
  return wholeOf(recordOf(saved)['ticks'], 0, Number.MAX_SAFE_INTEGER);
}

/**
 * Fills a fresh machine; its devices are to be made afterwards, into registers as they were.
 * @throws Refusal `bad-input` for what `saveState` has not written.
 */
export function restoreState(shared: Shared, saved: unknown): Restored {
  const state = recordOf(saved);
  const harts = listOf(state['harts'], shared.layout.harts);
  harts.forEach((hart, n) => restoreHart(shared, n, recordOf(hart)));
  restoreBanks(shared, recordOf(state['banks'] ?? {}));
  const bus = new Bus(shared.memory, shared.layout, stoppedClock);
  const blocks = recordOf(state['blocks']);
  for (const [name, words] of bus.blocks) textToWords(blocks[name], words);
  const shown = textToBytes(state['shown'], consoleOutSize);
  for (const byte of shown) bus.consoleOutRing.put(byte);
  const held = recordOf(state['devices']);
  return {
    typed: textToBytes(state['typed'], consoleInSize + typedBytesMax),
    furnish: (devices) => {
      const before = Object.keys(held);
      const now = devices.map(({ slot }) => String(slot));
      if (before.length !== now.length || now.some((slot) => !before.includes(slot))) {
        throw new Refusal(
          'bad-input',
          'The machine has other disks, cards or folders now than when its state was saved.',
        );
      }
      for (const device of devices) device.restore(held[device.slot] as Saved);
    },
  };
}

const stoppedClock = { ticks: () => 0, wallMs: () => 0 };
const registers = Array.from({ length: 32 }, (_, n) => n);

function saveHart(shared: Shared, index: number): Saved {
  const hart = new HartState(shared.memory.buffer, index);
  const lasting = [...fields].filter(([name]) => !fleetingFields.has(name));
  const values = lasting.map(([name, { type }]) => [
    name,
    type === 'i64' ? wideToText(hart.wide(name as Wide)) : hart.word(name as Narrow),
  ]);
  const reserved = hart.word('resaddr');
  return {
    x: registers.map((n) => wideToText(hart.x(n))),
    f: registers.map((n) => wideToText(hart.f(n))),
    fields: Object.fromEntries(values),
    // In the memory it is an address of this process.
    reservation: reserved === 0 ? null : reserved - at.ram,
  };
}

/** Of guests that are hypervisors, by number; a serial is what makes one more than room for it. */
function saveBanks(shared: Shared): Saved {
  const numbers = Array.from({ length: bankCount - 1 }, (_, n) => n + 1);
  const banks = numbers.map((n) => [n, bankState(shared.memory.buffer, n)] as const);
  const used = banks.filter(([, bank]) => bank.wide('bankserial') !== 0n);
  return Object.fromEntries(
    used.map(([n, bank]) => [
      n,
      Object.fromEntries(lastingOfBank.map((name) => [name, wideToText(bank.wide(name))])),
    ]),
  );
}

const lastingOfBank = banked.filter((name) => name !== 'bankhart' && name !== 'bankused');

function restoreBanks(shared: Shared, saved: Readonly<Record<string, unknown>>): void {
  for (const [number, values] of Object.entries(saved)) {
    const bank = bankState(shared.memory.buffer, wholeOf(Number(number), 1, bankCount - 1));
    const named = recordOf(values);
    for (const name of lastingOfBank) bank.setWide(name, textToWide(named[name]));
    bank.setWide('bankused', 1n);
  }
}

const int32Max = 0x7fff_ffff;

function restoreHart(
  shared: Shared,
  index: number,
  saved: Readonly<Record<string, unknown>>,
): void {
  const { layout } = shared;
  const hart = new HartState(shared.memory.buffer, index);
  listOf(saved['x'], 32).forEach((value, n) => hart.setX(n, textToWide(value)));
  listOf(saved['f'], 32).forEach((value, n) => hart.setF(n, textToWide(value)));
  const values = recordOf(saved['fields']);
  for (const [name, value] of Object.entries(values)) {
    const field = fields.get(name);
    if (field === undefined || fleetingFields.has(name)) {
      throw new Refusal('unsupported', 'The state was saved by another version of Nymph.');
    }
    if (field.type === 'i64') hart.setWide(name as Wide, textToWide(value));
    else hart.setWord(name as Narrow, wholeOf(value, -int32Max - 1, int32Max));
  }
  if (![0, 1, 3].includes(hart.word('priv'))) throw damaged();
  wholeOf(hart.word('hsm'), 0, 2);
  wholeOf(hart.word('virt'), 0, 2);
  const reserved = saved['reservation'];
  if (reserved !== null) {
    hart.setWord('resaddr', at.ram + wholeOf(reserved, 0, layout.ramBytes - 1));
  }
}
