/**
 * One two-way byte pipe into a guest, over a pair of FIFOs. The kernel process holds both open in
 * both directions, so neither end ever sees the other one hang up when our server dies: what the
 * guest writes meanwhile waits in the pipe, and a new server opens the same two names again.
 *
 * We hold only the reading end of the guest's output; when the last process of the machine is
 * gone it reads as ended, which is how the end of a machine is noticed without polling.
 */
import { closeSync, constants, openSync } from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import type { BytePipe } from '../engine.ts';
import type { DescriptorLayout } from '../descriptors.ts';

/** Input that the guest has not read yet, beyond which more is thrown away, as a tty does. */
const pendingInputBytesMax = 1 << 20;

export class FifoPipe implements BytePipe {
  onBytes: (bytes: Uint8Array) => void | Promise<void> = () => {};
  onEnd: () => void = () => {};
  private readonly reader: Socket;
  private readonly writer: Socket;

  /** `output` is what the guest writes, `input` what it reads; both FIFOs exist. */
  constructor(paths: { input: string; output: string }) {
    const readFd = openSync(paths.output, constants.O_RDONLY | constants.O_NONBLOCK);
    let writeFd: number;
    try {
      writeFd = openSync(paths.input, constants.O_RDWR | constants.O_NONBLOCK);
    } catch (thrown) {
      closeSync(readFd);
      throw thrown;
    }
    this.reader = new Socket({ fd: readFd, readable: true, writable: false });
    this.writer = new Socket({ fd: writeFd, readable: false, writable: true });
    this.reader.on('data', (bytes) => this.take(bytes));
    this.reader.on('end', () => this.onEnd());
    this.reader.on('error', () => this.onEnd());
    this.writer.on('error', () => {});
  }

  write(bytes: Uint8Array): void {
    if (this.writer.destroyed || this.writer.writableLength > pendingInputBytesMax) return;
    this.writer.write(bytes);
  }

  close(): void {
    this.onEnd = () => {};
    this.reader.destroy();
    this.writer.destroy();
  }

  private take(bytes: Uint8Array): void {
    const taken = this.onBytes(bytes);
    if (!taken) return;
    this.reader.pause();
    void taken.finally(() => this.reader.resume());
  }
}

export type Pipes = { consoles: FifoPipe[]; agent: FifoPipe };

/** The names of a machine's FIFOs: one pair for each console and one for the agent's line. */
export function fifoNames(runDirectory: string, layout: DescriptorLayout) {
  const names = (label: string) => ({
    input: join(runDirectory, `${label}.in`),
    output: join(runDirectory, `${label}.out`),
  });
  return {
    consoles: layout.consoles.map((_, index) => names(`console${index}`)),
    agent: names('agent'),
  };
}

export function openPipes(runDirectory: string, layout: DescriptorLayout): Pipes {
  const names = fifoNames(runDirectory, layout);
  const opened: FifoPipe[] = [];
  try {
    for (const pair of [...names.consoles, names.agent]) opened.push(new FifoPipe(pair));
  } catch (thrown) {
    for (const pipe of opened) pipe.close();
    throw thrown;
  }
  return { consoles: opened.slice(0, -1), agent: opened.at(-1)! };
}

export function closePipes(pipes: Pipes | undefined): void {
  for (const pipe of pipes ? [...pipes.consoles, pipes.agent] : []) pipe.close();
}
