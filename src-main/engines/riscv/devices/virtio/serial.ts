/**
 * virtio-console with a port that is no console (virtio 1.3, 5.3): in the guest a device that takes
 * kilobytes a call, where a console takes 16 bytes, and that one program of root's has open.
 */
import type { ConsolePort } from '../../ports.ts';
import { recordOf } from '../../saved.ts';
import { VirtioDevice } from './device.ts';
import type { Saved, Wiring } from './device.ts';
import { gather, scatter } from './queue.ts';
import { WaitingInput } from './waiting-input.ts';

const multiPort = 1 << 1;
/** Those of port 0, which is a console's by custom, are never used. */
const queue = { toDriver: 2, toDevice: 3, receive: 4, transmit: 5, count: 6 };
/** Number 1 of at most 2. */
const portNumber = 1;
const portsMax = 2;
/** 5.3.6.2 */
const event = { deviceReady: 0, portAdd: 1, portReady: 3, portOpen: 6 };
const controlBytes = 8;
const driverOk = 4;
const chunkBytesMax = 0x1_0000;

export class VirtioSerial extends VirtioDevice {
  private readonly port: ConsolePort;
  private readonly waiting = new WaitingInput();
  /** What the driver is still to be told. */
  private sayAdd = false;
  private sayOpen = false;
  private openInGuest = false;

  constructor(wiring: Wiring, port: ConsolePort) {
    super(wiring, { deviceId: 3, features: multiPort, queues: queue.count, queueMax: 64 });
    this.port = port;
    this.configView().setUint32(4, portsMax, true);
    port.onInput((bytes) => {
      this.waiting.add(bytes);
      this.wish();
    });
  }

  /** A program of the guest has it open. */
  get isOpen(): boolean {
    return this.openInGuest;
  }

  override save(): Saved {
    const { sayAdd, sayOpen, openInGuest } = this;
    return { waiting: this.waiting.save(), sayAdd, sayOpen, openInGuest };
  }

  override restore(saved: Saved): void {
    const { waiting, sayAdd, sayOpen, openInGuest } = recordOf(saved);
    this.waiting.restore(waiting);
    this.sayAdd = sayAdd === true;
    this.sayOpen = sayOpen === true;
    this.openInGuest = openInGuest === true;
  }

  override service(): void {
    // A driver that begins anew has nothing open, and what was sent is of another time.
    if (!this.hasStatus(driverOk)) {
      this.sayAdd = this.sayOpen = this.openInGuest = false;
      this.waiting.clear();
    }
    super.service();
  }

  protected override handle(index: number): void {
    if (index !== queue.toDevice) return;
    const from = this.queues[index]!;
    let wanted = false;
    for (let chain = from.take(); chain !== null; chain = from.take()) {
      this.hear(gather(chain.readable, controlBytes));
      wanted = from.give(chain, 0) || wanted;
    }
    if (wanted) this.interrupt();
  }

  private hear(bytes: Uint8Array): void {
    if (bytes.length < controlBytes) return;
    const view = new DataView(bytes.buffer);
    const value = view.getUint16(6, true);
    const what = view.getUint16(4, true);
    if (what === event.deviceReady) {
      // It begins anew, also where its reset went by between two services.
      this.sayAdd = value === 1;
      this.sayOpen = this.openInGuest = false;
    } else if (view.getUint32(0, true) !== portNumber) return;
    else if (what === event.portReady) this.sayOpen = value === 1;
    else if (what === event.portOpen) this.openInGuest = value === 1;
  }

  protected override look(): void {
    const told = this.tell();
    const taken = this.takeOutput();
    const given = this.openInGuest && this.waiting.giveTo(this.queues[queue.receive]!);
    if (given || taken || told) this.interrupt();
  }

  private tell(): boolean {
    let wanted = false;
    while (this.sayAdd || this.sayOpen) {
      const chain = this.queues[queue.toDriver]!.take();
      if (chain === null) break;
      const message = new DataView(new ArrayBuffer(controlBytes));
      message.setUint32(0, portNumber, true);
      message.setUint16(4, this.sayAdd ? event.portAdd : event.portOpen, true);
      message.setUint16(6, 1, true);
      if (this.sayAdd) this.sayAdd = false;
      else this.sayOpen = false;
      const written = scatter(new Uint8Array(message.buffer), chain.writable);
      wanted = this.queues[queue.toDriver]!.give(chain, written) || wanted;
    }
    return wanted;
  }

  /** What finds no room stays in the queue until there is some, and the program waits. */
  private takeOutput(): boolean {
    const from = this.queues[queue.transmit]!;
    let wanted = false;
    while (this.port.full !== true) {
      const chain = from.take();
      if (chain === null) break;
      this.port.write(gather(chain.readable, chunkBytesMax));
      wanted = from.give(chain, 0) || wanted;
    }
    return wanted;
  }
}
