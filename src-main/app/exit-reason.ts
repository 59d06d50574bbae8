/**
 * Why a machine ended, in one sentence, from how its process ended and from its last words.
 */
import type { ExitReport } from '../machine/engine.ts';

export type Ending = { readonly clean: boolean; readonly reason?: string };

/** What we write on a console when its machine starts; words before it are of an earlier boot. */
const startNote = /^── \S+ (started|resumed) ──$/;

export function explainExit(
  report: ExitReport,
  asked: boolean,
  shown: readonly string[],
): Ending {
  const lastLines = shown.slice(shown.findLastIndex((line) => startNote.test(line)) + 1);
  const panic = lastLines
    .map((line) => /Kernel panic - not syncing: (.*)/.exec(line)?.[1])
    .findLast(Boolean);
  if (asked) return { clean: true };
  if (report.reason) return { clean: false, reason: report.reason };
  if (panic) return { clean: false, reason: `The kernel panicked: ${panic.replace(/\.$/, '')}.` };
  if (report.code === 0) return { clean: true };
  if (report.signal === 'SIGKILL') {
    return {
      clean: false,
      reason: 'It was killed from outside Nymph, or the host ran out of memory.',
    };
  }
  if (report.signal) return { clean: false, reason: `The kernel ended with ${report.signal}.` };
  if (report.code !== undefined) {
    const oom = lastLines.some((line) => /out of memory/i.test(line));
    if (oom) return { clean: false, reason: 'The guest ran out of memory.' };
    return { clean: false, reason: `The kernel ended with exit code ${report.code}.` };
  }
  const halted = lastLines
    .slice(-6)
    .some((line) => /reboot: (Power down|System halted)/.test(line));
  if (halted) return { clean: true };
  return { clean: false, reason: 'It ended while no server was watching it.' };
}
