/**
 * Steps of the set-up, one after another: each says whether it is needed, reports how far it is,
 * and can be interrupted. A step that is done already costs its check and prints nothing.
 */
import { asRefusal } from '../../base/refusal.ts';
import type { Printer } from './print.ts';

/** How far a step is, 0 to 1 or unknown, and one short line of what it does just now. */
export type Report = (fraction: number | undefined, text: string) => void;

export interface Step {
  readonly title: string;
  needed(): Promise<boolean>;
  run(report: Report, signal: AbortSignal): Promise<void>;
  /** Without it nothing can be opened; any other step may fail and the rest goes on. */
  readonly essential?: boolean;
}

export class Interrupted extends Error {
  override readonly name = 'AbortError';
}

/** @throws Interrupted when the signal fires; Refusal when an essential step fails. */
export async function runSteps(
  steps: readonly Step[],
  printer: Printer,
  signal: AbortSignal,
): Promise<void> {
  for (const step of steps) {
    if (signal.aborted) throw new Interrupted();
    if (!(await step.needed())) continue;
    const line = printer.begin(step.title);
    try {
      await step.run((fraction, text) => line.report(fraction, text), signal);
      line.done();
    } catch (thrown) {
      const { message } = asRefusal(thrown);
      line.failed(signal.aborted ? 'interrupted' : message);
      if (signal.aborted) throw new Interrupted();
      if (step.essential) throw thrown;
    }
  }
}
