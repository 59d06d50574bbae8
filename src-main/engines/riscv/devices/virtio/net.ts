/**
 * virtio-net (virtio 1.2, 5.1): one receive and one transmit queue. The guest may leave checksums
 * and the cutting of TCP segments to us, and need not check what a cable of ours has brought.
 */
import type { FramePort } from '../../ports.ts';
import { VirtioDevice } from './device.ts';
import type { Wiring } from './device.ts';
import { frameBytesMax, netHeaderBytes, packetBytesMax, sendPacket } from './offload.ts';
import { gather, scatter, total } from './queue.ts';
import { word } from './registers.ts';

const feature = {
  checksum: 1 << 0, guestChecksum: 1 << 1, mac: 1 << 5, tso4: 1 << 11, tso6: 1 << 12,
} as const; // prettier-ignore
const features =
  feature.checksum | feature.guestChecksum | feature.mac | feature.tso4 | feature.tso6;
/** Flag of a received packet's header. */
const dataValid = 2;
const waitingMax = 512;

export class VirtioNet extends VirtioDevice {
  private readonly port: FramePort;
  /** Packets: header and frame. */
  private readonly waiting: Uint8Array[] = [];
  private readonly send = (frame: Uint8Array) => this.port.send(frame);

  constructor(wiring: Wiring, port: FramePort) {
    super(wiring, { deviceId: 1, features, queues: 2, queueMax: 256 });
    this.port = port;
    // Frames come while the I/O thread is awake for them, before the devices are serviced.
    this.registers.config.set(port.mac.subarray(0, 6));
    port.onFrame((frame) => {
      if (frame.length > frameBytesMax || this.waiting.length >= waitingMax) return;
      const packet = new Uint8Array(netHeaderBytes + frame.length);
      packet[10] = 1; // one buffer
      packet.set(frame, netHeaderBytes);
      this.waiting.push(packet);
    });
  }

  protected override handle(index: number): void {
    if (index === 0) return;
    const queue = this.queues[1]!;
    let wanted = false;
    for (let chain = queue.take(); chain !== null; chain = queue.take()) {
      const length = total(chain.readable);
      if (length > netHeaderBytes && length <= packetBytesMax) {
        sendPacket(gather(chain.readable, length), this.send);
      }
      wanted = queue.give(chain, 0) || wanted;
    }
    if (wanted) this.interrupt();
  }

  protected override look(): void {
    const queue = this.queues[0]!;
    const accepted = this.registers.words[word.driverFeatures]!;
    const flags = (accepted & feature.guestChecksum) !== 0 ? dataValid : 0;
    let wanted = false;
    while (this.waiting.length > 0) {
      const chain = queue.take();
      if (chain === null) break;
      const packet = this.waiting.shift()!;
      packet[0] = flags;
      const fits = total(chain.writable) >= packet.length;
      wanted = queue.give(chain, fits ? scatter(packet, chain.writable) : 0) || wanted;
    }
    if (wanted) this.interrupt();
  }
}
