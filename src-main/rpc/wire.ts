/**
 * What goes over a channel, whatever carries it (Electron port, WebSocket, unix socket).
 * Control is one JSON text per message; the bytes of streams are binary messages of a four-byte
 * big-endian stream number and the payload, and never touch JSON.
 *
 * Flow control: the receiver of a stream grants credit in bytes; the sender never has more than
 * that under way. So one slow window or one flooding guest cannot fill anybody's memory.
 */
import { z } from 'zod';
import { errorSchema } from '../contract/errors.ts';
import { Refusal } from '../base/refusal.ts';

/** A message-preserving, ordered, two-way pipe. `close` is idempotent. */
export interface Channel {
  send(message: string | Uint8Array): void;
  /** Bytes accepted by `send` and not yet handed to the system; 0 where it cannot be known. */
  readonly pendingBytes: number;
  onMessage: (message: string | Uint8Array) => void;
  onClose: () => void;
  close(): void;
}

/** Longest control message either side accepts, in characters. */
export const controlLengthMax = 8 << 20;
/** Most bytes of one stream under way towards a receiver that has not yet said it took them. */
export const creditBytes = 256 << 10;
/** Most stream payload put into one message. */
export const chunkBytesMax = 64 << 10;

const id = z
  .number()
  .int()
  .min(1)
  .max(2 ** 31);

export const clientMessage = z.union([
  z.strictObject({ id, method: z.string().max(64), params: z.unknown() }),
  z.strictObject({ cancel: id }),
  z.strictObject({
    credit: id,
    bytes: z
      .number()
      .int()
      .min(1)
      .max(1 << 30),
  }),
  z.strictObject({ end: id }),
]);
export type ClientMessage = z.infer<typeof clientMessage>;

export const serverMessage = z.union([
  z.strictObject({ id, result: z.unknown() }),
  z.strictObject({ id, error: errorSchema }),
  z.strictObject({ id, stream: id }),
  z.strictObject({ event: z.string(), payload: z.unknown() }),
  z.strictObject({ credit: id, bytes: z.number().int() }),
]);
export type ServerMessage = z.infer<typeof serverMessage>;

/** Puts the stream number in front of a payload. */
export function packBytes(stream: number, payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const message = new Uint8Array(4 + payload.length);
  new DataView(message.buffer).setUint32(0, stream);
  message.set(payload, 4);
  return message;
}

export function unpackBytes(message: Uint8Array): { stream: number; payload: Uint8Array } {
  if (message.length < 4) throw new Refusal('bad-input', 'A stream message is too short.');
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  return { stream: view.getUint32(0), payload: message.subarray(4) };
}

export function parseControl<T>(schema: z.ZodType<T>, text: string): T {
  if (text.length > controlLengthMax) throw new Refusal('bad-input', 'A message is too long.');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Refusal('bad-input', 'A message is not JSON.');
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw new Refusal('bad-input', 'A message has the wrong form.');
  return parsed.data;
}
