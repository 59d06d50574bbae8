/**
 * Looking into images, converting them, packing and unpacking machines, on a thread of its own:
 * decoders take tens of milliseconds a block, which whoever serves clients cannot spend.
 *
 *   const { report, unpacked } = await runAside('look', { path, directory }, { signal });
 *   const { rawPath } = await runAside('import', { path, directory, unpacked }, { signal });
 *
 * One thread lives for one task. Must hold: a task that is cancelled or fails has taken away what
 * it made before the promise settles; a refusal crosses as a refusal; anything else, the end of
 * the thread included, is an error and leaves no partial file in the task's folder.
 */
import { Worker } from 'node:worker_threads';
import { Refusal } from '../../base/refusal.ts';
import type { AsideAnswer, AsideOrder, Task, Tasks } from './aside-thread.ts';
import { sweepPartials } from './new-file.ts';
import type { WorkOptions } from './sparse.ts';

export type AsideOptions = Pick<WorkOptions, 'signal' | 'onProgress'>;

export async function runAside<T extends Task>(
  task: T, input: Tasks[T]['input'], options: AsideOptions = {},
): Promise<Tasks[T]['output']> {
  if (options.signal?.aborted) throw new Refusal('cancelled', 'Cancelled.');
  const order = { task, input } as AsideOrder;
  const worker = new Worker(new URL('./aside-thread.ts', import.meta.url), { workerData: order });
  const cancel = (): void => worker.postMessage('cancel');
  options.signal?.addEventListener('abort', cancel, { once: true });
  try {
    return (await answerOf(worker, options)) as Tasks[T]['output'];
  } catch (thrown) {
    // A bundle goes into a folder of its owner's, where only its own partial file is ours.
    const only = task === 'pack' ? (input as Tasks['pack']['input']).name : undefined;
    if (!(thrown instanceof Refusal)) await sweepPartials(input.directory, only);
    throw thrown;
  } finally {
    options.signal?.removeEventListener('abort', cancel);
    await worker.terminate();
  }
}

function answerOf(worker: Worker, { onProgress }: AsideOptions): Promise<unknown> {
  return new Promise((resolve, reject) => {
    worker.on('message', (answer: AsideAnswer) => {
      if (answer.kind === 'progress') onProgress?.(answer.done, answer.total, answer.step);
      else if (answer.kind === 'done') resolve(answer.output);
      else reject(new Refusal(answer.code, answer.message));
    });
    worker.once('error', reject);
    worker.once('exit', () => reject(new Error('The thread that read the image has ended.')));
  });
}
