/**
 * One machine of v86 with its console on standard output: `node v86-machine.ts JSON`. The disk is
 * in memory, which is the quickest that v86 offers.
 */
import { readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { libc, linux } from '../../../src-main/base/node/posix.ts';

export interface MachineWords {
  /** The folder of v86's build, and one with SeaBIOS. */
  library: string;
  firmware: string;
  kernel: string;
  initrd: string;
  line: string;
  memoryMib: number;
  disk?: string;
  /** A descriptor: a datagram socket of which each message is a frame. */
  cable?: number;
}

/** What is used of it. */
interface Emulator {
  add_listener(event: 'serial0-output-byte', listener: (byte: number) => void): void;
  add_listener(event: 'net0-send', listener: (frame: Uint8Array) => void): void;
  bus: { send(event: 'net0-receive', frame: Uint8Array): void };
  v86?: { cpu: { devices: { virtio_net?: { virtio: Virtio } } } };
}

interface Virtio {
  device_status: number;
  queues: { has_request(): boolean }[];
}

const driverOk = 4;
const wanted = JSON.parse(process.argv[2]!) as MachineWords;
const { V86 } = (await import(pathToFileURL(join(wanted.library, 'libv86.mjs')).href)) as {
  V86: new (options: object) => Emulator;
};
const image = (path: string) => ({ buffer: Uint8Array.from(readFileSync(path)).buffer });
const emulator = new V86({
  wasm_path: join(wanted.library, 'v86.wasm'),
  memory_size: wanted.memoryMib << 20,
  bios: image(join(wanted.firmware, 'bios.bin')),
  vga_bios: image(join(wanted.firmware, 'vgabios-stdvga.bin')),
  bzimage: image(wanted.kernel),
  initrd: image(wanted.initrd),
  cmdline: wanted.line,
  autostart: true,
  ...(wanted.disk === undefined ? {} : { hda: image(wanted.disk) }),
  ...(wanted.cable === undefined ? {} : { net_device: { type: 'virtio' } }),
});

let line = '';
emulator.add_listener('serial0-output-byte', (byte) => {
  line += String.fromCharCode(byte);
  if (byte !== 10) return;
  writeSync(1, line);
  line = '';
});
if (wanted.cable !== undefined) joinCable(wanted.cable);

/**
 * Looked at between the slices in which v86 runs. A frame for which the guest has no buffer is left
 * in the socket: v86 loses it, so that TCP stands still most of the time; and before the driver has
 * queues, v86 takes whatever lies at the beginning of memory for one.
 */
function joinCable(fd: number): void {
  const send = libc('long send(int fd, const void *bytes, size_t size, int flags)');
  const receive = libc('long recv(int fd, void *bytes, size_t size, int flags)');
  const arena = new Uint8Array(65536);
  emulator.add_listener('net0-send', (frame) => {
    send(fd, frame, frame.length, linux.MSG_DONTWAIT | linux.MSG_NOSIGNAL);
  });
  const hasRoom = (): boolean => {
    const virtio = emulator.v86?.cpu.devices.virtio_net?.virtio;
    if (virtio === undefined || (virtio.device_status & driverOk) === 0) return false;
    return virtio.queues[0]?.has_request() === true;
  };
  const look = () => {
    for (let count = 0; count < 64 && hasRoom(); count++) {
      const size = receive(fd, arena, arena.length, linux.MSG_DONTWAIT);
      if (size <= 0) break;
      emulator.bus.send('net0-receive', arena.slice(0, size));
    }
    setImmediate(look);
  };
  look();
}
