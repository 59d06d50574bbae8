/** The guest's driver of a console or of a port of virtio-serial, as far as its rings go. */
import assert from 'node:assert/strict';
import { Bus } from '../../../../../../src-main/engines/riscv/devices/bus.ts';
import type {
  VirtioDevice, Wiring,
} from '../../../../../../src-main/engines/riscv/devices/virtio/device.ts'; // prettier-ignore
import { at, guestRamBase, layoutOf } from '../../../../../../src-main/engines/riscv/layout.ts';

const ramBytes = 2 << 20;
const size = 8;
/** Of a console there are the first two, of a port all but these. */
export const queue = {
  consoleReceive: 0, consoleTransmit: 1, toDriver: 2, toDevice: 3, receive: 4, transmit: 5,
} as const; // prettier-ignore
const written: readonly number[] = [queue.consoleReceive, queue.toDriver, queue.receive];
export const event = { ready: 0, add: 1, portReady: 3, open: 6 };

/** Each queue has a page for its rings and, behind, a page for each of its buffers. */
const ringsOf = (queue: number) => queue * 0x1_0000;
const bufferOf = (queue: number, n: number) => ringsOf(queue) + 0x1000 * (n + 1);

export function guestOf<Device extends VirtioDevice>(make: (wiring: Wiring) => Device) {
  const layout = layoutOf(ramBytes, 1);
  const { pages } = layout;
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const bus = new Bus(memory, layout, { ticks: () => 0, wallMs: () => 0 });
  const device = make({ bus, memory, layout, slot: 0 });
  const registers = bus.virtio[0]!;
  const ram = new DataView(memory.buffer, at.ram, ramBytes);
  const used = [0, 0, 0, 0, 0, 0];
  const offered = [0, 0, 0, 0, 0, 0];
  const offer = (number: number, n: number, length: number) => {
    const rings = ringsOf(number);
    ram.setBigUint64(rings + n * 16, BigInt(guestRamBase + bufferOf(number, n)), true);
    ram.setUint32(rings + n * 16 + 8, length, true);
    ram.setUint16(rings + n * 16 + 12, written.includes(number) ? 2 : 0, true);
    ram.setUint16(rings + 0x404 + (offered[number]! % size) * 2, n, true);
    ram.setUint16(rings + 0x402, ++offered[number]!, true);
  };
  const begin = () => {
    for (let number = 0; number < 6; number++) {
      registers.store(0x30, 4, number);
      registers.store(0x38, 4, size);
      registers.store(0x80, 4, guestRamBase + ringsOf(number));
      registers.store(0x90, 4, guestRamBase + ringsOf(number) + 0x400);
      registers.store(0xa0, 4, guestRamBase + ringsOf(number) + 0x800);
      registers.store(0x44, 4, 1);
      for (let n = 0; n < size && written.includes(number); n++) offer(number, n, 4096);
    }
    registers.store(0x70, 4, 15);
  };
  begin();
  /** What the device has put into buffers since the last time. */
  const heard = (number: number) => {
    device.service();
    const parts: Buffer[] = [];
    while (used[number] !== ram.getUint16(ringsOf(number) + 0x802, true)) {
      const entry = ringsOf(number) + 0x804 + (used[number]!++ % size) * 8;
      const from = ram.byteOffset + bufferOf(number, ram.getUint32(entry, true));
      parts.push(Buffer.from(Buffer.from(ram.buffer, from, ram.getUint32(entry + 4, true))));
    }
    return parts;
  };
  const send = (number: number, bytes: Uint8Array) => {
    const n = offered[number]! % size;
    new Uint8Array(ram.buffer, ram.byteOffset + bufferOf(number, n)).set(bytes);
    offer(number, n, bytes.length);
    registers.store(0x50, 4, number);
    device.service();
  };
  const control = (port: number, what: number, value = 1) => {
    const bytes = Buffer.alloc(8);
    bytes.writeUInt32LE(port, 0);
    bytes.writeUInt16LE(what, 4);
    bytes.writeUInt16LE(value, 6);
    send(queue.toDevice, bytes);
  };
  const said = () => heard(queue.toDriver).map((b) => [b.readUInt32LE(0), b.readUInt16LE(4)]);
  const read = (number: number) => heard(number).join('');
  return { device, registers, control, said, send, read };
}

/** As Linux does when it finds the device, and a program opens the port. */
export function openPort(guest: Pick<ReturnType<typeof guestOf>, 'control' | 'said'>): void {
  const { control, said } = guest;
  control(0xffff_ffff, event.ready);
  assert.deepEqual(said(), [[1, event.add]]);
  control(1, event.portReady);
  assert.deepEqual(said(), [[1, event.open]]);
  control(1, event.open);
}
