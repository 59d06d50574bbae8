/**
 * A folder in dist/ made from sources: built beside its place, then put there by rename, then
 * stamped. Whatever is interrupted leaves either the old folder with its stamp or no stamp.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Report, Step } from './steps.ts';

export interface Made {
  readonly title: string;
  /** Where the folder goes. */
  readonly target: string;
  /** Changes whenever it must be made anew. */
  fingerprint(): string;
  make(folder: string, report: Report, signal: AbortSignal): Promise<void>;
}

export function madeStep(made: Made): Step {
  const { title, target } = made;
  const stamp = `${target}.stamp`;
  let wanted = '';
  return {
    title,
    essential: true,
    needed: async () => {
      wanted = made.fingerprint();
      return read(stamp) !== wanted || read(join(target, '.')) === undefined;
    },
    run: async (report, signal) => {
      const parent = dirname(target);
      mkdirSync(parent, { recursive: true });
      for (const name of readdirSync(parent)) {
        // What an interrupted run has left; two set-ups at once are told apart by their pid.
        if (name.startsWith(`${basename(target)}.making-`) && !alive(name)) {
          rmSync(join(parent, name), { recursive: true, force: true });
        }
      }
      const fresh = `${target}.making-${process.pid}`;
      const old = `${target}.making-${process.pid}.old`;
      try {
        await made.make(fresh, report, signal);
        signal.throwIfAborted();
        rmSync(stamp, { force: true });
        if (read(join(target, '.')) !== undefined) renameSync(target, old);
        renameSync(fresh, target);
        writeFileSync(stamp, wanted);
      } finally {
        rmSync(fresh, { recursive: true, force: true });
        rmSync(old, { recursive: true, force: true });
      }
    },
  };
}

function alive(name: string): boolean {
  const pid = Number(/making-(\d+)/.exec(name)?.[1]);
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** The text of a file, '' for a folder, undefined for what is not there. */
function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code === 'EISDIR' ? '' : undefined;
  }
}
