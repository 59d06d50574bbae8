/**
 * The goldfish real-time clock: the host's wall clock in nanoseconds, and one alarm. Its registers
 * are words of the shared memory; call everything with the device lock held. Time cannot be set.
 *
 * The alarm is looked at when the I/O thread wakes, which it does once a second at least: Linux
 * asks for whole seconds.
 */
import type { Clock } from '../ports.ts';

const register = {
  timeLow: 0x00, timeHigh: 0x04, alarmLow: 0x08, alarmHigh: 0x0c, irqEnabled: 0x10,
  clearAlarm: 0x14, alarmStatus: 0x18, clearInterrupt: 0x1c,
} as const; // prettier-ignore
const word = { latched: 0, alarmLow: 1, alarmHigh: 2, armed: 3, enabled: 4, pending: 5 } as const;
export const rtcBytes = 0x20;

export class GoldfishRtc {
  private readonly words: Int32Array;
  private readonly clock: Pick<Clock, 'wallMs'>;
  private readonly setLine: (level: boolean) => void;

  constructor(
    words: Int32Array,
    clock: Pick<Clock, 'wallMs'>,
    setLine: (level: boolean) => void,
  ) {
    this.words = words;
    this.clock = clock;
    this.setLine = setLine;
  }

  private nowNs(): bigint {
    return BigInt(Math.floor(this.clock.wallMs())) * 1_000_000n;
  }

  load(offset: number): number {
    const w = this.words;
    switch (offset) {
      case register.timeLow: {
        const ns = this.nowNs();
        w[word.latched] = Number(BigInt.asIntN(32, ns >> 32n));
        return Number(BigInt.asIntN(32, ns));
      }
      case register.timeHigh:
        return w[word.latched]!;
      case register.alarmLow:
        return w[word.alarmLow]!;
      case register.alarmHigh:
        return w[word.alarmHigh]!;
      case register.irqEnabled:
        return w[word.enabled]!;
      case register.alarmStatus:
        return w[word.armed]!;
      default:
        return 0;
    }
  }

  store(offset: number, value: number): void {
    const w = this.words;
    switch (offset) {
      case register.alarmHigh:
        w[word.alarmHigh] = value;
        return;
      case register.alarmLow:
        w[word.alarmLow] = value;
        w[word.armed] = 1;
        return this.look();
      case register.irqEnabled:
        w[word.enabled] = value & 1;
        break;
      case register.clearAlarm:
        w[word.armed] = 0;
        break;
      case register.clearInterrupt:
        w[word.pending] = 0;
        break;
      default:
        return;
    }
    this.update();
  }

  /** Lets an alarm go off that is due. */
  look(): void {
    const w = this.words;
    if (w[word.armed] === 0) return;
    const at = (BigInt(w[word.alarmHigh]! >>> 0) << 32n) | BigInt(w[word.alarmLow]! >>> 0);
    if (this.nowNs() < at) return;
    w[word.armed] = 0;
    w[word.pending] = 1;
    this.update();
  }

  private update(): void {
    this.setLine((this.words[word.enabled]! & this.words[word.pending]!) !== 0);
  }
}
