/**
 * A packet of virtio-vsock (virtio 1.3, 5.10.6): a header of 44 bytes, little-endian, and data.
 * What is read comes from a guest, so that every field of it may be a lie.
 */
export const op = {
  request: 1, response: 2, reset: 3, shutdown: 4, data: 5, creditUpdate: 6, creditRequest: 7,
} as const; // prettier-ignore

/** Flags of a shutdown: its sender receives, or sends, no more. */
export const shutdown = { receive: 1, send: 2, both: 3 } as const;

export const streamType = 1;
export const hostCid = 2;
/** Each machine has a host of its own to itself, so that all are the same. */
export const guestCid = 3;
export const headerBytes = 44;

export interface Header {
  guestPort: number;
  hostPort: number;
  op: number;
  flags: number;
  /** Room for bytes that its sender has altogether, and how many it has passed on, mod 2^32. */
  room: number;
  passedOn: number;
}

export interface Packet extends Header {
  type: number;
  data: Uint8Array;
}

/** Null for what is not of this guest for its host, or shorter than it says. */
export function readPacket(bytes: Uint8Array): Packet | null {
  if (bytes.length < headerBytes) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const from = view.getBigUint64(0, true);
  const to = view.getBigUint64(8, true);
  const length = view.getUint32(24, true);
  if (from !== BigInt(guestCid) || to !== BigInt(hostCid)) return null;
  if (length > bytes.length - headerBytes) return null;
  return {
    guestPort: view.getUint32(16, true),
    hostPort: view.getUint32(20, true),
    type: view.getUint16(28, true),
    op: view.getUint16(30, true),
    flags: view.getUint32(32, true),
    room: view.getUint32(36, true),
    passedOn: view.getUint32(40, true),
    data: bytes.subarray(headerBytes, headerBytes + length),
  };
}

/** From the host, with room behind the header for so many bytes of data. */
export function writePacket(header: Header, dataBytes = 0): Uint8Array {
  const bytes = new Uint8Array(headerBytes + dataBytes);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(hostCid), true);
  view.setBigUint64(8, BigInt(guestCid), true);
  view.setUint32(16, header.hostPort, true);
  view.setUint32(20, header.guestPort, true);
  view.setUint32(24, dataBytes, true);
  view.setUint16(28, streamType, true);
  view.setUint16(30, header.op, true);
  view.setUint32(32, header.flags, true);
  view.setUint32(36, header.room, true);
  view.setUint32(40, header.passedOn, true);
  return bytes;
}
