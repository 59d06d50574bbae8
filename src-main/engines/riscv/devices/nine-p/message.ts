/**
 * Messages of 9P2000.L as bytes: size[4] type[1] tag[2], then fields, little-endian; a text is
 * length[2] and UTF-8. What is read comes from a guest: a field beyond the end is `BadMessage`.
 */
export class BadMessage extends Error {}

/** Of a request; its answer has the number after it. */
export const type = {
  error: 6, statfs: 8, lopen: 12, lcreate: 14, symlink: 16, mknod: 18, rename: 20, readlink: 22,
  getattr: 24, setattr: 26, xattrwalk: 30, xattrcreate: 32, readdir: 40, fsync: 50, lock: 52,
  getlock: 54, link: 70, mkdir: 72, renameat: 74, unlinkat: 76, version: 100, auth: 102,
  attach: 104, flush: 108, walk: 110, read: 116, write: 118, clunk: 120, remove: 122,
} as const; // prettier-ignore

export const headerBytes = 7;

export class Reader {
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  private at = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  private take(count: number): number {
    const from = this.at;
    if (count > this.bytes.length - from) throw new BadMessage('a field beyond the end');
    this.at = from + count;
    return from;
  }

  u8(): number {
    return this.view.getUint8(this.take(1));
  }
  u16(): number {
    return this.view.getUint16(this.take(2), true);
  }
  u32(): number {
    return this.view.getUint32(this.take(4), true);
  }
  u64(): bigint {
    return this.view.getBigUint64(this.take(8), true);
  }
  data(count: number): Uint8Array {
    const from = this.take(count);
    return this.bytes.subarray(from, from + count);
  }
  /** @throws BadMessage also for bytes that are no UTF-8. */
  text(): string {
    const bytes = this.data(this.u16());
    try {
      return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    } catch {
      throw new BadMessage('a text that is none');
    }
  }
}

export class Writer {
  private bytes = new Uint8Array(512);
  private view = new DataView(this.bytes.buffer);
  private used = headerBytes;

  get length(): number {
    return this.used;
  }

  private room(count: number): number {
    const from = this.used;
    this.used += count;
    if (this.used > this.bytes.length) {
      const more = new Uint8Array(Math.max(this.used, this.bytes.length * 2));
      more.set(this.bytes);
      this.bytes = more;
      this.view = new DataView(more.buffer);
    }
    return from;
  }

  // `room` may bring another array, so it is asked for before that is named.
  u8(value: number): this {
    const at = this.room(1);
    this.view.setUint8(at, value);
    return this;
  }
  u16(value: number): this {
    const at = this.room(2);
    this.view.setUint16(at, value, true);
    return this;
  }
  u32(value: number): this {
    const at = this.room(4);
    this.view.setUint32(at, value, true);
    return this;
  }
  u64(value: bigint): this {
    const at = this.room(8);
    this.view.setBigUint64(at, BigInt.asUintN(64, value), true);
    return this;
  }
  data(bytes: Uint8Array): this {
    const at = this.room(bytes.length);
    this.bytes.set(bytes, at);
    return this;
  }
  text(text: string): this {
    const bytes = new TextEncoder().encode(text);
    return this.u16(bytes.length).data(bytes);
  }

  /** The whole message. */
  done(kind: number, tag: number): Uint8Array {
    this.view.setUint32(0, this.used, true);
    this.view.setUint8(4, kind);
    this.view.setUint16(5, tag, true);
    return this.bytes.subarray(0, this.used);
  }
}
