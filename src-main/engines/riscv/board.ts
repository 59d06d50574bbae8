/**
 * The board: the physical address map and interrupt numbers, as prose and constants. The device
 * tree, the bus and the devices all read it from here.
 */
export const board = {
  syscon: 0x0010_0000, // write 0x5555: power off, 0x7777: reset
  rtc: 0x0010_1000, // goldfish
  clint: 0x0200_0000, // for firmware
  plic: 0x0c00_0000,
  uart: 0x1000_0000, // 16550
  virtio: 0x1000_1000, // one page each
  virtioStride: 0x1000,
  virtioCount: 48,
  virtioIrq: 16, // and following
  uartIrq: 10,
  rtcIrq: 11,
  timebaseHz: 10_000_000,
} as const;

/** Offsets of the devices' registers inside `at.devices`. */
export const registers = {
  plic: 0x0000,
  uart: 0x1000,
  rtc: 0x1100,
  virtio: 0x2000,
  virtioStride: 0x200,
} as const;
