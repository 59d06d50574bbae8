/**
 * The one way from the window to the server: `connect()` gives a connected `Client`, over the
 * port that Electron's preload hands us or else over a WebSocket to where the page came from.
 * Nothing else in the window knows which of the two it is.
 */
import { Client } from '@rpc/client.ts';
import { electronBridge, openPort } from './electron.ts';
import { openWebSocket } from './websocket.ts';

export type { Client };
export type { ByteStream } from '@rpc/client.ts';
export type { CallName, Input, Result } from '@contract/methods.ts';

export async function connect(): Promise<Client> {
  const bridge = electronBridge();
  return new Client(bridge ? await openPort(bridge) : await openWebSocket());
}

/** What was thrown, as a refusal: the plain sentence, its code and where in a document it lies. */
export type Refused = {
  code: string;
  sentence: string;
  at?: { line: number; column: number } | undefined;
};

export function refused(thrown: unknown): Refused {
  if (thrown instanceof Error) {
    const { code, at } = thrown as Error & { code?: unknown; at?: Refused['at'] };
    return { code: typeof code === 'string' ? code : 'internal', sentence: thrown.message, at };
  }
  return { code: 'internal', sentence: String(thrown) };
}
