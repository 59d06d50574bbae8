/**
 * One attachment to one console of a machine: it replays what the server kept, goes on live, and
 * attaches anew by itself when the connection or the machine comes back.
 *
 *   const console = new Console(link, machineId, 0);
 *   console.attach(screen);  …  console.close();
 */
import { refused, type ByteStream } from '../client/connect.ts';
import type { Link } from './link.svelte.ts';

export type Screen = {
  take: (bytes: Uint8Array) => Promise<void> | void;
  /** Everything so far belongs to an attachment that is over. */
  restart: () => void;
  /** Settles when all that was taken has been acted upon. */
  parsed: () => Promise<void>;
};

const againMs = 1000;

export class Console {
  status = $state<'attaching' | 'live' | 'ended'>('attaching');
  /** What the screen acts upon is the kept scrollback; nobody may answer what it asks. */
  replaying = true;
  /** Told the sentence when something written is refused. */
  onRefused: (sentence: string) => void = () => {};
  private readonly link: Link;
  private readonly machine: string;
  private readonly number: number;
  private stream: ByteStream<null> | undefined;
  private againTimer: ReturnType<typeof setTimeout> | undefined;
  private closed = false;

  constructor(link: Link, machine: string, number: number) {
    this.link = link;
    this.machine = machine;
    this.number = number;
  }

  attach(screen: Screen): void {
    this.stream?.cancel();
    clearTimeout(this.againTimer);
    const { client } = this.link;
    if (!client || this.closed) return;
    screen.restart();
    this.status = 'attaching';
    this.replaying = true;
    const wanted = { machine: this.machine, console: this.number, mark: true };
    const stream = client.open('console.attach', wanted, async (bytes) => {
      if (this.stream !== stream) return;
      // The one empty message is the mark: the screen is behind us by what it has not parsed.
      if (bytes.length > 0) return screen.take(bytes);
      await screen.parsed();
      if (this.stream !== stream) return;
      this.replaying = false;
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
  attachAgain(screen: Screen): void {
    clearTimeout(this.againTimer);
    this.againTimer = setTimeout(() => this.attach(screen), againMs);
  }

  /** What is more than the machine takes is refused whole, and the user is told. */
  write(bytes: Uint8Array): void {
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
    clearTimeout(this.againTimer);
    this.stream?.cancel();
    this.stream = undefined;
  }
}
