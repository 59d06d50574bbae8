/**
 * One console of one machine: what it wrote is kept, and any number of readers follow it, each at
 * its own speed. A reader that falls behind further than the scrollback reaches skips what is
 * gone and is told so; nobody waits for anybody.
 *
 * A guest that floods its console is slowed, not believed: after each slice of output the pipe
 * rests until its share of time is used up, so that one console takes at most
 * `bytesPerSecondMax` of us and the keystrokes of the others go through.
 */
import { Scrollback } from './scrollback.ts';

/** Far above what anybody reads, and far below what would keep the host busy. */
export const bytesPerSecondMax = 4 << 20;
const sliceMs = 16;
/** Shorter than anybody notices between two pieces of a stream. */
const batchMs = 4;
const sliceBytes = Math.floor((bytesPerSecondMax * sliceMs) / 1000);

/** Where a reader's bytes go; `creditBytes` is how many it can take now. */
export interface ConsoleReader {
  readonly creditBytes: number;
  send(bytes: Uint8Array): void;
}

type Follower = {
  reader: ConsoleReader;
  position: number;
  /** Where what was kept ends and what is live begins, until that has been told. */
  replay?: { end: number; over: () => void } | undefined;
};

/** Ends what a program that died with its kernel has left on: its screen, mouse and pasting. */
const calm =
  '\x1b[?47l' + ['1000', '1002', '1003', '1004', '1006', '2004'].map((mode) => `\x1b[?${mode}l`)
    .join('') + '\x1b[!p';

export class ConsoleHub {
  readonly scrollback = new Scrollback();
  /** Where keystrokes go; nowhere while the machine is off. */
  input: (bytes: Uint8Array) => void | Promise<void> = () => {};
  onChange: () => void = () => {};
  private readonly followers = new Set<Follower>();
  private sliceUsedBytes = 0;
  private sliceStartMs = 0;
  private pumpedMs = -Infinity;
  private pumpDue = false;
  private readonly nowMs: () => number;
  private readonly delay: (ms: number) => Promise<void>;

  constructor(clock: { nowMs: () => number; delay: (ms: number) => Promise<void> }) {
    this.nowMs = clock.nowMs;
    this.delay = clock.delay;
  }

  /** Output of the guest. A promise means: give no more until it settles. */
  take(bytes: Uint8Array): void | Promise<void> {
    this.scrollback.append(bytes);
    this.onChange();
    const now = this.nowMs();
    this.pumpSoon(now);
    if (now - this.sliceStartMs >= sliceMs) {
      this.sliceStartMs = now;
      this.sliceUsedBytes = 0;
    }
    this.sliceUsedBytes += bytes.length;
    if (this.sliceUsedBytes < sliceBytes) return;
    const restMs = Math.ceil((this.sliceUsedBytes / bytesPerSecondMax) * 1000);
    this.sliceUsedBytes = 0;
    return this.delay(restMs);
  }

  /** Words of ours between those of the guest, such as that it was started. */
  note(text: string): void {
    void this.take(new TextEncoder().encode(`${calm}\r\n\x1b[2m── ${text} ──\x1b[0m\r\n`));
  }

  /** The kept scrollback, then `replayed` once, then everything as it comes. */
  follow(reader: ConsoleReader, replayed?: () => void): { pump(): void; stop(): void } {
    const { start, end } = this.scrollback;
    const replay = replayed && { end, over: replayed };
    const follower: Follower = { reader, position: start, replay };
    this.followers.add(follower);
    this.pump(follower);
    return {
      pump: () => this.pump(follower),
      stop: () => this.followers.delete(follower),
    };
  }

  /** The last lines without control sequences, for a crash report. */
  lastLines(count: number): string[] {
    const bytes = this.scrollback.read(
      Math.max(this.scrollback.start, this.scrollback.end - 16384),
      16384,
    );
    return plainLines(new TextDecoder().decode(bytes)).slice(-count);
  }

  /** At once after a silence, so that an echo is not late; a stream of bytes goes in batches. */
  private pumpSoon(now: number): void {
    if (this.pumpDue) return;
    if (now - this.pumpedMs >= batchMs) return this.pumpAll(now);
    this.pumpDue = true;
    void this.delay(batchMs).then(() => {
      this.pumpDue = false;
      this.pumpAll(this.nowMs());
    });
  }

  private pumpAll(now: number): void {
    this.pumpedMs = now;
    for (const follower of this.followers) this.pump(follower);
  }

  private pump(follower: Follower): void {
    const { reader } = follower;
    if (follower.position < this.scrollback.start) {
      const lost = this.scrollback.start - follower.position;
      const notice = new TextEncoder().encode(`\r\n\x1b[2m── ${lost} bytes skipped ──\x1b[0m\r\n`);
      if (reader.creditBytes < notice.length) return;
      reader.send(notice);
      follower.position = this.scrollback.start;
    }
    this.tellReplayed(follower);
    const end = follower.replay?.end ?? this.scrollback.end;
    const length = Math.min(reader.creditBytes, end - follower.position);
    if (length <= 0) return;
    const bytes = this.scrollback.read(follower.position, length);
    follower.position += bytes.length;
    reader.send(bytes);
    if (this.tellReplayed(follower)) this.pump(follower);
  }

  private tellReplayed(follower: Follower): boolean {
    const { replay } = follower;
    if (!replay || follower.position < replay.end) return false;
    follower.replay = undefined;
    replay.over();
    return true;
  }
}

/** Text lines without escape sequences and control characters, empty ones left out. */
export function plainLines(text: string): string[] {
  return text
    .replace(
      /\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(\x07|\x1b\\)|\x1b[()][A-Za-z0-9]|\x1b./g,
      '',
    )
    .split(/\r?\n/)
    .map((line) => line.replace(/[\x00-\x08\x0b-\x1f\x7f]/g, '').trimEnd())
    .filter((line) => line.length > 0);
}
