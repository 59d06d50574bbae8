/** virtio-console (virtio 1.2, 5.3), one port: hvc0. */
import type { ConsolePort } from '../../ports.ts';
import { VirtioDevice } from './device.ts';
import type { Saved, Wiring } from './device.ts';
import { gather } from './queue.ts';
import { WaitingInput } from './waiting-input.ts';

const sizeFeature = 1;
const chunkBytesMax = 0x1_0000;

export class VirtioConsole extends VirtioDevice {
  private readonly port: ConsolePort;
  private readonly waiting = new WaitingInput();

  constructor(wiring: Wiring, port: ConsolePort, columns: number, rows: number) {
    super(wiring, { deviceId: 3, features: sizeFeature, queues: 2, queueMax: 64 });
    this.port = port;
    this.configView().setUint16(0, columns, true);
    this.configView().setUint16(2, rows, true);
    port.onInput((bytes) => {
      this.waiting.add(bytes);
      this.wish();
    });
  }

  override save(): Saved {
    return this.waiting.save();
  }

  override restore(saved: Saved): void {
    this.waiting.restore(saved);
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
    if (this.waiting.giveTo(this.queues[0]!)) this.interrupt();
  }
}
