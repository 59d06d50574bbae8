/**
 * The thread behind `runAside`: takes one order from `workerData`, says how far it is, and ends
 * with one answer. A message while it works, whatever it says, cancels the task.
 *
 * Progress is told at each new step and otherwise at most twenty times a second: a message costs
 * the other thread more than a block of the image costs this one.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { assert } from '../../base/assert.ts';
import { Refusal, type RefusalCode } from '../../base/refusal.ts';
import type { ImageReport } from '../detect.ts';
import { packBundle, unpackBundle, type PackOptions, type UnpackOptions } from './bundle.ts';
import { importImage, openImage, type Imported, type Unpacked } from './import.ts';
import type { WorkOptions } from './sparse.ts';

/** Where an image is, and the folder that takes everything made from it. */
export interface ImagePlace {
  path: string;
  directory: string;
  withBacking?: boolean;
}

export interface Tasks {
  /** Says what a file is, and keeps what had to be unpacked for that. */
  look: { input: ImagePlace; output: { report: ImageReport; unpacked?: Unpacked } };
  import: { input: ImagePlace & { name?: string; unpacked?: Unpacked }; output: Imported };
  /** Writes a machine bundle; its size comes back. */
  pack: { input: Omit<PackOptions, keyof WorkOptions>; output: number };
  unpack: { input: Omit<UnpackOptions, keyof WorkOptions>; output: void };
}

export type Task = keyof Tasks;
export type AsideOrder = { [T in Task]: { task: T; input: Tasks[T]['input'] } }[Task];
export type AsideAnswer =
  | { kind: 'progress'; done: number; total: number | undefined; step: string }
  | { kind: 'done'; output: Tasks[Task]['output'] }
  | { kind: 'refused'; code: RefusalCode; message: string };

const progressEveryMs = 50;

async function look(
  input: ImagePlace, options: WorkOptions,
): Promise<Tasks['look']['output']> {
  const image = await openImage({ ...input, ...options });
  try {
    const unpacked = await image.keep();
    return { report: image.report, ...(unpacked ? { unpacked } : {}) };
  } finally {
    await image.close();
  }
}

function perform({ task, input }: AsideOrder, options: WorkOptions) {
  switch (task) {
    case 'look':
      return look(input, options);
    case 'import':
      return importImage({ ...input, ...options });
    case 'pack':
      return packBundle({ ...input, ...options });
    case 'unpack':
      return unpackBundle({ ...input, ...options });
  }
}

function say(answer: AsideAnswer): void {
  assert(parentPort !== null, 'images are read aside in a worker thread');
  parentPort.postMessage(answer);
}

async function run(order: AsideOrder): Promise<void> {
  const abort = new AbortController();
  parentPort?.once('message', () => abort.abort());
  let toldStep = '';
  let toldMs = 0;
  const onProgress: WorkOptions['onProgress'] = (done, total, step) => {
    const nowMs = performance.now();
    if (step === toldStep && nowMs - toldMs < progressEveryMs) return;
    [toldStep, toldMs] = [step, nowMs];
    say({ kind: 'progress', done, total, step });
  };
  try {
    const output = await perform(order, { signal: abort.signal, onProgress });
    say({ kind: 'done', output });
  } catch (thrown) {
    if (!(thrown instanceof Refusal)) throw thrown;
    say({ kind: 'refused', code: thrown.code, message: thrown.message });
  }
}

await run(workerData as AsideOrder);
