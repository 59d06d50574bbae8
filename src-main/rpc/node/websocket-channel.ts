/** A `Channel` over a WebSocket of the `ws` library: text is control, binary is a stream's. */
import type { WebSocket } from 'ws';
import type { Channel } from '../wire.ts';

export class WebSocketChannel implements Channel {
  onMessage: (message: string | Uint8Array) => void = () => {};
  onClose: () => void = () => {};
  private readonly socket: WebSocket;

  constructor(socket: WebSocket) {
    this.socket = socket;
    socket.binaryType = 'nodebuffer';
    socket.on('message', (data: Buffer, isBinary) => {
      this.onMessage(isBinary ? data : data.toString('utf8'));
    });
    socket.on('error', () => socket.terminate());
    socket.on('close', () => this.onClose());
  }

  get pendingBytes(): number {
    return this.socket.bufferedAmount;
  }

  send(message: string | Uint8Array): void {
    if (this.socket.readyState === this.socket.OPEN) this.socket.send(message);
  }

  close(): void {
    this.socket.close();
  }
}
