/**
 * The supervisor binary interface, served by the engine itself (SBI 2.0: BASE, TIME, IPI, RFENCE,
 * HSM, SRST, DBCN). Remote fences and IPIs are mailbox words of the target, not traps.
 *
 * In: a7 extension, a6 function, a0… arguments. Out: a0 error, a1 value.
 */
import { remote, poke } from '../hart-state.ts';
import type { Hart } from '../hart.ts';
import { at, fieldOffset, guestRamBase } from '../layout.ts';

const ok = 0n;
const failed = -1n;
const notSupported = -2n;
const invalidParam = -3n;
const invalidAddress = -5n;
const alreadyAvailable = -6n;

const extension = {
  base: 0x10, time: 0x54494d45, ipi: 0x735049, rfence: 0x52464e43, hsm: 0x48534d,
  srst: 0x53525354, dbcn: 0x4442434e,
} as const; // prettier-ignore

const remoteOffset = fieldOffset('remote');

type Result = [error: bigint, value: bigint];

export function sbiCall(hart: Hart): void {
  const s = hart.state;
  const eid = Number(BigInt.asUintN(32, s.x(17)));
  const fid = Number(BigInt.asUintN(32, s.x(16)));
  const [error, value] = dispatch(hart, eid, fid);
  s.setX(10, error);
  s.setX(11, value);
}

function dispatch(hart: Hart, eid: number, fid: number): Result {
  switch (eid) {
    case extension.base:
      return base(hart, fid);
    case extension.time:
      if (fid !== 0) return [notSupported, 0n];
      setTimer(hart, hart.state.x(10));
      return [ok, 0n];
    case extension.ipi:
      if (fid !== 0) return [notSupported, 0n];
      return each(hart, hart.state.x(10), hart.state.x(11), (index) =>
        hart.others[index]!.raiseIrq(2),
      );
    case extension.rfence:
      return rfence(hart, fid);
    case extension.hsm:
      return hsm(hart, fid);
    case extension.srst:
      return reset(hart, fid);
    case extension.dbcn:
      return debugConsole(hart, fid);
    default:
      return [notSupported, 0n];
  }
}

function base(hart: Hart, fid: number): Result {
  switch (fid) {
    case 0:
      return [ok, 0x0200_0000n];
    case 1:
      return [ok, 0x4e59n];
    case 2:
      return [ok, 1n];
    case 3: {
      const probed = Number(BigInt.asUintN(32, hart.state.x(10)));
      return [ok, Object.values<number>(extension).includes(probed) ? 1n : 0n];
    }
    case 4:
    case 5:
    case 6:
      return [ok, 0n];
    default:
      return [notSupported, 0n];
  }
}

function setTimer(hart: Hart, value: bigint): void {
  hart.state.setWide('stimecmp', value);
  if (Number(value) <= hart.clock.ticks()) hart.state.raiseIrq(0x20);
  else {
    hart.state.lowerIrq(0x20);
    hart.timerMoved();
  }
}

/** Runs `act` for every hart of a mask; the base -1 means all. */
function each(hart: Hart, mask: bigint, base: bigint, act: (index: number) => void): Result {
  const count = hart.others.length;
  if (base === 0xffff_ffff_ffff_ffffn) {
    for (let index = 0; index < count; index++) act(index);
    return [ok, 0n];
  }
  for (let bit = 0; bit < 64; bit++) {
    if (((mask >> BigInt(bit)) & 1n) === 0n) continue;
    const index = base + BigInt(bit);
    if (index >= BigInt(count)) return [invalidParam, 0n];
  }
  for (let bit = 0; bit < 64; bit++) {
    if (((mask >> BigInt(bit)) & 1n) !== 0n) act(Number(base) + bit);
  }
  return [ok, 0n];
}

function rfence(hart: Hart, fid: number): Result {
  if (fid > 6) return [notSupported, 0n];
  const what = fid === 0 ? remote.fenceI : remote.fence;
  const s = hart.state;
  return each(hart, s.x(10), s.x(11), (index) => {
    if (index === hart.index) fenceHere(hart, fid);
    else remoteFence(hart, index, what);
  });
}

