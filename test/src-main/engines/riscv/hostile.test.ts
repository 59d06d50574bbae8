/**
 * Guests that do their worst with what is always there: interrupts between harts and timers in the
 * past without end, the console flooded, traps into nowhere. Every hart gets on, and the machine
 * ends when it is told to; a test that hangs here has found one that does not.
 */
import { describe, test } from 'node:test';
import { Hostile } from '../../../isa/harts.ts';

const sbi = (extension: number, fid: number) => `li a7, ${extension}\nli a6, ${fid}`;
const setTimer = sbi(0x54494d45, 0);
const sendInterrupt = sbi(0x735049, 0);
const writeByte = sbi(0x4442434e, 2);

const guests: [name: string, source: string, moves?: number][] = [
  [
    'interrupts to all harts in a loop',
    `again:
    li a0, -1
    li a1, -1
    ${sendInterrupt}
    ecall
    csrrci zero, sip, 2
    sw t1, 0(s9)
    jal zero, again`,
  ],
  [
    'timers in the past in a loop',
    `again:
    li a0, 0
    ${setTimer}
    ecall
    csrrs t2, sip, zero
    andi t2, t2, 32
    sw t2, 0(s9)
    jal zero, again`,
  ],
  [
    'remote fences of everything in a loop',
    `again:
    li a0, -1
    li a1, -1
    li a2, 0
    li a3, 0
    ${sbi(0x52464e43, 1)}
    ecall
    sw t1, 0(s9)
    jal zero, again`,
  ],
  [
    'a flood on the console that nobody reads',
    `again:
    li a0, 120
    ${writeByte}
    ecall
    sw t1, 0(s9)
    jal zero, again`,
  ],
  [
    'a trap whose handler is nowhere',
    `sw t1, 0(s9)
    csrrw zero, stvec, zero
    .word 0xffffffff`,
    1,
  ],
];

for (const threshold of [0, 1]) {
  describe(threshold === 0 ? 'interpreter' : 'translator', () => {
    for (const [name, source, moves] of guests) {
      test(name, async () => {
        const guest = new Hostile(threshold, source, 2);
        await guest.untilAllMoved(moves);
        await guest.stop();
      });
    }
  });
}
