/**
 * One command that runs in a guest, seen from the host: its input, its output, its end.
 *
 *   const session = client.exec({ argv: ['cat'], stdout: (bytes) => … });
 *   await session.write(bytes); session.end();
 *   const ending = await session.exit;        // { kind: 'exited', code } or { kind: 'signaled' }
 *
 * `stdout` and `stderr` may return a promise: the guest may then run ahead by `windowBytes` and
 * waits after that. `exit` settles after the last byte was taken; it rejects with a Refusal when
 * the command could not start or the machine went away.
 * What must hold: a guest that sends more than it was granted loses its session, not our memory.
 */
import { Refusal } from '../base/refusal.ts';
import type { Ending, HostMessage, WindowSize } from './protocol.ts';
import { dataBytesMax, stdinWindowBytes } from './protocol.ts';

export type ExecEnding = Exclude<Ending, { kind: 'not-started' }>;
export type OutputListener = (bytes: Uint8Array) => void | Promise<void>;

export interface ExecSession {
  readonly exit: Promise<ExecEnding>;
  /** Resolves when all bytes are on their way; false: the command reads no more. */
  write(bytes: Uint8Array): Promise<boolean>;
  /** No more input: end of file (on a terminal: Ctrl-D). Bytes written before come first. */
  end(): void;
  /** A signal, by its Linux number, to the command's process group. */
  kill(signal: number): void;
  resize(size: WindowSize): void;
}

/** What may be on the way to us or not yet taken by the listeners, per session. */
export const windowBytes = 131_072;
const inputQueueBytesMax = 4 * 1024 * 1024;

interface Waiting {
  bytes: Uint8Array;
  sent: number;
  settle: (taken: boolean) => void;
}

export class RemoteSession implements ExecSession {
  readonly exit: Promise<ExecEnding>;
  private readonly id: number;
  private readonly send: (message: HostMessage) => void;
  private readonly listeners: { stdout?: OutputListener; stderr?: OutputListener };
  private readonly settled = Promise.withResolvers<ExecEnding>();
  private closed = false;
  private inputCredit = stdinWindowBytes;
  private readonly input: Waiting[] = [];
  private inputBytes = 0;
  private inputEnded = false;
  private endSent = false;
  /** What the guest may still send. */
  private outputCredit = windowBytes;
  private consumedBytes = 0;
  private delivery: Promise<void> | undefined;

  constructor(
    id: number,
    send: (message: HostMessage) => void,
    listeners: { stdout?: OutputListener; stderr?: OutputListener },
  ) {
    this.id = id;
    this.send = send;
    this.listeners = listeners;
    this.exit = this.settled.promise;
    this.exit.catch(() => {}); // whoever does not ask is not told
  }

  write(bytes: Uint8Array): Promise<boolean> {
    if (this.closed || this.inputEnded) return Promise.resolve(false);
    if (this.inputBytes + bytes.length > inputQueueBytesMax) {
      return Promise.reject(
        new Refusal('no-space', 'Too much input is waiting for the command; wait for its writes.'),
      );
    }
    return new Promise((settle) => {
      this.input.push({ bytes, sent: 0, settle });
      this.inputBytes += bytes.length;
      this.pump();
    });
  }

  end(): void {
    if (this.closed || this.inputEnded) return;
    this.inputEnded = true;
    this.pump();
  }

  kill(signal: number): void {
    if (!this.closed) this.send({ kind: 'signal', session: this.id, signal });
  }

  resize(size: WindowSize): void {
    if (!this.closed) this.send({ kind: 'window', session: this.id, path: '', ...size });
  }

  /** The guest has taken this much of its input. */
  granted(bytes: number): void {
    this.inputCredit = Math.min(stdinWindowBytes, this.inputCredit + bytes);
    this.pump();
  }

  /** False: the guest broke its credit; the owner must fail the session. */
  output(stream: 'stdout' | 'stderr', bytes: Uint8Array): boolean {
    if (bytes.length > this.outputCredit) return false;
    this.outputCredit -= bytes.length;
    if (this.delivery) {
      this.delivery = this.delivery.then(() => this.deliver(stream, bytes));
      return true;
    }
    const busy = this.deliver(stream, bytes);
    if (busy) this.delivery = busy;
    return true;
  }

  finish(ending: ExecEnding): void {
    this.close();
    void (this.delivery ?? Promise.resolve()).then(() => this.settled.resolve(ending));
  }

  fail(refusal: Refusal): void {
    this.close();
    this.settled.reject(refusal);
  }

  private close(): void {
    this.closed = true;
    for (const waiting of this.input.splice(0)) waiting.settle(false);
    this.inputBytes = 0;
  }

  private pump(): void {
    while (this.inputCredit > 0 && !this.closed) {
      const first = this.input[0];
      if (!first) break;
      const most = Math.min(dataBytesMax, this.inputCredit);
      const end = Math.min(first.sent + most, first.bytes.length);
      const piece = first.bytes.subarray(first.sent, end);
      if (piece.length > 0) this.send({ kind: 'stdin', session: this.id, bytes: piece });
      this.inputCredit -= piece.length;
      this.inputBytes -= piece.length;
      first.sent = end;
      if (end === first.bytes.length) {
        this.input.shift();
        first.settle(true);
      }
    }
    if (this.inputEnded && this.input.length === 0 && !this.closed && !this.endSent) {
      this.endSent = true;
      this.send({ kind: 'stdin-eof', session: this.id });
    }
  }

  /** Hands bytes on; a promise when the listener asks us to wait. Its failures are its own. */
  private deliver(stream: 'stdout' | 'stderr', bytes: Uint8Array): Promise<void> | undefined {
    const listener = this.listeners[stream];
    let busy: void | Promise<void>;
    try {
      busy = listener?.(bytes);
    } catch {
      busy = undefined;
    }
    if (!busy) {
      this.consumed(bytes.length);
      return undefined;
    }
    const delivery = busy.catch(() => {}).then(() => {
      this.consumed(bytes.length);
      if (this.delivery === delivery) this.delivery = undefined;
    });
    return delivery;
  }

  private consumed(bytes: number): void {
    this.consumedBytes += bytes;
    if (this.closed || this.consumedBytes < windowBytes / 4) return;
    this.send({ kind: 'credit', session: this.id, bytes: this.consumedBytes });
    this.outputCredit += this.consumedBytes;
    this.consumedBytes = 0;
  }
}

/** Why a command could not start, from the guest's errno. */
export function notStarted(
  program: string,
  ending: { errno: number; place: string },
): Refusal {
  const name = `"${program.slice(0, 200)}"`;
  if (ending.place === 'directory') {
    return new Refusal('not-found', 'The machine has no such directory to start the command in.');
  }
  switch (ending.errno) {
    case 2: case 20: return new Refusal('not-found', `The machine has no program ${name}.`);
    case 13: case 1: return new Refusal('denied', `The machine may not run ${name}.`);
    case 8: return new Refusal('unsupported', `${name} is no program for this machine.`);
    case 7: return new Refusal('usage', 'The command line is too long for the machine.');
    case 24: return new Refusal('no-space', 'The machine runs as many commands as it can.');
    case 11: return new Refusal('wrong-state', 'The machine is still starting.');
    case 12: return new Refusal('no-space', 'The machine has no memory left for a command.');
    default: {
      return new Refusal('internal', `${name} could not start in the machine (${ending.errno}).`);
    }
  }
}
