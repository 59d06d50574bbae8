/**
 * The threads of a machine: one a hart, and the timekeeper's. They are made before the machine is,
 * for loading their code takes as long as compiling the processor.
 *
 *   const threads = new Threads(harts);  …  threads.start(…); await threads.ended;
 *
 * Must hold: either `start` or `discard` is called.
 */
import { Worker } from 'node:worker_threads';
import type { Shared } from '../hart.ts';
import type { TimeStart } from './time-worker.ts';
import type { HartEnded, HartStart } from './worker.ts';

export class Threads {
  readonly ended: Promise<unknown>;
  /** As the harts' threads said, each when it ended. */
  readonly harts: HartEnded[] = [];
  private readonly hartThreads: Worker[];
  private readonly timeThread: Worker;
  private failed: (() => void) | undefined;
  private hasFailed = false;

  constructor(harts: number) {
    const hart = new URL('./worker.ts', import.meta.url);
    this.hartThreads = Array.from({ length: harts }, () => new Worker(hart));
    this.timeThread = new Worker(new URL('./time-worker.ts', import.meta.url));
    for (const thread of this.hartThreads) {
      thread.on('message', (ended: HartEnded) => this.harts.push(ended));
    }
    this.ended = Promise.all([...this.hartThreads, this.timeThread].map((each) => this.end(each)));
  }

  /** `failed` is called when a thread ends by an error. */
  start(start: Omit<HartStart, 'index'> & { shared: Shared }, failed: () => void): void {
    this.failed = failed;
    if (this.hasFailed) failed();
    this.hartThreads.forEach((thread, index) => {
      const message: HartStart = { ...start, index };
      thread.postMessage(message);
    });
    const { shared, powerOnNs } = start;
    const time: TimeStart = { memory: shared.memory, layout: shared.layout, powerOnNs };
    this.timeThread.postMessage(time);
  }

  /** For a machine that could not be made. */
  async discard(): Promise<void> {
    await Promise.all([...this.hartThreads, this.timeThread].map((each) => each.terminate()));
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
