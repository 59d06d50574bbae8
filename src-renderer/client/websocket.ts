/**
 * The browser way: a WebSocket to `/ws` of the page's own origin. The cookie that the server set
 * when the page was opened goes along by itself, so no token is ever seen by a script.
 */
import type { Channel } from '@rpc/wire.ts';

export function openWebSocket(): Promise<Channel> {
  const address = new URL('ws', location.href.split(/[?#]/)[0]);
  address.protocol = address.protocol === 'https:' ? 'wss:' : 'ws:';
  const socket = new WebSocket(address);
  socket.binaryType = 'arraybuffer';
  const channel: Channel = {
    get pendingBytes() {
      return socket.bufferedAmount;
    },
    onMessage: () => {},
    onClose: () => {},
    send(message) {
      if (socket.readyState !== WebSocket.OPEN) return;
      socket.send(message as string | Uint8Array<ArrayBuffer>);
    },
    close: () => socket.close(),
  };
  socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
    channel.onMessage(typeof data === 'string' ? data : new Uint8Array(data));
  };
  return new Promise((resolve, reject) => {
    socket.onopen = () => {
      socket.onclose = () => channel.onClose();
      resolve(channel);
    };
    socket.onclose = () => reject(new Error('The server does not answer.'));
  });
}
