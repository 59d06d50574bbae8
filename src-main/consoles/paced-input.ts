/**
 * Keystrokes on their way to a console, and pastes. A User Mode Linux terminal whose unread input
 * passes some four kilobytes stops listening for good (`line_throttle` in arch/um/drivers/line.c
 * has no way back), so a paste goes in small pieces with a pause for the guest to read each one.
 * What is typed after a silence goes at once.
 */
const pieceBytes = 1024;
const pauseMs = 8;
/** What may wait for one console; more is thrown away, as a terminal does. */
const waitingBytesMax = 1 << 20;

export class PacedInput {
  private readonly send: (bytes: Uint8Array) => void;
  private readonly delay: (ms: number) => Promise<void>;
  private tail: Promise<void> = Promise.resolve();
  private waitingBytes = 0;

  constructor(send: (bytes: Uint8Array) => void, delay: (ms: number) => Promise<void>) {
    this.send = send;
    this.delay = delay;
  }

  /** Settles when all of it is on its way. */
  write(bytes: Uint8Array): void | Promise<void> {
    if (this.waitingBytes === 0 && bytes.length <= pieceBytes) {
      this.send(bytes);
      this.waitingBytes = bytes.length;
      this.tail = this.delay(pauseMs).then(() => {
        this.waitingBytes -= bytes.length;
      });
      return;
    }
    if (this.waitingBytes + bytes.length > waitingBytesMax) return;
    this.waitingBytes += bytes.length;
    this.tail = this.tail.then(() => this.drain(bytes));
    return this.tail;
  }

  private async drain(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      this.send(bytes.subarray(at, at + pieceBytes));
      await this.delay(pauseMs);
    }
    this.waitingBytes -= bytes.length;
  }
}
