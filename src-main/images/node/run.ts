/**
 * Runs one of the host's programs to its end, with a limit on what is kept of its output.
 *
 *   const { stdout } = await run('mke2fs', ['-q', path], { signal })
 *
 * A program that is missing is a Refusal `unavailable` that names the Debian package; one that
 * fails is a Refusal with the last line it said. When the signal fires the program's whole
 * process group is killed and the promise rejects only after it has ended, so that the caller
 * can remove what it left.
 */
import { spawn } from 'node:child_process';
import { Refusal } from '../../base/refusal.ts';

export interface RunOptions {
  signal?: AbortSignal;
  env?: Record<string, string>;
  input?: string;
  directory?: string;
  /** On cancel: SIGTERM first, and SIGKILL only after this time. */
  gentleMs?: number;
  /** Every line the program says, on either stream, as it comes. */
  onLine?: (line: string) => void;
  /** The Debian package that has the program, for the sentence when it is missing. */
  package?: string;
}

export interface RunResult {
  stdout: string;
  stderr: string;
}

const keptCharsMax = 64 * 1024;

export function run(program: string, args: string[], options: RunOptions = {}): Promise<RunResult> {
  if (options.signal?.aborted) return Promise.reject(new Refusal('cancelled', 'Cancelled.'));
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: options.directory,
      env: { ...process.env, PATH: searchPath(), LC_ALL: 'C.UTF-8', ...options.env },
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
    });
    const stdout = collect(child.stdout, options.onLine);
    const stderr = collect(child.stderr, options.onLine);
    let stop: Refusal | undefined;
    let hard: NodeJS.Timeout | undefined;
    const cancel = () => {
      stop = new Refusal('cancelled', 'Cancelled.');
      const { pid } = child;
      if (pid === undefined) return;
      killGroup(pid, options.gentleMs ? 'SIGTERM' : 'SIGKILL');
      if (options.gentleMs) hard = setTimeout(() => killGroup(pid, 'SIGKILL'), options.gentleMs);
    };
    options.signal?.addEventListener('abort', cancel, { once: true });
    child.stdin.on('error', () => {}); // it may end without reading all
    child.stdin.end(options.input ?? '');
    child.on('error', (error: NodeJS.ErrnoException) => {
      options.signal?.removeEventListener('abort', cancel);
      reject(error.code === 'ENOENT' ? missing(program, options.package ?? program) : error);
    });
    child.on('close', (code, by) => {
      clearTimeout(hard);
      options.signal?.removeEventListener('abort', cancel);
      if (stop) reject(stop);
      else if (code === 0) resolve({ stdout: stdout(), stderr: stderr() });
      else reject(failed(program, code ?? by ?? 'unknown', stderr() || stdout()));
    });
  });
}

export function missing(program: string, from: string): Refusal {
  return new Refusal(
    'unavailable',
    `The program "${program}" is missing; install it with: sudo apt-get install ${from}.`,
  );
}

/** mke2fs and debugfs live where an ordinary user's PATH may not look. */
function searchPath(): string {
  return `${process.env['PATH'] ?? '/usr/bin:/bin'}:/usr/local/sbin:/usr/sbin:/sbin`;
}

function killGroup(pid: number, signal: 'SIGTERM' | 'SIGKILL'): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // It has ended already.
  }
}

function failed(program: string, code: number | string, said: string): Refusal {
  const lines = said.split('\n').map((line) => line.trim()).filter((line) => line !== '');
  // Programs of the apt family say what is wrong first and that it was wrong last.
  const last = lines.find((line) => line.startsWith('E: ')) ?? lines.at(-1) ?? 'It said nothing';
  return new Refusal('internal', `${program} ended with ${code}: ${last.replace(/\.*$/, '')}.`);
}

function collect(
  stream: NodeJS.ReadableStream,
  onLine: ((line: string) => void) | undefined,
): () => string {
  let kept = '';
  let line = '';
  stream.setEncoding('utf8');
  stream.on('data', (text: string) => {
    kept = (kept + text).slice(-keptCharsMax);
    if (!onLine) return;
    const lines = (line + text).split(/[\r\n]+/);
    line = (lines.pop() ?? '').slice(-keptCharsMax);
    for (const each of lines) if (each !== '') onLine(each);
  });
  stream.on('end', () => {
    if (onLine && line !== '') onLine(line);
  });
  return () => kept;
}
