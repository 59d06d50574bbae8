/**
 * A 9P2000.L server for one shared folder (the protocol of Linux's `mount -t 9p -o
 * version=9p2000.L`; diod's protocol.md describes it). Every request is answered at once.
 *
 *   const server = new NinePServer(folder);
 *   const reply = server.answer(request, roomBytes);
 *
 * Must hold: a guest's numbers are looked up, never used; a name is one component and never `..`;
 * what cannot be understood is answered with an error, whatever its bytes.
 */
import { FileError } from '../../ports.ts';
import type { FolderFile, FolderNode, FolderPort } from '../../ports.ts';
import { damaged, recordOf, wholeOf } from '../../saved.ts';
import type { Saved } from '../virtio/device.ts';
import { BadMessage, Reader, Writer, headerBytes, type } from './message.ts';
import { changesOf, writeAttributes, writeEntries, writeQid } from './attributes.ts';

/** Linux's numbers. */
export const errno = {
  noEntry: 2, io: 5, badFid: 9, access: 13, exists: 17, notDirectory: 20, invalid: 22, fids: 24,
  readOnly: 30, nameTooLong: 36, notSupported: 95, protocol: 71,
} as const; // prettier-ignore

const fidsMax = 4096;
const walkMax = 16;
export const messageBytesMax = 1 << 17;
const open = { accessMask: 3, writeOnly: 1, readWrite: 2, truncate: 0o1000 } as const;

interface Fid {
  node: FolderNode;
  file?: FolderFile;
  /** How it is open. */
  flags: number;
  /** A directory that is being read. */
  names?: string[];
}

type Answer = (server: NinePServer, from: Reader, to: Writer) => void;

export class NinePServer {
  private readonly folder: FolderPort;
  private readonly fids = new Map<number, Fid>();
  private messageBytes = messageBytesMax;
  /** Of the reply that is being made. */
  private room = messageBytesMax;

  constructor(folder: FolderPort) {
    this.folder = folder;
  }

  /** The reply to one request, which may not be longer than `room`. */
  answer(request: Uint8Array, room: number): Uint8Array {
    let tag = 0xffff;
    let failure: number = errno.protocol;
    try {
      const from = new Reader(request);
      const size = from.u32();
      const kind = from.u8();
      tag = from.u16();
      if (size > request.length) throw new BadMessage('longer than what came');
      const act = answers[kind];
      if (!act) throw new FileError(errno.notSupported, 'no such request');
      if (changing.has(kind) && this.folder.readOnly) throw readOnly();
      this.room = Math.min(room, this.messageBytes);
      const to = new Writer();
      act(this, from, to);
      if (to.length <= room) return to.done(kind + 1, tag);
    } catch (thrown) {
      if (thrown instanceof FileError) failure = thrown.errno;
      else if (!(thrown instanceof BadMessage)) throw thrown;
    }
    const error = new Writer().u32(failure).done(type.error + 1, tag);
    return error.subarray(0, room);
  }

  /** Lets go of everything; a guest that attaches again begins anew. */
  close(): void {
    for (const fid of this.fids.keys()) this.clunk(fid);
  }

  /** What the guest holds, by names: files are looked up again when it goes on. */
  save(): Saved {
    return [...this.fids].map(([fid, { node, file, flags, names }]) => ({
      fid,
      names: node.names(),
      open: file || names ? flags : null,
    }));
  }

  /** What is no longer there is a fid that the guest has lost. @throws Refusal `bad-input`. */
  restore(saved: unknown): void {
    this.close();
    if (!Array.isArray(saved) || saved.length > fidsMax) throw damaged();
    for (const each of saved) {
      const { fid, names, open: flags } = recordOf(each);
      const number = wholeOf(fid, 0, 0xffff_ffff);
      if (!Array.isArray(names) || this.fids.has(number)) throw damaged();
      try {
        const node = this.find(names.map((name) => component(String(name))));
        this.fids.set(number, { node, flags: 0 });
        if (flags !== null) this.openAgain(this.fid(number), wholeOf(flags, 0, open.accessMask));
      } catch (thrown) {
        if (!(thrown instanceof FileError)) throw thrown;
      }
    }
  }

  private openAgain(fid: Fid, flags: number): void {
    if (isDirectory(fid.node)) fid.names = listing(fid.node);
    else this.openFile(fid, flags);
  }

