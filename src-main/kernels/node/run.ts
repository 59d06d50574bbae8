/**
 * Runs the host's programs for a build: output goes line by line to a callback and to a log, a
 * cancel ends the whole process group, and what fails is told with its last lines.
 *
 * Use: `runProgram(argv, options)`. When the promise settles, no process of the group is left.
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { Refusal } from '../../base/refusal.ts';

export type RunOptions = {
  cwd?: string;
  env?: Record<string, string>;
  signal?: AbortSignal;
  /** Every line of standard output and standard error, as they come. */
  onLine?: (line: string) => void;
  /** Told the process group as soon as there is one, and undefined when it is gone. */
  onGroup?: (pid: number | undefined) => void;
  /** Exit codes that are no failure, beside 0. */
  accept?: readonly number[];
};

const outputMax = 4 << 20;
const killAfterMs = 5000;
const buryAttemptsMax = 200;

/** Standard output, up to 4 MiB. @throws Refusal `unavailable`, `cancelled`, `internal`. */
export async function runProgram(argv: readonly string[], options: RunOptions): Promise<string> {
  if (options.signal?.aborted) throw new Refusal('cancelled', 'Cancelled.');
  const [program = '', ...rest] = argv;
  const child = spawn(program, rest, {
    cwd: options.cwd,
    env: options.env ?? programEnvironment(),
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const end = (name: NodeJS.Signals) => child.pid !== undefined && signalGroup(child.pid, name);
  let force: NodeJS.Timeout | undefined;
  const cancel = () => {
    end('SIGTERM');
    force = setTimeout(() => end('SIGKILL'), killAfterMs);
  };
  options.signal?.addEventListener('abort', cancel, { once: true });
  const last: string[] = [];
  let output = '';
  const readLines = (stream: NodeJS.ReadableStream, keep: boolean) =>
    createInterface({ input: stream, crlfDelay: Infinity }).on('line', (line) => {
      if (keep && output.length < outputMax) output += `${line}\n`;
      last.push(line);
      if (last.length > 20) last.shift();
      options.onLine?.(line);
    });
  readLines(child.stdout, true);
  readLines(child.stderr, false);
  try {
    options.onGroup?.(child.pid);
    const code = await new Promise<number>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (exit, name) => resolve(exit ?? (name ? 128 : 1)));
    });
    if (options.signal?.aborted) throw new Refusal('cancelled', 'Cancelled.');
    if (code !== 0 && !(options.accept ?? []).includes(code)) throw failure(program, code, last);
    return output;
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'ENOENT') throw thrown;
    throw new Refusal('unavailable', `The program ${program} is not installed.`);
  } finally {
    clearTimeout(force);
    options.signal?.removeEventListener('abort', cancel);
    await buryGroup(child.pid);
    options.onGroup?.(undefined);
  }
}

/** To every process of a group; false when there is none any more. */
export function signalGroup(pid: number, name: NodeJS.Signals): boolean {
  try {
    process.kill(-pid, name);
    return true;
  } catch {
    return false;
  }
}

/** Grandchildren may still be on their way out when the program itself has gone. */
async function buryGroup(pid: number | undefined): Promise<void> {
  for (let attempt = 0; attempt < buryAttemptsMax; attempt += 1) {
    if (pid === undefined || !signalGroup(pid, 'SIGKILL')) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Where things are, the way out to the network, and whom to trust there. */
const environmentKept = [
  'PATH', 'HOME', 'TMPDIR', 'http_proxy', 'https_proxy', 'no_proxy',
  'NODE_EXTRA_CA_CERTS', 'SSL_CERT_FILE', 'SSL_CERT_DIR',
]; // prettier-ignore

/** Only what programs need: a builder's own variables must not change the build. */
export function programEnvironment(more: Record<string, string> = {}): Record<string, string> {
  const kept = environmentKept.flatMap((name): [string, string][] => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value]];
  });
  return { ...Object.fromEntries(kept), LC_ALL: 'C.UTF-8', ...more };
}

function failure(program: string, code: number, last: readonly string[]): Refusal {
  const telling = last.filter((line) => /error|^E:|\*\*\*|fatal/i.test(line));
  const line = (telling.at(-1) ?? last.at(-1) ?? '').trim().slice(0, 300);
  const what = line === '' ? 'and said nothing' : `and said: ${line.replace(/\.$/, '')}`;
  if (/no space left/i.test(last.join('\n'))) {
    return new Refusal('no-space', `There is no space left; ${program} stopped.`);
  }
  return new Refusal('internal', `The program ${program} failed with code ${code} ${what}.`);
}
