/**
 * Sends frames to a guest no faster than its agent takes them: at most a window of bytes is on the
 * way at any time, `lineWindowBytes` where nothing else is known of the line.
 *
 * Why: a User Mode Linux serial port whose 4 kB input buffer was full once never wakes up again
 * (arch/um throttles its input and forgets to take that back). Below that it loses nothing.
 *
 *   paced.hello(frame)       goes at once, before all else; it is in nobody's count
 *   paced.send(frame)        goes when there is room, in order
 *   paced.taken(total)       the agent has taken `total` bytes since the first hello
 *
 * What must hold: a frame is never cut by another; one that is larger than the window goes in
 * pieces, each as room comes.
 */

/** Two windows (an old host's bytes and a new one's) stay below the port's 4096 - 128. */
export const lineWindowBytes = 1800;
const queueBytesMax = 8 * 1024 * 1024;

export class PacedLine {
  private readonly write: (bytes: Uint8Array) => void;
  private readonly windowBytes: number;
  private queue: Uint8Array[] = [];
  private queuedBytes = 0;
  private sent = 0;
  private acknowledged = 0;
  private inPieces = false;

  /** Two windows must fit whatever stands between us and the agent. */
  constructor(write: (bytes: Uint8Array) => void, windowBytes = lineWindowBytes) {
    this.write = write;
    this.windowBytes = windowBytes;
  }

  /** Bytes written since the last restart, hellos not counted. */
  get sentBytes(): number {
    return this.sent;
  }

  /** The agent has taken all that was given to us, as far as it has said. */
  get settled(): boolean {
    return this.queue.length === 0 && this.sent === this.acknowledged;
  }

  /** Between two frames: a hello may be said. */
  get atBoundary(): boolean {
    return !this.inPieces;
  }

  hello(frame: Uint8Array): void {
    this.write(frame);
  }

  send(frame: Uint8Array): void {
    // Dropped is as lost: the frame's number is missing and the agent says so.
    if (this.queuedBytes + frame.length > queueBytesMax) return;
    this.queue.push(frame);
    this.queuedBytes += frame.length;
    this.pump();
  }

  /** `total` as the agent counts, modulo 2^32. */
  taken(total: number): void {
    const ahead = (total - this.acknowledged) >>> 0;
    if (ahead > this.sent - this.acknowledged) return; // more than was sent: not about us
    this.acknowledged += ahead;
    this.pump();
  }

  /** A new attachment: nothing is on the way, nothing waits, both ends count from 0. */
  restart(): void {
    this.queue = [];
    this.queuedBytes = 0;
    this.sent = this.acknowledged = 0;
    this.inPieces = false;
  }

  private pump(): void {
    for (;;) {
      const first = this.queue[0];
      const room = this.windowBytes - (this.sent - this.acknowledged);
      if (!first || room <= 0) return;
      if (first.length > room && (first.length <= this.windowBytes && !this.inPieces)) return;
      const piece = first.subarray(0, room);
      this.write(piece);
      this.sent += piece.length;
      this.queuedBytes -= piece.length;
      if (piece.length === first.length) this.queue.shift();
      else this.queue[0] = first.subarray(piece.length);
      this.inPieces = piece.length !== first.length;
    }
  }
}
