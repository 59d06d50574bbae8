/**
 * A `Channel` over Electron's MessagePortMain: one for each window, control as strings and the
 * bytes of streams as typed arrays, both in order. And the joint of two channels, for when the
 * server of this home is another process.
 */
import type { Channel } from '../../rpc/wire.ts';

/** The part of MessagePortMain that is used, so that tests need no Electron. */
export interface Port {
  postMessage(message: unknown): void;
  on(event: 'message', listener: (event: { data: unknown }) => void): unknown;
  on(event: 'close', listener: () => void): unknown;
  start(): void;
  close(): void;
}

export function portChannel(port: Port): Channel {
  let open = true;
  const channel: Channel = {
    // A port tells nothing of what it holds; the credit of streams bounds it.
    pendingBytes: 0,
    onMessage: () => {},
    onClose: () => {},
    send: (message) => {
      if (open) port.postMessage(message);
    },
    close: () => {
      if (open) port.close();
      open = false;
    },
  };
  port.on('message', ({ data }) => {
    if (typeof data === 'string' || data instanceof Uint8Array) channel.onMessage(data);
    // Whatever else a page may post is no message of ours: it broke the protocol.
    else channel.close();
  });
  port.on('close', () => {
    open = false;
    channel.onClose();
  });
  port.start();
  return channel;
}

/** Passes everything between two channels until either closes, then closes the other. */
export function join(one: Channel, other: Channel): void {
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const) {
    from.onMessage = (message) => to.send(message);
    from.onClose = () => to.close();
  }
}
