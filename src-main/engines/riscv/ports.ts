/**
 * What the machine wants from the world. Engines see ports, never files or sockets; whoever starts
 * the machine gives real ones. All sizes in bytes, sectors of 512 bytes.
 */
export interface BlockPort {
  readonly sectorCount: number;
  readonly readOnly: boolean;
  read(sector: number, into: Uint8Array): Promise<void> | void;
  write(sector: number, from: Uint8Array): Promise<void> | void;
  flush(): Promise<void> | void;
  discard(sector: number, count: number): Promise<void> | void;
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
