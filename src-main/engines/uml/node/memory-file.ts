/** What the host holds for a native guest's memory: the file that the kernel maps as its RAM. */
import { readdirSync, readlinkSync, statSync } from 'node:fs';

/** The descriptor of the file that is the guest's memory, unlinked when it was made. */
export function findMemoryFd(pid: number): number | undefined {
  try {
    for (const fd of readdirSync(`/proc/${pid}/fd`)) {
      const target = readlinkSync(`/proc/${pid}/fd/${fd}`);
      if (/\/(vm_file-\w+|#\d+) \(deleted\)$/.test(target)) return Number(fd);
    }
  } catch {
    // Gone, or not ours to look into.
  }
  return undefined;
}

/** What the host really holds for the guest's memory: the blocks of that file, in bytes. */
export function memoryHostBytes(pid: number, memoryFd: number): number {
  try {
    return statSync(`/proc/${pid}/fd/${memoryFd}`).blocks * 512;
  } catch {
    return 0;
  }
}
