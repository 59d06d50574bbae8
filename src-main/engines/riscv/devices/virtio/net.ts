/** virtio-net (virtio 1.2, 5.1) without offloads: one receive and one transmit queue. */
import type { FramePort } from '../../ports.ts';
import { VirtioDevice } from './device.ts';
import type { Wiring } from './device.ts';
import { gather, scatter, total } from './queue.ts';

const macFeature = 1 << 5;
const headerBytes = 12;
const frameBytesMax = 9216;
const waitingMax = 512;

export class VirtioNet extends VirtioDevice {
  private readonly port: FramePort;
  private readonly waiting: Uint8Array[] = [];

  constructor(wiring: Wiring, port: FramePort) {
    super(wiring, { deviceId: 1, features: macFeature, queues: 2, queueMax: 256 });
    this.port = port;
    // Frames come while the I/O thread is awake for them, before the devices are serviced.
    this.registers.config.set(port.mac.subarray(0, 6));
    port.onFrame((frame) => {
      if (frame.length > frameBytesMax || this.waiting.length >= waitingMax) return;
      this.waiting.push(frame.slice());
    });
  }

  protected override handle(index: number): void {
    if (index === 0) return;
    const queue = this.queues[1]!;
    let wanted = false;
    for (let chain = queue.take(); chain !== null; chain = queue.take()) {
      const length = total(chain.readable);
      if (length > headerBytes && length <= headerBytes + frameBytesMax) {
        this.port.send(gather(chain.readable, length).subarray(headerBytes));
      }
      wanted = queue.give(chain, 0) || wanted;
    }
    if (wanted) this.interrupt();
  }

  protected override look(): void {
    const queue = this.queues[0]!;
    let wanted = false;
    while (this.waiting.length > 0) {
      const chain = queue.take();
      if (chain === null) break;
      const frame = this.waiting.shift()!;
      const packet = new Uint8Array(headerBytes + frame.length);
      packet[10] = 1; // one buffer
      packet.set(frame, headerBytes);
      const fits = total(chain.writable) >= packet.length;
      wanted = queue.give(chain, fits ? scatter(packet, chain.writable) : 0) || wanted;
    }
    if (wanted) this.interrupt();
  }
}
