/**
 * The frames of the line between the host and the agent in a guest: SLIP (RFC 1055) around
 *   type u8 | session u16 | sequence u16 | payload | crc32 (IEEE) of all before, little-endian
 * (the other end is resources/guest/line.c).
 *
 *   line.write(encodeFrame({ type, session, sequence, payload }));
 *   const reader = new FrameReader(); for (const frame of reader.push(bytes)) …
 *
 * What must hold: any bytes may come (a guest's user can write to the port). A reader keeps at
 * most one frame, drops what does not check, and is in step again at the next END byte.
 */
import { assert } from '../base/assert.ts';

export interface Frame {
  type: number;
  /** 0 for what belongs to no session. */
  session: number;
  /** Counts the frames of one direction, modulo 65536; a gap means that frames were lost. */
  sequence: number;
  payload: Uint8Array;
}

export const payloadBytesMax = 65_024;
const headBytes = 5;
const tailBytes = 4;
const END = 0xc0;
const ESC = 0xdb;
const ESC_END = 0xdc;
const ESC_ESC = 0xdd;

export function encodeFrame(frame: Frame): Uint8Array<ArrayBuffer> {
  assert(frame.payload.length <= payloadBytesMax, 'a frame is not longer than its limit');
  const body = new Uint8Array(headBytes + frame.payload.length + tailBytes);
  const view = new DataView(body.buffer);
  view.setUint8(0, frame.type);
  view.setUint16(1, frame.session, true);
  view.setUint16(3, frame.sequence, true);
  body.set(frame.payload, headBytes);
  const checked = body.length - tailBytes;
  view.setUint32(checked, crc32(body, checked), true);
  return escaped(body);
}

function escaped(body: Uint8Array): Uint8Array<ArrayBuffer> {
  let extra = 0;
  for (const byte of body) if (byte === END || byte === ESC) extra++;
  const out = new Uint8Array(body.length + extra + 2);
  let at = 0;
  out[at++] = END;
  for (const byte of body) {
    if (byte === END || byte === ESC) {
      out[at++] = ESC;
      out[at++] = byte === END ? ESC_END : ESC_ESC;
    } else {
      out[at++] = byte;
    }
  }
  out[at] = END;
  return out;
}

export class FrameReader {
  /** Frames that ended but did not check: noise on the line, or a join in the middle. */
  droppedCount = 0;
  private readonly body = new Uint8Array(headBytes + payloadBytesMax + tailBytes);
  private used = 0;
  private inEscape = false;
  private spoilt = false;

  /** The whole frames that `bytes` completes. Each payload is a copy of its own. */
  push(bytes: Uint8Array): Frame[] {
    const frames: Frame[] = [];
    for (const byte of bytes) {
      if (byte === END) {
        const frame = this.end();
        if (frame) frames.push(frame);
      } else if (!this.spoilt) {
        this.take(byte);
      }
    }
    return frames;
  }

  private take(byte: number): void {
    let plain = byte;
    if (this.inEscape) {
      this.inEscape = false;
      if (byte === ESC_END) plain = END;
      else if (byte === ESC_ESC) plain = ESC;
      else {
        this.spoilt = true;
        return;
      }
    } else if (byte === ESC) {
      this.inEscape = true;
      return;
    }
    if (this.used === this.body.length) this.spoilt = true;
    else this.body[this.used++] = plain;
  }

  private end(): Frame | undefined {
    const { used } = this;
    const spoilt = this.spoilt || this.inEscape;
    this.used = 0;
    this.spoilt = this.inEscape = false;
    if (used === 0 && !spoilt) return undefined; // two ENDs in a row
    const view = new DataView(this.body.buffer);
    const checked = used - tailBytes;
    if (
      spoilt || used < headBytes + tailBytes ||
      view.getUint32(checked, true) !== crc32(this.body, checked)
    ) {
      this.droppedCount++;
      return undefined;
    }
    return {
      type: view.getUint8(0),
      session: view.getUint16(1, true),
      sequence: view.getUint16(3, true),
      payload: this.body.slice(headBytes, checked),
    };
  }
}

const crcTable = Uint32Array.from({ length: 256 }, (_, index) => {
  let crc = index;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? 0xedb88320 ^ (crc >>> 1) : crc >>> 1;
  return crc >>> 0;
});

/** CRC-32 as in Ethernet and zip, over the first `length` bytes. */
export function crc32(bytes: Uint8Array, length: number): number {
  let crc = 0xffff_ffff;
  for (let i = 0; i < length; i++) {
    crc = (crcTable[(crc ^ (bytes[i] ?? 0)) & 255] ?? 0) ^ (crc >>> 8);
  }
  return ~crc >>> 0;
}
