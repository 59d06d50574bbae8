/** States, snapshots and clones in the fake backend: only what a window sees of them. */
import type { MachineView } from '../../src-main/contract/machine.ts';
import type { MethodName, Params } from '../../src-main/contract/methods.ts';
import { Refusal } from '../../src-main/base/refusal.ts';
import { machineOf } from './fake-data.ts';

type Some = Extract<
  MethodName,
  | `snapshot.${string}`
  | `machine.${'kill' | 'pause' | 'resume' | 'suspend' | 'clone'}`
>;
type Handlers = { [M in Some]: (params: Params<M>) => unknown };

const realBytes = 31 * 2 ** 20;

export function fakeLife(
  find: (name: string) => MachineView,
  put: (machine: MachineView, changes: Partial<MachineView>) => MachineView,
  add: (machine: MachineView) => MachineView,
): Handlers {
  return {
    'machine.kill': ({ machine }) => put(find(machine), { state: 'off', agent: false }),
    'machine.pause': ({ machine }) => put(find(machine), { state: 'paused' }),
    'machine.resume': ({ machine }) => put(find(machine), { state: 'running' }),
    'machine.suspend': ({ machine }) => {
      const found = find(machine);
      if (found.engine === 'portable') return put(found, { state: 'suspended', agent: false });
      throw new Refusal('unsupported', `“${found.name}” runs natively.`);
    },
    'machine.clone': ({ machine, name }) => {
      const { engine, image, kernel } = find(machine);
      const called = name ?? `${find(machine).name}-2`;
      const some = { name: called, engine, image, kernel, state: 'suspended' as const };
      return add(machineOf(some, Date.now()));
    },
    'snapshot.list': ({ machine }) => find(machine).snapshots,
    'snapshot.create': ({ machine, snapshot }) => {
      const found = find(machine);
      const name = snapshot ?? `snapshot-${found.snapshots.length + 1}`;
      const made = { name, createdMs: Date.now(), memory: found.state !== 'off', realBytes };
      put(found, { snapshots: [made, ...found.snapshots] });
      return made;
    },
    'snapshot.revert': ({ machine, snapshot }) => {
      const found = find(machine);
      const kept = found.snapshots.find(({ name }) => name === snapshot);
      if (!kept?.memory) return put(found, { state: 'off', agent: false });
      return put(found, { state: found.state === 'running' ? 'running' : 'suspended' });
    },
    'snapshot.remove': ({ machine, snapshot }) => {
      const found = find(machine);
      put(found, { snapshots: found.snapshots.filter(({ name }) => name !== snapshot) });
      return null;
    },
  };
}
