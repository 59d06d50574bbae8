/** Which machines can be written to disk as they run, and why the others cannot. */
import { Refusal } from '../../base/refusal.ts';
import { canSave, type SavingMachine } from '../../machine/engine.ts';
import type { Driver } from './driver.ts';

/** @throws Refusal `wrong-state`, or `unsupported` for one whose engine cannot save it. */
export function savingMachine({ name, state, running, spec }: Driver): SavingMachine {
  if (state !== 'running' || !running) {
    throw new Refusal('wrong-state', `“${name}” is ${state}, so it cannot be saved.`);
  }
  if (canSave(running)) return running;
  if (spec?.parent !== undefined && spec.engine === 'portable') {
    throw new Refusal(
      'unsupported',
      `“${name}” is saved with the outermost machine around it; suspend that one.`,
    );
  }
  throw new Refusal(
    'unsupported',
    `“${name}” runs natively; only machines of the portable engine can be saved as they run.`,
  );
}