  private find(names: readonly string[]): FolderNode {
    let node = this.folder.root();
    for (const name of names) {
      const above = node;
      try {
        node = above.child(name);
      } finally {
        above.release();
      }
    }
    return node;
  }

  /** A fid that is known. */
  fid(number: number): Fid {
    const fid = this.fids.get(number);
    if (!fid) throw new FileError(errno.badFid, 'no such fid');
    return fid;
  }

  private put(number: number, node: FolderNode): void {
    try {
      if (this.fids.has(number)) throw new FileError(errno.badFid, 'the fid is in use');
      if (this.fids.size >= fidsMax) throw new FileError(errno.fids, 'too many fids');
    } catch (thrown) {
      node.release();
      throw thrown;
    }
    this.fids.set(number, { node, flags: 0 });
  }

  clunk(number: number): void {
    const { node, file } = this.fid(number);
    this.fids.delete(number);
    file?.close();
    node.release();
  }

  version(from: Reader, to: Writer): void {
    const wanted = from.u32();
    const name = from.text();
    this.close();
    this.messageBytes = Math.max(4096, Math.min(wanted, messageBytesMax));
    to.u32(this.messageBytes).text(name.startsWith('9P2000.L') ? '9P2000.L' : 'unknown');
  }

  attach(from: Reader, to: Writer): void {
    const number = from.u32();
    const node = this.folder.root();
    this.put(number, node);
    writeQid(to, node.stat());
  }

  /** Names one after the other; a new fid stands for the last, if all of them were there. */
  walk(from: Reader, to: Writer): void {
    const start = this.fid(from.u32());
    const number = from.u32();
    const count = from.u16();
    if (count > walkMax) throw new FileError(errno.invalid, 'too many names');
    const names = Array.from({ length: count }, () => from.text());
    const qids = new Writer();
    let node = start.node.retain();
    let walked = 0;
    try {
      for (const name of names) {
        const next = name === '..' ? node.parent.retain() : node.child(component(name));
        node.release();
        node = next;
        writeQid(qids, node.stat());
        walked++;
      }
    } catch (thrown) {
      if (walked === 0 || !(thrown instanceof FileError)) {
        node.release();
        throw thrown;
      }
    }
    if (walked < count) node.release();
    else {
      if (number === this.numberOf(start)) this.clunk(number);
      this.put(number, node);
    }
    to.u16(walked).data(qids.done(0, 0).subarray(headerBytes));
  }

  private numberOf(wanted: Fid): number | undefined {
    for (const [number, fid] of this.fids) if (fid === wanted) return number;
    return undefined;
  }

  lopen(from: Reader, to: Writer): void {
    const fid = this.fid(from.u32());
    const flags = from.u32();
    if (isDirectory(fid.node)) fid.names = listing(fid.node);
    else this.openFile(fid, flags);
    writeQid(to, fid.node.stat());
    to.u32(0);
  }

  private openFile(fid: Fid, flags: number): void {
    const how = { ...accessOf(flags), truncate: (flags & open.truncate) !== 0 };
    if ((how.write || how.truncate) && this.folder.readOnly) throw readOnly();
    const file = fid.node.open(how);
    fid.file?.close();
    fid.file = file;
    fid.flags = flags & open.accessMask;
  }

  create(from: Reader, to: Writer): void {
    const fid = this.fid(from.u32());
    const name = component(from.text());
    const flags = from.u32();
    const file = fid.node.create(name, { ...accessOf(flags), mode: from.u32() });
    const { node } = fid;
    fid.file?.close();
    fid.file = file;
    fid.flags = flags & open.accessMask;
    fid.node = node.child(name);
    node.release();
    writeQid(to, fid.node.stat());
    to.u32(0);
  }

  read(from: Reader, to: Writer): void {
    const { file } = this.fid(from.u32());
    const offset = Number(from.u64());
    const count = Math.min(from.u32(), this.room - headerBytes - 4);
    if (!file || count < 0) throw new FileError(errno.badFid, 'not open');
    const bytes = file.read(offset, count);
    to.u32(bytes.length).data(bytes);
  }

  write(from: Reader, to: Writer): void {
    const { file } = this.fid(from.u32());
    const offset = Number(from.u64());
    const bytes = from.data(from.u32());
    if (!file) throw new FileError(errno.badFid, 'not open');
    to.u32(file.write(offset, bytes));
  }

