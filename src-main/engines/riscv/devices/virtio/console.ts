/** virtio-console (virtio 1.2, 5.3), one port: hvc0. */
import type { ConsolePort } from '../../ports.ts';
import { VirtioDevice } from './device.ts';
import type { Saved, Wiring } from './device.ts';
import { gather, scatter } from './queue.ts';
import { bytesToText, textToBytes } from '../../saved.ts';

const sizeFeature = 1;
const chunkBytesMax = 0x1_0000;
const waitingMax = 0x1_0000;

export class VirtioConsole extends VirtioDevice {
  private readonly port: ConsolePort;
  private waiting: Uint8Array = new Uint8Array(0);

  constructor(wiring: Wiring, port: ConsolePort, columns: number, rows: number) {
    super(wiring, { deviceId: 3, features: sizeFeature, queues: 2, queueMax: 64 });
    this.port = port;
    this.configView().setUint16(0, columns, true);
    this.configView().setUint16(2, rows, true);
    port.onInput((bytes) => {
      const room = Math.max(0, waitingMax - this.waiting.length);
      const more = new Uint8Array(this.waiting.length + Math.min(room, bytes.length));
      more.set(this.waiting);
      more.set(bytes.subarray(0, room), this.waiting.length);
      this.waiting = more;
      this.wish();
    });
  }

  override save(): Saved {
    return bytesToText(this.waiting);
  }

  override restore(saved: Saved): void {
    this.waiting = textToBytes(saved, waitingMax);
  }

  protected override handle(index: number): void {
    if (index === 0) return;
    const queue = this.queues[1]!;
    let wanted = false;
    for (let chain = queue.take(); chain !== null; chain = queue.take()) {
      // The driver waits for each request with its processor held, so what finds no room is lost.
      if (this.port.full !== true) this.port.write(gather(chain.readable, chunkBytesMax));
      wanted = queue.give(chain, 0) || wanted;
    }
    if (wanted) this.interrupt();
  }

  protected override look(): void {
    let wanted = false;
    while (this.waiting.length > 0) {
      const chain = this.queues[0]!.take();
      if (chain === null) break;
      const taken = scatter(this.waiting, chain.writable);
      this.waiting = this.waiting.subarray(taken);
      wanted = this.queues[0]!.give(chain, taken) || wanted;
    }
    if (wanted) this.interrupt();
  }
}
