/**
 * A guest's driver of virtio-vsock as a test plays it, on real rings in a small RAM:
 *
 *   const guest = new Guest(port);
 *   guest.say({ op: op.request, guestPort: 7, hostPort: 9 });
 *   guest.heard()                                        // packets that came meanwhile
 */
import { Bus } from '../../../../../../src-main/engines/riscv/devices/bus.ts';
import { VirtioVsock } from '../../../../../../src-main/engines/riscv/devices/virtio/vsock.ts';
import {
  guestCid, headerBytes, hostCid, streamType,
} from '../../../../../../src-main/engines/riscv/devices/vsock/packet.ts'; // prettier-ignore
import { at, guestRamBase, layoutOf } from '../../../../../../src-main/engines/riscv/layout.ts';
import type { SocketPort } from '../../../../../../src-main/engines/riscv/ports.ts';

const ramBytes = 2 << 20;
export const buffers = 16;
export const bufferBytes = 4096;
const rings = [
  { desc: 0x1000, avail: 0x2000, used: 0x3000, data: 0x10_000, room: bufferBytes },
  { desc: 0x4000, avail: 0x5000, used: 0x6000, data: 0x40_000, room: 0x1_1000 },
  { desc: 0x7000, avail: 0x8000, used: 0x9000, data: 0xa000, room: 16 },
] as const;
const [receive, transmit, event] = [0, 1, 2];
const write = 2;

export interface Said {
  op: number;
  guestPort: number;
  hostPort: number;
  flags?: number;
  room?: number;
  passedOn?: number;
  data?: Uint8Array;
  type?: number;
  from?: number;
  to?: number;
  /** What it says of its length, if not the truth. */
  length?: number;
}

export interface Heard {
  op: number;
  guestPort: number;
  hostPort: number;
  flags: number;
  room: number;
  passedOn: number;
  text: string;
}

export class Guest {
  readonly device: VirtioVsock;
  readonly registers: Bus['virtio'][number];
  readonly ram: DataView;
  private readonly next = [0, 0, 0];
  private readonly seen = [0, 0, 0];

  constructor(port: SocketPort) {
    const layout = layoutOf(ramBytes, 1);
    const { pages } = layout;
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    const bus = new Bus(memory, layout, { ticks: () => 0, wallMs: () => 0 });
    this.device = new VirtioVsock({ bus, memory, layout, slot: 0 }, port);
    this.registers = bus.virtio[0]!;
    this.ram = new DataView(memory.buffer, at.ram, ramBytes);
    this.begin();
  }

  /** As a driver does at its start. */
  begin(): void {
    this.registers.store(0x70, 4, 0);
    this.next.fill(0);
    this.seen.fill(0);
    rings.forEach((ring, queue) => {
      for (let n = 0; n < buffers; n++) this.describe(queue, n, ring.room);
      this.ram.setUint16(ring.avail + 2, 0, true);
      this.ram.setUint16(ring.used + 2, 0, true);
      this.registers.store(0x30, 4, queue);
      this.registers.store(0x38, 4, buffers);
      for (const [offset, at] of [[0x80, ring.desc], [0x90, ring.avail], [0xa0, ring.used]]) {
        this.registers.store(offset!, 4, guestRamBase + at!);
      }
      this.registers.store(0x44, 4, 1);
      if (queue !== transmit) for (let n = 0; n < buffers; n++) this.offer(queue, n);
    });
    this.registers.store(0x70, 4, 15);
  }

  private describe(queue: number, n: number, length: number): void {
    const { desc, data, room } = rings[queue]!;
    this.ram.setBigUint64(desc + n * 16, BigInt(guestRamBase + data + n * room), true);
    this.ram.setUint32(desc + n * 16 + 8, length, true);
    this.ram.setUint16(desc + n * 16 + 12, queue === transmit ? 0 : write, true);
  }

  private offer(queue: number, n: number): void {
    const { avail } = rings[queue]!;
    const index = this.next[queue]!++;
    this.ram.setUint16(avail + 4 + (index % buffers) * 2, n, true);
    this.ram.setUint16(avail + 2, this.next[queue]!, true);
  }

  say(said: Said): void {
    const { data = new Uint8Array(0) } = said;
    const packet = new DataView(new ArrayBuffer(headerBytes + data.length));
    packet.setBigUint64(0, BigInt(said.from ?? guestCid), true);
    packet.setBigUint64(8, BigInt(said.to ?? hostCid), true);
    packet.setUint32(16, said.guestPort, true);
    packet.setUint32(20, said.hostPort, true);
    packet.setUint32(24, said.length ?? data.length, true);
    packet.setUint16(28, said.type ?? streamType, true);
    packet.setUint16(30, said.op, true);
    packet.setUint32(32, said.flags ?? 0, true);
    packet.setUint32(36, said.room ?? 0x10_0000, true);
    packet.setUint32(40, said.passedOn ?? 0, true);
    const bytes = new Uint8Array(packet.buffer);
    bytes.set(data, headerBytes);
    this.sayBytes(bytes);
  }

  sayBytes(bytes: Uint8Array): void {
    const slot = this.next[transmit]! % buffers;
    const { data, room } = rings[transmit]!;
    new Uint8Array(this.ram.buffer, this.ram.byteOffset + data + slot * room).set(bytes);
    this.describe(transmit, slot, bytes.length);
    this.offer(transmit, slot);
    this.registers.store(0x50, 4, transmit);
    this.device.service();
  }

  /** What has come since the last time; its buffers are offered again unless `keep` says no. */
  heard(keep = false): Heard[] {
    const { used, data, room } = rings[receive]!;
    const out: Heard[] = [];
    for (;;) {
      this.device.service();
      const count = this.ram.getUint16(used + 2, true);
      if (this.seen[receive] === count) return out;
      while (this.seen[receive] !== count) {
        const entry = used + 4 + (this.seen[receive]! % buffers) * 8;
        this.seen[receive] = (this.seen[receive]! + 1) & 0xffff;
        const slot = this.ram.getUint32(entry, true);
        out.push(this.read(data + slot * room, this.ram.getUint32(entry + 4, true)));
        if (!keep) this.offer(receive, slot);
      }
    }
  }

  private read(at: number, written: number): Heard {
    const { ram } = this;
    const length = ram.getUint32(at + 24, true);
    if (written !== headerBytes + length) throw new Error(`${written} bytes, data ${length}`);
    const bytes = new Uint8Array(ram.buffer, ram.byteOffset + at + headerBytes, length);
    return {
      hostPort: ram.getUint32(at + 16, true),
      guestPort: ram.getUint32(at + 20, true),
      op: ram.getUint16(at + 30, true),
      flags: ram.getUint32(at + 32, true),
      room: ram.getUint32(at + 36, true),
      passedOn: ram.getUint32(at + 40, true),
      text: Buffer.from(bytes).toString('latin1'),
    };
  }

  /** Ids of events that it was told (5.10.6.7). */
  events(): number[] {
    const { used, data, room } = rings[event]!;
    const count = this.ram.getUint16(used + 2, true);
    return Array.from({ length: count }, (_, n) => this.ram.getUint32(data + n * room, true));
  }
}
