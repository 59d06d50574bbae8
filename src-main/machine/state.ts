/**
 * The life of a machine as a pure function: (state, event) → state, or a refusal.
 * `app/node/driver.ts` is the only writer; everybody else reads what it announces.
 *
 *            start                 userland
 *   off ───────────────▶ starting ───────────▶ running ◀──────────┐
 *    ▲ ▲                    │  │                │  │  │           │ resume
 *    │ │      exited, clean │  │ exited, dirty  │  │  └─ pause ─▶ paused
 *    │ └────────────────────┘  │                │  │              │
 *    │                         ▼                │  │ stop         │ exited
 *    │                      crashed ◀───────────┘  ▼              ▼
 *    │                         ▲    exited, dirty stopping ──▶ off | crashed
 *    └── exited, clean ────────┴───────────────────┘   refused: back to running
 * Beside off stands suspended: an exit leads there, and a start from there, while a state is saved.
 */
import type { MachineState } from '../contract/machine.ts';

export type MachineEvent =
  | { type: 'started' }
  | { type: 'userland' }
  | { type: 'paused' }
  | { type: 'resumed' }
  | { type: 'stop-asked' }
  | { type: 'stop-refused' }
  /** `clean`: the guest halted, or we ended it because we were asked to. */
  | { type: 'exited'; clean: boolean; saved?: boolean }
  /** Without a process: its saved state is there, or is there no more. */
  | { type: 'saved-found' }
  | { type: 'discarded' }
  /** Without a process: its disks, and its saved state if there is one, are a snapshot's. */
  | { type: 'reverted'; saved: boolean }
  /** Found alive by a new server. */
  | { type: 'adopted' };

const alive: readonly MachineState[] = ['starting', 'running', 'paused', 'stopping'];

export function isAlive(state: MachineState): boolean {
  return alive.includes(state);
}

/** The next state, or undefined when the event means nothing in this one. */
export function nextState(state: MachineState, event: MachineEvent): MachineState | undefined {
  switch (event.type) {
    case 'started':
      return isAlive(state) ? undefined : 'starting';
    case 'userland':
      return state === 'starting' ? 'running' : undefined;
    case 'paused':
      return state === 'running' ? 'paused' : undefined;
    case 'resumed':
      return state === 'paused' ? 'running' : undefined;
    case 'stop-asked':
      return state === 'starting' || state === 'running' ? 'stopping' : undefined;
    case 'stop-refused':
      return state === 'stopping' ? 'running' : undefined;
    case 'exited':
      if (!isAlive(state)) return undefined;
      return event.saved ? 'suspended' : event.clean ? 'off' : 'crashed';
    case 'saved-found':
      return state === 'off' || state === 'crashed' ? 'suspended' : undefined;
    case 'discarded':
      return state === 'suspended' ? 'off' : undefined;
    case 'reverted':
      if (isAlive(state)) return undefined;
      return event.saved ? 'suspended' : 'off';
    case 'adopted':
      return isAlive(state) ? undefined : 'running';
  }
}
