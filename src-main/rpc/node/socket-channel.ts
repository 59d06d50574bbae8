/**
 * A `Channel` over a byte stream such as a unix socket: each message is a 32-bit big-endian length,
 * one byte that says whether it is text (0) or bytes (1), and the content.
 */
import type { Socket } from 'node:net';
import type { Channel } from '../wire.ts';

const headerBytes = 5;
const messageBytesMax = 32 << 20;

export class SocketChannel implements Channel {
  onMessage: (message: string | Uint8Array) => void = () => {};
  onClose: () => void = () => {};
  private readonly socket: Socket;
  private parts: Buffer[] = [];
  private heldBytes = 0;
  /** How much must be held before there is anything to do. */
  private neededBytes = headerBytes;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (bytes) => this.take(bytes));
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.onClose());
  }

  get pendingBytes(): number {
    return this.socket.writableLength;
  }

  send(message: string | Uint8Array): void {
    if (this.socket.destroyed) return;
    const isText = typeof message === 'string';
    const content = isText ? Buffer.from(message) : message;
    const header = Buffer.alloc(headerBytes);
    header.writeUInt32BE(content.length, 0);
    header[4] = isText ? 0 : 1;
    this.socket.cork();
    this.socket.write(header);
    this.socket.write(content);
    this.socket.uncork();
  }

  close(): void {
    this.socket.end();
  }

  private take(bytes: Buffer): void {
    if (this.socket.destroyed) return;
    this.parts.push(bytes);
    this.heldBytes += bytes.length;
    while (this.heldBytes >= this.neededBytes) {
      const whole = this.parts.length === 1 ? this.parts[0]! : Buffer.concat(this.parts);
      this.parts = [whole];
      const length = whole.readUInt32BE(0);
      if (length > messageBytesMax) {
        this.socket.destroy();
        return;
      }
      // Only joined again when it is whole, or a long message would be copied once for each part.
      this.neededBytes = headerBytes + length;
      if (whole.length < this.neededBytes) return;
      this.neededBytes = headerBytes;
      const content = whole.subarray(headerBytes, headerBytes + length);
      const rest = whole.subarray(headerBytes + length);
      this.parts = rest.length > 0 ? [rest] : [];
      this.heldBytes = rest.length;
      this.onMessage(whole[4] === 0 ? content.toString('utf8') : content);
    }
  }
}
