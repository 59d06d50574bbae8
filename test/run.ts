/**
 * Runs the rings of tests, each file in a process of its own:
 *
 *   node test/run.ts [ring…] [part of a path…]     all rings when none is named
 *
 * One line a file, failures in full at the end, skips with their reason; the last line is always
 * `N passed, N failed, N skipped`. A failure, or a ring that ran nothing, makes the exit code 1.
 */
import { run } from 'node:test';
import { existsSync, globSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, styleText } from 'node:util';
import { foldEvents, type Outcome } from './fold.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

type Ring = {
  name: string;
  globs: readonly string[];
  /** Files at once. Rings that measure or fill the machine run one by one. */
  filesAtOnce: number;
  /** The longest one test may take before it counts as hung. */
  timeoutMs: number;
};

const minuteMs = 60_000;

const rings: readonly Ring[] = [
  { name: 'tidy', globs: ['test/tidy/**/*.test.ts'], filesAtOnce: 2, timeoutMs: 5 * minuteMs },
  {
    name: 'unit',
    globs: [
      'test/src-main/**/*.test.ts',
      'test/src-renderer/**/*.test.ts',
      'test/packaging/**/*.test.ts',
      'test/support/**/*.test.ts',
    ],
    filesAtOnce: 2,
    timeoutMs: 5 * minuteMs,
  },
  {
    name: 'contract',
    globs: ['test/contract/**/*.test.ts'],
    filesAtOnce: 2,
    timeoutMs: 5 * minuteMs,
  },
  { name: 'guest', globs: ['test/guest/**/*.test.ts'], filesAtOnce: 1, timeoutMs: 30 * minuteMs },
  { name: 'e2e', globs: ['test/e2e/*.test.ts'], filesAtOnce: 1, timeoutMs: 15 * minuteMs },
];

// Colours are for whoever reads this, not for the tests' own output.
const colours = process.stdout.isTTY && !process.env.NO_COLOR;
process.env.NO_COLOR = '1';

const stop = new AbortController();
process.once('SIGINT', () => stop.abort());
process.once('SIGTERM', () => stop.abort());

const { positionals } = parseArgs({ allowPositionals: true });
const named = rings.filter((ring) => positionals.includes(ring.name));
const parts = positionals.filter((word) => !rings.some((ring) => ring.name === word));
const chosen = named.length > 0 ? named : rings;

const total: Outcome = { passed: 0, failures: [], skips: [] };
const empty: string[] = [];

for (const ring of chosen) {
  if (stop.signal.aborted) break;
  const files = filesOf(ring);
  if (files.length === 0) {
    // With part of a path given, the other rings are rightly empty.
    if (parts.length === 0) empty.push(ring.name);
    continue;
  }
  await runRing(ring, files);
}
if (parts.length > 0 && total.passed + total.failures.length === 0) empty.push(parts.join(' '));

conclude();

function filesOf(ring: Ring): string[] {
  return ring.globs
    .flatMap((glob) => globSync(glob, { cwd: root }))
    .filter((path) => parts.length === 0 || parts.some((part) => path.includes(part)))
    .sort();
}

async function runRing(ring: Ring, files: string[]): Promise<void> {
  const began = performance.now();
  print(paint('bold', `${ring.name}  ${files.length} ${files.length === 1 ? 'file' : 'files'}`));
  const stream = run({
    cwd: root,
    files: files.map((path) => join(root, path)),
    concurrency: ring.filesAtOnce,
    isolation: 'process',
    timeout: ring.timeoutMs,
    signal: stop.signal,
  });
  const outcome = await foldEvents(stream, (file) => {
    const mark = file.failed > 0 ? paint('red', '✗') : paint('green', '✓');
    const skipped = file.skipped > 0 ? `, ${file.skipped} skipped` : '';
    const failed = file.failed > 0 ? `, ${file.failed} failed` : '';
    const name = relative(join(root, 'test'), file.path).replace(/\.test\.ts$/, '');
    print(`  ${mark} ${name}  ${file.passed}${failed}${skipped}  ${seconds(file.durationMs)}`);
  });
  total.passed += outcome.passed;
  total.failures.push(...outcome.failures);
  total.skips.push(...outcome.skips);
  const ran = outcome.passed + outcome.failures.length + outcome.skips.length;
  if (ran === 0) empty.push(ring.name);
  print(paint('dim', `  ${ring.name} took ${seconds(performance.now() - began)}`));
}

function conclude(): never {
  for (const { path, name, text } of total.failures) {
    const where = existsSync(path) ? relative(root, path) : path;
    print(`\n${paint('red', `✗ ${where}: ${name}`)}`);
    print(text.replace(/^/gm, '    '));
  }
  if (total.skips.length > 0) print('');
  for (const { path, name, reason } of total.skips) {
    print(`skipped: ${relative(root, path)}: ${name}: ${reason}`);
  }
  for (const name of empty) print(`\n✗ ${name} ran nothing`);
  if (stop.signal.aborted) print('\n✗ interrupted');
  const failed = total.failures.length + empty.length + (stop.signal.aborted ? 1 : 0);
  print(`\n${total.passed} passed, ${failed} failed, ${total.skips.length} skipped`);
  process.exit(failed > 0 ? 1 : 0);
}

function paint(style: 'bold' | 'dim' | 'red' | 'green', text: string): string {
  return colours ? styleText(style, text, { validateStream: false }) : text;
}

function seconds(durationMs: number): string {
  return `${(durationMs / 1000).toFixed(durationMs < 9950 ? 2 : 0)} s`;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
