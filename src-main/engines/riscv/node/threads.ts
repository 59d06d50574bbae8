/**
 * The threads of a machine: one a hart, the workshop's and the timekeeper's. They are made before
 * the machine is, for loading their code takes as long as compiling the processor.
 *
 *   const threads = new Threads(harts);  …  threads.start(…); await threads.ended;
 *
 * Must hold: either `start` or `discard` is called.
 */
import { MessageChannel, Worker } from 'node:worker_threads';
import type { Machine } from '../machine.ts';
import type { SharedDisk } from './hart-disks.ts';
import type { TimeStart } from './time-worker.ts';
import type { HartEnded, HartStart } from './worker.ts';
import type { WorkshopStart } from './workshop-worker.ts';

export type MachineStart = Omit<HartStart, 'index' | 'shared' | 'workshop' | 'disks'> & {
  machine: Machine;
};

export class Threads {
  readonly ended: Promise<unknown>;
  /** As the harts' threads said, each when it ended. */
  readonly harts: HartEnded[] = [];
  private readonly hartThreads: Worker[];
  private readonly diskNews: MessageChannel[];
  private readonly workshop: Worker;
  private readonly timeThread: Worker;
  private readonly all: readonly Worker[];
  private failed: (() => void) | undefined;
  private hasFailed = false;

  constructor(harts: number) {
    const hart = new URL('./worker.ts', import.meta.url);
    this.hartThreads = Array.from({ length: harts }, () => new Worker(hart));
    this.diskNews = this.hartThreads.map(() => new MessageChannel());
    this.workshop = new Worker(new URL('./workshop-worker.ts', import.meta.url));
    this.timeThread = new Worker(new URL('./time-worker.ts', import.meta.url));
    this.all = [...this.hartThreads, this.workshop, this.timeThread];
    for (const thread of this.hartThreads) {
      thread.on('message', (ended: HartEnded) => this.harts.push(ended));
    }
    this.ended = Promise.all(this.all.map((each) => this.end(each))).finally(() => {
      for (const { port1 } of this.diskNews) port1.close();
    });
  }

  /** `failed` is called when a thread ends by an error. */
  start({ machine, ...start }: MachineStart, failed: () => void): void {
    this.failed = failed;
    if (this.hasFailed) failed();
    const { memory, layout, core, compiled } = machine;
    const { powerOnNs } = start;
    const channels = this.hartThreads.map(() => new MessageChannel());
    const harts = channels.map(({ port2 }) => port2);
    const plans: WorkshopStart = { plans: { memory, compiled }, harts };
    this.workshop.postMessage(plans, harts);
    this.hartThreads.forEach((thread, index) => {
      const workshop = channels[index]!.port1;
      const disks = this.diskNews[index]!.port2;
      const shared = { memory, layout, core };
      const message: HartStart = { ...start, index, shared, workshop, disks };
      thread.postMessage(message, [workshop, disks]);
    });
    const time: TimeStart = { memory, layout, powerOnNs };
    this.timeThread.postMessage(time);
  }

  shareDisk(disk: SharedDisk): void {
    for (const { port1 } of this.diskNews) port1.postMessage(disk);
  }

  /** For a machine that could not be made. */
  async discard(): Promise<void> {
    await Promise.all(this.all.map((each) => each.terminate()));
  }

  private end(thread: Worker): Promise<void> {
    return new Promise((resolve) => {
      thread.on('error', (error) => {
        process.stderr.write(`machine thread: ${error.stack ?? error.message}\n`);
        this.hasFailed = true;
        this.failed?.();
      });
      thread.on('exit', () => resolve());
    });
  }
}
