/**
 * The step that brings Debian packages: one dpkg-query to see what is missing, then apt-get as
 * root or through sudo. Where neither may be used, the one exact line to type is printed and the
 * set-up goes on with what the machine has.
 *
 * An interrupted apt-get is let finish what it is unpacking; the lists are fetched only when apt
 * does not know a package or cannot get it.
 */
import { spawn } from 'node:child_process';
import { Refusal } from '../../base/refusal.ts';
import type { DebianPackage } from './packages.ts';
import type { Report, Step } from './steps.ts';

export type Ran = { status: number; output: string };
export type RunOptions = {
  signal?: AbortSignal;
  onLine?: (line: string) => void;
  /** Keep the terminal, so that sudo can ask for a password. */
  attached?: boolean;
};
/** Runs a command to its end; a command that is not there is status 127. */
export type Run = (command: string, given: string[], options?: RunOptions) => Promise<Ran>;

export interface AptWorld {
  readonly run: Run;
  readonly isRoot: boolean;
  readonly isTty: boolean;
  say(sentence: string): void;
}

const lockWaitSeconds = 600;
const outputMax = 200_000;

export function aptStep(packages: readonly DebianPackage[], world: AptWorld): Step {
  let missing: DebianPackage[] = [];
  return {
    title: 'Debian packages',
    needed: async () => {
      missing = await missingOf(packages, world.run);
      return missing.length > 0;
    },
    run: (report, signal) => install(missing, world, report, signal),
  };
}

/** What of these is not installed; nothing on a system without dpkg. */
export async function missingOf(
  packages: readonly DebianPackage[],
  run: Run,
): Promise<DebianPackage[]> {
  const names = packages.flatMap((row) => row.names);
  const asked = ['-W', '-f', '${Package} ${db:Status-Status}\\n', ...names];
  const { status, output } = await run('dpkg-query', asked);
  if (status === 127) return [];
  const there = new Set<string>();
  for (const line of output.split('\n')) {
    const [name, state] = line.split(' ');
    if (name && state === 'installed') there.add(name);
  }
  return packages.filter((row) => !row.names.some((name) => there.has(name)));
}

async function install(
  missing: readonly DebianPackage[],
  world: AptWorld,
  report: Report,
  signal: AbortSignal,
): Promise<void> {
  const prefix = await rights(world);
  if (prefix === undefined) {
    const names = missing.map((row) => row.names[0]).join(' ');
    throw new Refusal('denied', `Needs root. Type: sudo apt-get install -y ${names}`);
  }
  const apt = (...words: string[]) => {
    const [command, ...given] = [...prefix, 'env', 'DEBIAN_FRONTEND=noninteractive', ...words];
    const attached = prefix[0] === 'sudo' && prefix[1] !== '-n';
    return world.run(command!, given, { signal, attached, onLine: (l) => tell(l, report) });
  };
  const update = () => apt('apt-get', ...aptOptions, 'update');
  let known = await knownTo(missing, world.run);
  if (known.unknown.length > 0) {
    report(undefined, 'reading the lists of packages');
    await update();
    known = await knownTo(missing, world.run);
  }
  for (const { names, reason } of known.unknown) {
    world.say(`  This release has no package ${names.join(' or ')} (${reason}).`);
  }
  if (known.names.length === 0) return;
  const bring = () =>
    apt('apt-get', ...aptOptions, 'install', '-y', '--no-install-recommends', ...known.names);
  let ended = await bring();
  if (ended.status !== 0 && !signal.aborted) {
    // Old lists, or a dpkg that somebody interrupted: mend both, then once more.
    await apt('dpkg', '--configure', '-a');
    await update();
    ended = await bring();
  }
  signal.throwIfAborted();
  if (ended.status !== 0) {
    const why = /^E: .*/m.exec(ended.output)?.[0].slice(3) ?? 'apt-get failed.';
    throw new Refusal('unavailable', `${why} Type: apt-get install -y ${known.names.join(' ')}`);
  }
}

const aptOptions = [
  '-o',
  `DPkg::Lock::Timeout=${lockWaitSeconds}`,
  '-o',
  'Dpkg::Use-Pty=0',
  '-o',
  'APT::Status-Fd=1',
];

/** The words before a command that needs root; undefined where there is no way. */
async function rights({ run, isRoot, isTty }: AptWorld): Promise<string[] | undefined> {
  if (isRoot) return [];
  const { status } = await run('sudo', ['-n', 'true']);
  if (status === 0) return ['sudo', '-n'];
  return isTty && status !== 127 ? ['sudo'] : undefined;
}

/** Picks for each row the name this release has. */
async function knownTo(rows: readonly DebianPackage[], run: Run) {
  const { output } = await run('apt-cache', ['policy', ...rows.flatMap((row) => row.names)]);
  const have = new Set<string>();
  for (const [, name, candidate] of output.matchAll(/^(\S+):\n +\S[^\n]*\n +[^:\n]+: (\S+)/gm)) {
    if (candidate !== '(none)') have.add(name!);
  }
  const chosen = rows.map((row) => row.names.find((name) => have.has(name)));
  return {
    names: chosen.filter((name) => name !== undefined),
    unknown: rows.filter((_row, index) => chosen[index] === undefined),
  };
}

/** apt's status lines: `dlstatus:1:20.5:Retrieving file` and `pmstatus:gcc:40:Unpacking gcc`. */
function tell(line: string, report: Report): void {
  const found = /^(dl|pm)status:[^:]*:([\d.]+):(.*)$/.exec(line);
  if (!found) return;
  const half = Number(found[2]) / 200;
  report(found[1] === 'dl' ? half : 0.5 + half, found[3]!);
}

/** The real `Run`. */
export const runCommand: Run = (command, given, { signal, onLine, attached } = {}) =>
  new Promise((resolve) => {
    const child = spawn(command, given, {
      stdio: [attached ? 'inherit' : 'ignore', 'pipe', attached ? 'inherit' : 'pipe'],
      // Its own group: a Ctrl-C of the terminal must not tear a dpkg in the middle.
      detached: !attached,
      env: { ...process.env, LC_ALL: 'C.UTF-8' },
    });
    let output = '';
    let rest = '';
    let unpacking = false;
    const take = (bytes: Buffer) => {
      const lines = (rest + bytes.toString()).split('\n');
      rest = lines.pop()!.slice(0, 4096);
      for (const line of lines) {
        if (line.startsWith('pmstatus:')) unpacking = true;
        if (output.length < outputMax) output += `${line}\n`;
        onLine?.(line);
      }
    };
    const stop = () => {
      if (!unpacking) child.kill('SIGTERM');
    };
    child.stdout?.on('data', take);
    child.stderr?.on('data', take);
    signal?.addEventListener('abort', stop, { once: true });
    const end = (status: number) => {
      signal?.removeEventListener('abort', stop);
      resolve({ status, output: output + rest });
    };
    child.once('error', () => end(127));
    child.once('close', (code) => end(code ?? 1));
  });
