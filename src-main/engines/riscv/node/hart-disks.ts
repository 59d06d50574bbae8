/**
 * The disks of a machine as one hart has them: what its guest asks for is done on the hart's own
 * thread, before the guest goes on. What the host has in memory is copied in less time than another
 * thread takes to wake, and the guest need not sleep. Flushes are left to the I/O thread.
 */
import { receiveMessageOnPort } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import type { Bus } from '../devices/bus.ts';
import { BlockRequests } from '../devices/virtio/block-requests.ts';
import { blockDeviceId } from '../devices/virtio/block.ts';
import { GuestMemory, Queue } from '../devices/virtio/queue.ts';
import { driverIsReady, word } from '../devices/virtio/registers.ts';
import type { Shared } from '../hart.ts';
import { diskPort } from './disk-port.ts';
import type { OpenDisk } from './open-disk.ts';

export interface SharedDisk {
  readonly slot: number;
  /** What the guest reads as its serial. */
  readonly name: string;
  readonly disk: OpenDisk;
}

export class HartDisks {
  private readonly bus: Bus;
  private readonly memory: GuestMemory;
  private readonly news: MessagePort;
  private readonly known = new Map<number, BlockRequests>();

  /** `news` brings a `SharedDisk` for each disk that is plugged in. */
  constructor(bus: Bus, { memory, layout }: Pick<Shared, 'memory' | 'layout'>, news: MessagePort) {
    this.bus = bus;
    this.memory = new GuestMemory(memory, layout);
    this.news = news;
  }

  /** For `Bus.serve`. */
  serve(slot: number): boolean {
    const registers = this.bus.virtio[slot]!;
    const { words } = registers;
    if (words[word.deviceId] !== blockDeviceId) return false;
    const requests = this.known.get(slot) ?? this.hear(slot);
    if (requests === undefined) return false;
    const rung = Atomics.exchange(words, word.notified, 0);
    if (!driverIsReady(words)) return true;
    let left = rung;
    try {
      const served = requests.serve(rung);
      if (served.interrupt) this.interrupt(slot);
      left = served.left;
    } catch {
      // It is closed; another may be there by now.
      this.known.delete(slot);
    }
    if (left === 0) return true;
    Atomics.or(words, word.notified, left);
    return false;
  }

  close(): void {
    this.news.close();
  }

  private interrupt(slot: number): void {
    this.bus.lock();
    this.bus.virtio[slot]!.interrupt(1);
    this.bus.unlock();
  }

  private hear(wanted: number): BlockRequests | undefined {
    for (;;) {
      const heard = receiveMessageOnPort(this.news)?.message as SharedDisk | undefined;
      if (heard === undefined) return this.known.get(wanted);
      const { slot, name, disk } = heard;
      const { words } = this.bus.virtio[slot]!;
      const queues = Array.from(
        { length: words[word.queueCount]! },
        (_, n) => new Queue(this.memory, words, n),
      );
      this.known.set(slot, new BlockRequests(queues, diskPort(disk), name));
    }
  }
}
