/**
 * virtio-vsock (virtio 1.3, 5.10): stream sockets between the guest, CID 3, and its host, CID 2.
 * After a restore the guest is told that all connections are gone (5.10.6.7).
 */
import type { SocketPort } from '../../ports.ts';
import { guestCid, headerBytes } from '../vsock/packet.ts';
import { Switchboard } from '../vsock/switchboard.ts';
import { VirtioDevice } from './device.ts';
import type { Wiring } from './device.ts';
import { gather, scatter, total } from './queue.ts';

const streamFeature = 1;
const queue = { receive: 0, transmit: 1, event: 2, count: 3 };
const packetBytesMax = headerBytes + (1 << 16);
const driverOk = 4;

export class VirtioVsock extends VirtioDevice {
  private readonly connections: Switchboard;
  private hasLostAll = false;

  constructor(wiring: Wiring, port: SocketPort) {
    const features = streamFeature;
    super(wiring, { deviceId: 19, features, queues: queue.count, queueMax: 128 });
    this.configView().setBigUint64(0, BigInt(guestCid), true);
    this.connections = new Switchboard(port, () => this.wish());
    port.onConnect((guestPort, host) =>
      this.hasStatus(driverOk) ? this.connections.connect(guestPort, host) : null,
    );
  }

  override service(): void {
    // A driver that begins anew knows nothing of what was. Where that is too quick to be seen, it
    // resets each connection of which it hears.
    if (!this.hasStatus(driverOk)) this.connections.drop();
    super.service();
  }

  protected override handle(index: number): void {
    if (index !== queue.transmit) return;
    const asked = this.queues[index]!;
    let wanted = false;
    for (let chain = asked.take(); chain !== null; chain = asked.take()) {
      this.connections.take(gather(chain.readable, packetBytesMax));
      wanted = asked.give(chain, 0) || wanted;
    }
    if (wanted) this.interrupt();
  }

  protected override look(): void {
    const queued = this.queues[queue.receive]!;
    let wanted = this.hasLostAll && this.sayLost();
    while (this.connections.waiting) {
      const chain = queued.take();
      if (chain === null) break;
      const room = total(chain.writable) - headerBytes;
      const packet = room < 0 ? new Uint8Array(0) : this.connections.next(room);
      wanted = queued.give(chain, scatter(packet, chain.writable)) || wanted;
    }
    if (wanted) this.interrupt();
  }

  /** Event 0: the transport was reset. */
  private sayLost(): boolean {
    const chain = this.queues[queue.event]!.take();
    if (chain === null) return false;
    this.hasLostAll = false;
    return this.queues[queue.event]!.give(chain, scatter(new Uint8Array(4), chain.writable));
  }

  /** Its connections end in other processes, which are not saved. */
  override restore(): void {
    this.hasLostAll = true;
  }
}