/** Functions 1 and 2 are sfence.vma, 3 and 4 hfence.gvma, 5 and 6 hfence.vvma of hgatp's VMID. */
function fenceHere(hart: Hart, fid: number): void {
  const s = hart.state;
  const h = s.base;
  const given = Number(s.x(14) & 0xffffn);
  if (fid === 0) hart.translator.codeChanged();
  else if (fid <= 2) fenceRange(hart, fid === 2 ? given : -1, -1);
  else if (fid <= 4) hart.core.fence_guest(h, 0, fid === 3 ? given & 0x3fff : -1);
  else fenceRange(hart, fid === 5 ? given : -1, Number((s.wide('hgatp') >> 44n) & 0x3fffn));
}

function fenceRange(hart: Hart, asid: number, space: number): void {
  const [start, size] = [hart.state.x(12), hart.state.x(13)];
  const h = hart.state.base;
  if (size === 0n || size > 0x4_0000n) return hart.core.fence_space(h, asid, space);
  for (let va = start; va < start + size; va += 4096n) hart.core.fence_page(h, va, asid, space);
}

/** Asks another hart to fence and waits until it has, serving requests to this one meanwhile. */
export function remoteFence(hart: Hart, index: number, what: number): void {
  const target = hart.others[index]!;
  const word = (target.base + remoteOffset) >> 2;
  Atomics.or(target.i32, word, what);
  target.poke(poke.remote);
  if (target.word('hsm') !== 0) return;
  while ((Atomics.load(target.i32, word) & what) !== 0) {
    hart.serveRemote();
    if (target.word('sleeping') !== 0 || hart.bus.stopped()) return;
    Atomics.wait(target.i32, word, Atomics.load(target.i32, word), 0.05);
  }
}

function hsm(hart: Hart, fid: number): Result {
  const s = hart.state;
  const id = s.x(10);
  if (fid === 1) {
    s.setWord('hsm', 1);
    s.poke(poke.attention);
    return [ok, 0n];
  }
  if (fid === 3) return [notSupported, 0n];
  if (id >= BigInt(hart.others.length)) return [invalidParam, 0n];
  const target = hart.others[Number(id)]!;
  if (fid === 2) return [ok, BigInt(target.word('hsm'))];
  if (fid !== 0) return [notSupported, 0n];
  if (target.word('hsm') !== 1) return [alreadyAvailable, 0n];
  target.setX(10, id);
  target.setX(11, s.x(12));
  target.setWide('pc', s.x(11));
  target.setWord('hsm', 2);
  target.poke(poke.start);
  return [ok, 0n];
}

function reset(hart: Hart, fid: number): Result {
  if (fid !== 0) return [notSupported, 0n];
  const type = Number(BigInt.asUintN(32, hart.state.x(10)));
  if (type > 2) return [invalidParam, 0n];
  hart.stop(type === 0 ? 1 : 2);
  return [ok, 0n];
}

function debugConsole(hart: Hart, fid: number): Result {
  const s = hart.state;
  if (fid === 2) {
    hart.bus.consoleOut(Number(s.x(10) & 0xffn));
    return [ok, 0n];
  }
  if (fid > 2) return [notSupported, 0n];
  const count = Number(s.x(10));
  const offset = Number(s.x(11)) - guestRamBase;
  const { layout, memory } = hart.shared;
  if (s.x(12) !== 0n || !(offset >= 0) || !(count >= 0)) return [invalidAddress, 0n];
  if (offset + count > layout.ramBytes) return [invalidAddress, 0n];
  if (fid === 1) return [ok, 0n];
  const written = Math.min(count, 4096);
  const bytes = new Uint8Array(memory.buffer, at.ram + offset, written);
  for (const byte of bytes) if (!hart.bus.consoleOut(byte)) return [failed, 0n];
  return [ok, BigInt(written)];
}

