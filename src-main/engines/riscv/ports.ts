/**
 * What the machine wants from the world. Engines see ports, never files or sockets; whoever starts
 * the machine gives real ones. All sizes in bytes, sectors of 512 bytes.
 */
export interface BlockPort {
  readonly sectorCount: number;
  readonly readOnly: boolean;
  /** The places are filled in turn; whole sectors in all. */
  read(sector: number, into: readonly Uint8Array[]): void;
  /** Must not keep the arrays. */
  write(sector: number, from: readonly Uint8Array[]): void;
  flush(): Promise<void> | void;
  discard(sector: number, count: number): void;
  /** No other thread works for the disk meanwhile. @throws when it is closed. */
  alone<Result>(work: () => Result): Result;
}

export interface ConsolePort {
  write(bytes: Uint8Array): void;
  /** True while no more should be written: a serial line then is busy, a virtio port loses. */
  readonly full?: boolean;
  onInput(listener: (bytes: Uint8Array) => void): void;
}

export interface FramePort {
  readonly mac: Uint8Array;
  /** Must not keep the array. */
  send(frame: Uint8Array): void;
  onFrame(listener: (frame: Uint8Array) => void): void;
}

/** The guest's side of a connection, for what a program of the host does. */
export interface GuestStream {
  /** The program has taken the connection that the guest asked for. */
  accept(): void;
  /** False when it is to wait for `resume` before it sends more. The array is kept. */
  write(bytes: Uint8Array): boolean;
  /** It sends no more. */
  end(): void;
  /** It is gone; whatever it has sent before its `end` still reaches the guest. */
  close(): void;
}

/** The host's side of a connection, for what the guest does. */
export interface HostStream {
  /** Where it is to say what the program does; nothing is lost before. */
  join(guest: GuestStream): void;
  /** The guest has taken the connection that the program asked for; it stands on this port. */
  accepted(hostPort: number): void;
  /** `passed` is called when the bytes have left us, or never will. */
  write(bytes: Uint8Array, passed: () => void): void;
  /** The guest sends no more. */
  end(): void;
  resume(): void;
  /** The connection is over; what was written before still reaches the program. */
  close(): void;
}

/** Stream sockets between programs of the guest and of the host. */
export interface SocketPort {
  /** The guest asks for a port of the host; null when that is refused at once. */
  connect(hostPort: number, guestPort: number): HostStream | null;
  /** A program of the host asks for a port of the guest; null likewise. One listener. */
  onConnect(listener: (guestPort: number, host: HostStream) => GuestStream | null): void;
}

export interface MemoryPort {
  /**
   * Gives a range of the machine's memory back to the host, as far as whole pages of the host are
   * in it. It then reads as zeros, or as before. The range is inside the memory.
   */
  discard(offset: number, length: number): void;
}

export interface Clock {
  /** Ticks of 100 ns since the machine's power-on: monotonic, the same in every thread. */
  ticks(): number;
  /** Wall-clock milliseconds since 1970. */
  wallMs(): number;
}

export interface Random {
  fill(into: Uint8Array): void;
}

/** What a guest is told of a file, as stat(2) has it. */
export interface FileStat {
  /** Type and permissions, Linux's bits. */
  readonly mode: number;
  readonly inode: bigint;
  readonly links: bigint;
  readonly size: bigint;
  readonly blocks: bigint;
  readonly owned: boolean;
  readonly accessNs: bigint;
  readonly modifyNs: bigint;
  readonly changeNs: bigint;
}

export type FileTime = number | 'now';

export interface FileChanges {
  mode?: number;
  size?: number;
  /** Seconds since 1970, or the present time; one that is absent stays. */
  times?: { access?: FileTime; modify?: FileTime };
}

/** One file of a shared folder, of any kind. It stays the same file when its name changes. */
export interface FolderNode {
  stat(): FileStat;
  /** `name` is one component. The folder itself is its own parent. */
  child(name: string): FolderNode;
  readonly parent: FolderNode;
  /** Names by which it was reached from the folder; they may be another file's by now. */
  names(): string[];
  readLink(): string;
  change(changes: FileChanges): void;
  /** Names in this directory, without itself and its parent. */
  list(): string[];
  open(how: { write: boolean; read: boolean; truncate: boolean }): FolderFile;
  create(name: string, how: { write: boolean; read: boolean; mode: number }): FolderFile;
  makeDirectory(name: string, mode: number): void;
  makeLink(name: string, target: string): void;
  makeHardLink(name: string, to: FolderNode): void;
  remove(name: string, directory: boolean): void;
  rename(name: string, into: FolderNode, newName: string): void;
  /** Nodes are counted: each that was handed out is released once. */
  retain(): FolderNode;
  release(): void;
}

export interface FolderFile {
  read(offset: number, length: number): Uint8Array;
  write(offset: number, bytes: Uint8Array): number;
  flush(): void;
  close(): void;
}

/** A folder of the host. All of it throws `FileError`, and never reaches outside the folder. */
export interface FolderPort {
  readonly readOnly: boolean;
  root(): FolderNode;
  /** Sizes in bytes. */
  space(): { blockBytes: number; total: bigint; free: bigint; files: bigint; filesFree: bigint };
}

/** An error that the guest is told by its Linux number. */
export class FileError extends Error {
  readonly errno: number;

  constructor(errno: number, said: string) {
    super(said);
    this.errno = errno;
  }
}
