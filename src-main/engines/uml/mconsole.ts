/**
 * The management console of a User Mode Linux kernel, as it goes over its AF_UNIX datagram
 * socket (arch/um/drivers/mconsole.h), in the host's byte order, which is little-endian on x86-64.
 *
 *   request  u32 magic, u32 version 2, u32 length, data[512]
 *   reply    u32 error, u32 more, u32 length, data[512]
 */
import { Refusal } from '../../base/refusal.ts';
import { assert } from '../../base/assert.ts';

const magic = 0xcafebabe;
const version = 2;
const dataLengthMax = 512;

export type MconsoleReply = {
  readonly failed: boolean;
  readonly more: boolean;
  readonly text: string;
};

export function encodeRequest(command: string): Uint8Array {
  const data = new TextEncoder().encode(command);
  assert(data.length < dataLengthMax, 'an mconsole command is shorter than 512 bytes');
  const message = new Uint8Array(12 + dataLengthMax);
  const view = new DataView(message.buffer);
  view.setUint32(0, magic, true);
  view.setUint32(4, version, true);
  view.setUint32(8, data.length, true);
  message.set(data, 12);
  return message;
}

/** @throws Refusal `bad-input`: the kernel is as little to be trusted as its guest. */
export function decodeReply(message: Uint8Array): MconsoleReply {
  if (message.length < 12)
    throw new Refusal('bad-input', 'The kernel answered with too few bytes.');
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  const length = view.getUint32(8, true);
  if (length > message.length - 12) {
    throw new Refusal('bad-input', 'The kernel answered with a wrong length.');
  }
  const bytes = message.subarray(12, 12 + length);
  const end = bytes.indexOf(0);
  return {
    failed: view.getUint32(0, true) !== 0,
    more: view.getUint32(4, true) !== 0,
    text: new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end)),
  };
}
