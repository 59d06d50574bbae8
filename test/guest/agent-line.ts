/**
 * For tests: the agent's line over a pair of Node streams: pipes, FIFOs or sockets that carry the
 * bytes of a machine's serial port.
 *
 *   const client = new AgentClient(streamLine(fromGuest, toGuest), { nonce, timers: realTimers });
 *
 * What waits to be written is limited: a guest that does not read its line loses what we say (the
 * agent notices the gap), and our memory does not grow.
 */
import type { Readable, Writable } from 'node:stream';
import type { Line, Timers } from '../../src-main/guest/agent-client.ts';

const waitingBytesMax = 2 * 1024 * 1024;

export function streamLine(fromGuest: Readable, toGuest: Writable): Line {
  // An end of the line shows as silence, which every wait of the client has a limit for.
  fromGuest.on('error', () => {});
  toGuest.on('error', () => {});
  return {
    write(bytes) {
      if (toGuest.writable && toGuest.writableLength <= waitingBytesMax) toGuest.write(bytes);
    },
    onBytes(listener) {
      fromGuest.on('data', listener);
      return () => {
        fromGuest.off('data', listener);
      };
    },
  };
}

export const realTimers: Timers = {
  set: (callback, delayMs) => setTimeout(callback, delayMs),
  clear: (handle) => clearTimeout(handle as NodeJS.Timeout),
};
