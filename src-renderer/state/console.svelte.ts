/**
 * One attachment to one console of a machine: it replays what the server kept, goes on live, and
 * attaches anew by itself when the connection or the machine comes back.
 *
 *   const console = new Console(link, machineId, 0);
 *   console.attach(sink, onRestart);  …  console.close();
 */
import { refused, type ByteStream } from '../client/connect.ts';
import type { Link } from './link.svelte.ts';

type Sink = (bytes: Uint8Array) => Promise<void> | void;

/** So long without bytes, and what comes next is live and not the kept scrollback. */
const replayQuietMs = 200;
const againMs = 1000;

export class Console {
  status = $state<'attaching' | 'live' | 'ended'>('attaching');
  /** The kept scrollback is still arriving; nobody may answer what it asks. */
  replaying = true;
  /** Told the sentence when something written is refused. */
  onRefused: (sentence: string) => void = () => {};
  private readonly link: Link;
  private readonly machine: string;
  private readonly number: number;
  private stream: ByteStream<null> | undefined;
  private quietTimer: ReturnType<typeof setTimeout> | undefined;
  private againTimer: ReturnType<typeof setTimeout> | undefined;
  private closed = false;

  constructor(link: Link, machine: string, number: number) {
    this.link = link;
    this.machine = machine;
    this.number = number;
  }

  attach(sink: Sink, onRestart: () => void): void {
    this.stream?.cancel();
    clearTimeout(this.againTimer);
    const { client } = this.link;
    if (!client || this.closed) return;
    onRestart();
    this.status = 'attaching';
    this.replaying = true;
    this.settleSoon();
    const { machine, number } = this;
    const stream = client.open('console.attach', { machine, console: number }, async (bytes) => {
      if (this.stream !== stream) return;
      if (this.replaying) this.settleSoon();
      await sink(bytes);
      this.status = 'live';
    });
    this.stream = stream;
    const ended = () => {
      if (this.stream !== stream) return;
      this.stream = undefined;
      this.status = 'ended';
    };
    stream.result.then(ended, ended);
  }

  /** After an end: once more in a moment, for as long as the machine is alive. */
  attachAgain(sink: Sink, onRestart: () => void): void {
    clearTimeout(this.againTimer);
    this.againTimer = setTimeout(() => this.attach(sink, onRestart), againMs);
  }

  /** What is more than the machine takes is refused whole, and the user is told. */
  write(bytes: Uint8Array): void {
    this.replaying = false;
    try {
      void this.stream?.write(bytes);
    } catch (thrown) {
      this.onRefused(`That was not pasted. ${refused(thrown).sentence}`);
    }
  }

  resize(rows: number, columns: number): void {
    const { machine, number } = this;
    // A console of a machine that is off has no size; that is no news to anybody.
    this.link.call('console.resize', { machine, console: number, rows, columns }).catch(() => {});
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.quietTimer);
    clearTimeout(this.againTimer);
    this.stream?.cancel();
    this.stream = undefined;
  }

  private settleSoon(): void {
    clearTimeout(this.quietTimer);
    this.quietTimer = setTimeout(() => {
      this.replaying = false;
      if (this.status === 'attaching') this.status = 'live';
    }, replayQuietMs);
  }
}
