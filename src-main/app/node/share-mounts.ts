/** Shared folders of a machine, mounted in its guest once that is up. */
import { asRefusal, Refusal } from '../../base/refusal.ts';
import type { InGuest, RunningMachine } from '../../machine/engine.ts';
import type { MachineSpec } from '../../machine/spec.ts';

/** A guest that cannot goes on without, and `note` is told. */
export async function mountShares(
  spec: Pick<MachineSpec, 'shares'> | undefined,
  machine: Pick<RunningMachine, 'mountScript'>,
  inGuest: InGuest,
  note: (sentence: string) => void,
): Promise<void> {
  for (const share of spec?.shares ?? []) {
    const code = await inGuest(machine.mountScript(share)).catch(asRefusal);
    if (code === 0) continue;
    const why = code instanceof Refusal ? code.message : 'its kernel cannot do that.';
    note(`The shared folder “${share.tag}” is not mounted: ${why}`);
  }
}
