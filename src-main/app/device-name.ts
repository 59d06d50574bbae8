/** What a guest calls its disks: ubd on User Mode Linux, virtio elsewhere. */
import type { EngineName } from '../contract/machine.ts';

export function deviceName(engine: EngineName, index: number): string {
  const letter = String.fromCharCode('a'.charCodeAt(0) + index);
  return engine === 'native' ? `ubd${letter}` : `vd${letter}`;
}
