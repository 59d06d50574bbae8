/**
 * Two harts, of which the first changes something for the second and asks for a remote fence: what
 * the second sees afterwards must be new. It looks all the time and counts what is older than it
 * has been told (`floor`).
 */
import { freeRam } from './harts.ts';
import type { Phase } from './harts.ts';

/** Words from s11. */
export const found = { violations: 256, looks: 260, acknowledged: 264 } as const;
const floor = 320;
const done = 384;
const changes = 60;
export const interrupts = 100;
const acknowledgeTicksMax = 100_000_000;

const root = freeRam;
const [middle, small, some, other] = [1, 2, 3, 4].map((n) => root + n * 4096) as [
  number, number, number, number,
]; // prettier-ignore
const code = root + 0x8000;
const rights = 0xc7;

/** An entry that points at an offset of RAM, which starts at 0x8000_0000. */
const entry = (offset: number, bits: number) => 0x2000_0000 + (offset >> 2) + bits;
const at = (register: string, offset: number) =>
  `li ${register}, ${offset}\nadd ${register}, ${register}, s10`;
const put = (offset: number, value: number) => `${at('s0', offset)}\nli t2, ${value}\nsd t2, 0(s0)`;
const call = (extension: number, fid: number, hartMask: number) =>
  `li a7, ${extension}\nli a6, ${fid}\nli a0, ${hartMask}\nli a1, 0\necall`;
const remoteFence = (fid: number) => call(0x52464e43, fid, 2);

/** Changes what hart 1 looks at to s2 = 1, 2, 3 …, and then raises the floor. */
const changer = (prepare: string, change: string) => `
  ${prepare}
  li s2, 1
  @again:
  ${change}
  sw s2, ${floor}(s11)
  addi s2, s2, 1
  li t2, ${changes}
  bge t2, s2, @again
  sw t1, ${done}(s11)`;

/** Looks, by way of t3, until the changer is done. */
const looker = (prepare: string, look: string) => `
  ${prepare}
  li a3, 0
  li a4, 0
  @look:
  lw t2, ${floor}(s11)
  .word 0x0230000f
  ${look}
  bge t3, t2, @new
  addi a3, a3, 1
  @new:
  addi a4, a4, 1
  lw t2, ${done}(s11)
  beq t2, zero, @look
  csrrw zero, satp, zero
  sfence.vma
  sw a3, ${found.violations}(s11)
  sw a4, ${found.looks}(s11)`;

const pages: Phase[] = [
  [
    [
      put(root, entry(middle, 1)),
      put(root + 16, entry(0, 0xcf)),
      put(middle, entry(small, 1)),
      put(small + 8, entry(some, rights)),
    ].join('\n'),
    '',
  ],
  [
    changer(
      `${at('s3', other)}
      ${at('s4', some)}
      ${at('s5', small + 8)}`,
      `sw s2, 0(s3)
      fence
      ld t2, 0(s5)
      li t3, ${entry(some, 0) ^ entry(other, 0)}
      xor t2, t2, t3
      sd t2, 0(s5)
      li a2, 0x1000
      li a3, 0x1000
      ${remoteFence(1)}
      addi t2, s3, 0
      addi s3, s4, 0
      addi s4, t2, 0`,
    ),
    looker(
      `li t2, 8
      slli t2, t2, 60
      li t3, ${(0x8000_0000 + root) / 4096}
      or t2, t2, t3
      csrrw zero, satp, t2
      sfence.vma
      li t4, 0x1000`,
      'lw t3, 0(t4)',
    ),
  ],
];

const returns = 0x8067;
const loadsT3 = 0xe13;

const written: Phase[] = [
  [`${at('s3', code)}\nli t2, ${loadsT3}\nsw t2, 0(s3)\nli t2, ${returns}\nsw t2, 4(s3)`, ''],
  [
    changer(
      at('s3', code),
      `slli t2, s2, 20
      li t3, ${loadsT3}
      or t2, t2, t3
      sw t2, 0(s3)
      fence.i
      ${remoteFence(0)}`,
    ),
    looker(`fence.i\n${at('t4', code)}`, 'jalr ra, t4, 0'),
  ],
];

export const shootDown = { pages, code: written };

/** Hart 0 sets and clears a bit of sip that is not there while hart 1 sends it interrupts. */
export const interruptedWriter: Phase[] = [
  [
    `li s2, 0
    @again:
    csrrsi zero, sip, 16
    csrrci zero, sip, 16
    csrrs t2, sip, zero
    andi t2, t2, 2
    beq t2, zero, @none
    csrrci zero, sip, 2
    addi s2, s2, 1
    sw s2, ${found.acknowledged}(s11)
    @none:
    lw t2, ${done}(s11)
    beq t2, zero, @again`,
    `li s2, 1
    @send:
    ${call(0x735049, 0, 1)}
    csrrs s3, time, zero
    li t3, ${acknowledgeTicksMax}
    add s3, s3, t3
    @wait:
    csrrs t3, time, zero
    bgeu t3, s3, @lost
    lw t2, ${found.acknowledged}(s11)
    blt t2, s2, @wait
    addi s2, s2, 1
    li t2, ${interrupts}
    bge t2, s2, @send
    @lost:
    sw t1, ${done}(s11)`,
  ],
];
