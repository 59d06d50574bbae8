/** A RISC-V boot image as small as one can be and still say what it is. */
export function imageWith(text: string): Uint8Array {
  const bytes = new Uint8Array(4096);
  new DataView(bytes.buffer).setUint32(56, 0x05435352, true);
  bytes.set(new TextEncoder().encode(text), 1024);
  return bytes;
}

export const imageBanner = 'Linux version 7.3.4-nymph (nymph@nymph) (gcc) #1 SMP PREEMPT Thu\n';
