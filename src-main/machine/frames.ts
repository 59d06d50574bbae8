/**
 * What travels between here and the program in an outer guest that holds an inner machine, over
 * one stream of bytes (for the native engine that program is `resources/guest/nest.c`).
 *
 * Frames: channel u8 | length u16 little-endian | bytes. Channels: the consoles, the agent's line,
 * the network slots; those from `word.plug` on are words to and from that program.
 */

export const word = {
  plug: 248, stop: 249, go: 250, mconsole: 251, stats: 252, kill: 253, freeze: 254, end: 255,
} as const; // prettier-ignore

export const payloadBytesMax = 16_384;

export function encodeFrame(channel: number, bytes: Uint8Array): Uint8Array {
  const frame = new Uint8Array(3 + bytes.length);
  frame[0] = channel;
  frame[1] = bytes.length & 0xff;
  frame[2] = bytes.length >> 8;
  frame.set(bytes, 3);
  return frame;
}

/** Splits long bytes over several frames; message channels must fit in one. */
export function* framesOf(channel: number, bytes: Uint8Array): Iterable<Uint8Array> {
  for (let at = 0; at < bytes.length; at += payloadBytesMax) {
    yield encodeFrame(channel, bytes.subarray(at, at + payloadBytesMax));
  }
}

/** Puts frames together from any pieces; keeps no more than one frame. */
export class FrameDecoder {
  private held = new Uint8Array(3 + payloadBytesMax);
  private used = 0;
  private broken = false;
  private readonly onFrame: (channel: number, bytes: Uint8Array) => void;

  constructor(onFrame: (channel: number, bytes: Uint8Array) => void) {
    this.onFrame = onFrame;
  }

  /** False from the first frame on that is longer than any may be: nothing behind it counts. */
  take(bytes: Uint8Array): boolean {
    for (let at = 0; at < bytes.length && !this.broken; ) {
      const needed = this.used < 3 ? 3 : 3 + this.length;
      const piece = bytes.subarray(at, at + needed - this.used);
      this.held.set(piece, this.used);
      this.used += piece.length;
      at += piece.length;
      if (this.used < 3) continue;
      if (this.length > payloadBytesMax) this.broken = true;
      else if (this.used === 3 + this.length) this.finish();
    }
    return !this.broken;
  }

  private get length(): number {
    return this.held[1]! | (this.held[2]! << 8);
  }

  private finish(): void {
    const bytes = this.held.slice(3, this.used);
    this.used = 0;
    this.onFrame(this.held[0]!, bytes);
  }
}