  readdir(from: Reader, to: Writer): void {
    const { node, names } = this.fid(from.u32());
    const offset = from.u64();
    const count = Math.min(from.u32(), this.room - headerBytes - 4);
    if (!names) throw new FileError(errno.badFid, 'not open');
    const entries = writeEntries(node, names, offset, count);
    to.u32(entries.length).data(entries);
  }

  statfs(from: Reader, to: Writer): void {
    this.fid(from.u32());
    const { blockBytes, total, free, files, filesFree } = this.folder.space();
    to.u32(0x01021997).u32(blockBytes).u64(total).u64(free).u64(free).u64(files).u64(filesFree);
    to.u64(0n).u32(255);
  }
}

function isDirectory(node: FolderNode): boolean {
  return (node.stat().mode & 0o170000) === 0o040000;
}

function listing(node: FolderNode): string[] {
  return ['.', '..', ...node.list()];
}

function accessOf(flags: number): { read: boolean; write: boolean } {
  const access = flags & open.accessMask;
  const write = access === open.writeOnly || access === open.readWrite;
  return { write, read: access !== open.writeOnly };
}

function readOnly(): FileError {
  return new FileError(errno.readOnly, 'the folder is shared for reading');
}

/** One name in a directory: nothing that could lead out of it. */
function component(name: string): string {
  if (name === '' || name === '.' || name === '..' || /[/\0]/.test(name)) {
    throw new FileError(errno.invalid, 'not a name');
  }
  if (name.length > 255) throw new FileError(errno.nameTooLong, 'too long a name');
  return name;
}

/** A new entry of a directory, whose qid is the answer. */
function entry(make: (node: FolderNode, name: string, from: Reader) => void): Answer {
  return (server, from, to) => {
    const { node } = server.fid(from.u32());
    const name = component(from.text());
    make(node, name, from);
    const made = node.child(name);
    try {
      writeQid(to, made.stat());
    } finally {
      made.release();
    }
  };
}

const answers: Record<number, Answer | undefined> = {
  [type.version]: (server, from, to) => server.version(from, to),
  [type.attach]: (server, from, to) => server.attach(from, to),
  [type.flush]: () => {},
  [type.walk]: (server, from, to) => server.walk(from, to),
  [type.clunk]: (server, from) => server.clunk(from.u32()),
  [type.statfs]: (server, from, to) => server.statfs(from, to),
  [type.lopen]: (server, from, to) => server.lopen(from, to),
  [type.lcreate]: (server, from, to) => server.create(from, to),
  [type.read]: (server, from, to) => server.read(from, to),
  [type.write]: (server, from, to) => server.write(from, to),
  [type.readdir]: (server, from, to) => server.readdir(from, to),
  [type.getattr]: (server, from, to) => writeAttributes(to, server.fid(from.u32()).node.stat()),
  [type.setattr]: (server, from) => server.fid(from.u32()).node.change(changesOf(from)),
  [type.readlink]: (server, from, to) => void to.text(server.fid(from.u32()).node.readLink()),
  [type.fsync]: (server, from) => server.fid(from.u32()).file?.flush(),
  // Locks are the guest's own affair: nobody else takes part in them. 0 is success.
  [type.lock]: (_, __, to) => void to.u8(0),
  [type.mkdir]: entry((node, name, from) => node.makeDirectory(name, from.u32())),
  [type.symlink]: entry((node, name, from) => node.makeLink(name, from.text())),
  [type.link]: (server, from) => {
    const { node } = server.fid(from.u32());
    const to = server.fid(from.u32()).node;
    node.makeHardLink(component(from.text()), to);
  },
  [type.renameat]: (server, from) => {
    const { node } = server.fid(from.u32());
    const name = component(from.text());
    node.rename(name, server.fid(from.u32()).node, component(from.text()));
  },
  [type.unlinkat]: (server, from) => {
    const { node } = server.fid(from.u32());
    const name = component(from.text());
    node.remove(name, (from.u32() & 0x200) !== 0); // AT_REMOVEDIR
  },
};

const changing: ReadonlySet<number> = new Set([
  type.lcreate, type.write, type.setattr, type.mkdir, type.symlink, type.link, type.renameat,
  type.unlinkat,
]);
