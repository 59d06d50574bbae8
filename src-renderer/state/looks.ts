/** How a machine's state is shown everywhere: a shape, a tone and a word. Shape alone suffices. */
import type { MachineState } from '@contract/machine.ts';

export const looks = {
  off: { shape: 'ring', tone: 'off', word: 'Off' },
  starting: { shape: 'arc', tone: 'moving', word: 'Starting' },
  running: { shape: 'disc', tone: 'running', word: 'Running' },
  paused: { shape: 'bars', tone: 'paused', word: 'Paused' },
  stopping: { shape: 'half', tone: 'moving', word: 'Stopping' },
  suspended: { shape: 'moon', tone: 'suspended', word: 'Suspended' },
  crashed: { shape: 'alert', tone: 'crashed', word: 'Crashed' },
} as const satisfies Record<MachineState, { shape: string; tone: string; word: string }>;
