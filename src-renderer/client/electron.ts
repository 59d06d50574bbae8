/**
 * The Electron way: the preload's `window.nymph` posts a MessagePort to this window, and that is
 * the channel. Control goes as strings, stream bytes as typed arrays; both keep their order.
 */
import type { Channel } from '@rpc/wire.ts';

/** What the preload exposes. The optional ones are missing in older shells. */
export interface Bridge {
  /** Asks for a port, which arrives as a `message` event with one port. */
  connect(): void;
  /** The grant by which the server may open a file that was dropped or chosen. */
  pathFor(file: File): string | Promise<string>;
  /** Opens a console in a window of its own. */
  popOut?(route: string): void;
  /** Opens an address in the user's browser, after asking in its own way. */
  openLink?(address: string): void;
  /** Called when the user wants to quit and machines are still running. */
  onQuit?(listener: () => void): void;
  /** Called when a file was opened with the app, by the system or a second start. */
  onOpen?(listener: (file: { grant: string; title: string }) => void): void;
}

declare global {
  interface Window {
    nymph?: Bridge;
  }
}

const answerTimeoutMs = 10_000;

export function electronBridge(): Bridge | undefined {
  return window.nymph;
}

export function openPort(bridge: Bridge): Promise<Channel> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      window.removeEventListener('message', take);
      reject(new Error('The app did not answer.'));
    }, answerTimeoutMs);
    function take(event: MessageEvent): void {
      const port = event.ports[0];
      if (event.source !== window || !port) return;
      clearTimeout(timer);
      window.removeEventListener('message', take);
      resolve(portChannel(port));
    }
    window.addEventListener('message', take);
    bridge.connect();
  });
}

/** A channel over any MessagePort. */
export function portChannel(port: MessagePort): Channel {
  const channel: Channel = {
    pendingBytes: 0,
    onMessage: () => {},
    onClose: () => {},
    send: (message) => port.postMessage(message),
    close: () => port.close(),
  };
  port.onmessage = ({ data }: MessageEvent<unknown>) => {
    if (typeof data === 'string' || data instanceof Uint8Array) channel.onMessage(data);
    else if (data instanceof ArrayBuffer) channel.onMessage(new Uint8Array(data));
  };
  port.addEventListener('close', () => channel.onClose());
  port.start();
  return channel;
}
