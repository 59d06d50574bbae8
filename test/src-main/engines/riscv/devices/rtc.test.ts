/** The real-time clock as Linux's goldfish driver uses it. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { GoldfishRtc } from '../../../../../src-main/engines/riscv/devices/rtc.ts';

const startMs = 1_800_000_000_123;

function clock() {
  let nowMs = startMs;
  let line = false;
  const words = new Int32Array(16);
  const rtc = new GoldfishRtc(words, { wallMs: () => nowMs }, (level) => (line = level));
  const setAlarm = (ms: number) => {
    const ns = BigInt(ms) * 1_000_000n;
    rtc.store(0x0c, Number(BigInt.asIntN(32, ns >> 32n)));
    rtc.store(0x08, Number(BigInt.asIntN(32, ns)));
  };
  const pass = (ms: number) => {
    nowMs += ms;
    rtc.look();
    return line;
  };
  return { rtc, setAlarm, pass, line: () => line };
}

test('time is read low word first, and both words are of one moment', () => {
  const { rtc, pass } = clock();
  const low = BigInt(rtc.load(0) >>> 0);
  pass(86_400_000);
  assert.equal((BigInt(rtc.load(4) >>> 0) << 32n) | low, BigInt(startMs) * 1_000_000n);
});

test('an alarm goes off when it is due, and is silent once it is cleared', () => {
  const { rtc, setAlarm, pass, line } = clock();
  rtc.store(0x10, 1);
  setAlarm(startMs + 5000);
  assert.equal(rtc.load(0x18), 1);
  assert.equal(pass(4999), false);
  assert.equal(pass(1), true);
  assert.equal(rtc.load(0x18), 0, 'it goes off once');
  rtc.store(0x1c, 1);
  assert.equal(line(), false);
  assert.equal(pass(60_000), false);
});

test('one that is cleared or not enabled does not go off; one in the past does at once', () => {
  const { rtc, setAlarm, pass, line } = clock();
  setAlarm(startMs + 10);
  assert.equal(pass(20), false);
  rtc.store(0x10, 1);
  assert.equal(line(), true, 'it was due before the interrupt was enabled');
  rtc.store(0x1c, 1);
  setAlarm(startMs + 1000);
  rtc.store(0x14, 1);
  assert.equal(pass(5000), false);
  setAlarm(startMs);
  assert.equal(line(), true);
});
