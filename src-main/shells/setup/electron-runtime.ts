/**
 * Electron's runtime is no part of its npm package: its installer fetches it. The set-up tries
 * that once for each version, gives up when nothing arrives for a while, and remembers having
 * tried, so that a machine that cannot reach it starts just as fast the next time.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Refusal } from '../../base/refusal.ts';
import { filesUnder } from './sources.ts';
import type { Step } from './steps.ts';

export interface Patience {
  /** Longest time without a byte more. */
  readonly silenceMs: number;
  readonly wholeMs: number;
}

const patience: Patience = { silenceMs: 20_000, wholeMs: 900_000 };

/** The program of the runtime in this folder of the electron package, if it is whole. */
export function electronProgram(electron: string): string | undefined {
  try {
    const name = readFileSync(join(electron, 'path.txt'), 'utf8');
    const program = join(electron, 'dist', name);
    return existsSync(program) ? program : undefined;
  } catch {
    return undefined;
  }
}

/** @param electron the folder of the npm package; it may be missing. */
export function electronStep(electron: string, bounds = patience): Step {
  const tried = join(electron, '.nymph-tried');
  return {
    title: 'Electron’s runtime',
    needed: async () =>
      existsSync(join(electron, 'install.js')) && !existsSync(tried) && !electronProgram(electron),
    run: async (report, signal) => {
      const scratch = join(electron, '.nymph-fetch');
      rmSync(scratch, { recursive: true, force: true });
      mkdirSync(scratch);
      try {
        await fetchRuntime(electron, scratch, bounds, report, signal);
      } finally {
        rmSync(scratch, { recursive: true, force: true });
        const half = join(electron, 'dist');
        if (!electronProgram(electron)) rmSync(half, { recursive: true, force: true });
      }
      if (electronProgram(electron)) return;
      writeFileSync(tried, 'Remove this file to try again.\n');
      throw new Refusal('unavailable', 'It cannot be fetched here; the window will be Chromium’s.');
    },
  };
}

async function fetchRuntime(
  electron: string,
  scratch: string,
  bounds: Patience,
  report: Parameters<Step['run']>[0],
  signal: AbortSignal,
): Promise<void> {
  const child = spawn(process.execPath, [join(electron, 'install.js')], {
    cwd: electron,
    stdio: 'ignore',
    env: { ...process.env, TMPDIR: scratch, electron_config_cache: join(scratch, 'cache') },
  });
  const began = performance.now();
  let grewMs = began;
  let bytes = 0;
  const watch = setInterval(() => {
    const now = performance.now();
    const have = sizeOf([scratch, join(electron, 'dist')]);
    if (have > bytes) grewMs = now;
    bytes = have;
    report(undefined, `${(bytes / 1e6).toFixed(0)} MB`);
    if (now - grewMs > bounds.silenceMs || now - began > bounds.wholeMs) child.kill('SIGKILL');
  }, 250);
  const stop = () => child.kill('SIGKILL');
  signal.addEventListener('abort', stop, { once: true });
  await new Promise((resolve) => child.once('close', resolve).once('error', resolve));
  clearInterval(watch);
  signal.removeEventListener('abort', stop);
  signal.throwIfAborted();
}

function sizeOf(folders: string[]): number {
  let bytes = 0;
  for (const file of filesUnder(folders)) {
    bytes += statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  }
  return bytes;
}
