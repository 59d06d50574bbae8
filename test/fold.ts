/**
 * Folds the event stream of `node:test` into outcomes: leaf tests counted, failures with their
 * full text, skips with their reason, one report a file as soon as it is done.
 *
 * A suite is no test. A file that ends without having run one is a failure, as is a `todo`.
 */
import { inspect } from 'node:util';

export type Failure = { path: string; name: string; text: string };
export type Skip = { path: string; name: string; reason: string };
export type Outcome = { passed: number; failures: Failure[]; skips: Skip[] };
export type FileReport = {
  path: string;
  passed: number;
  failed: number;
  skipped: number;
  durationMs: number;
};

/** The few fields of node:test's events that are read here. */
export type RunEvent = {
  type: string;
  data: {
    name?: string;
    nesting?: number;
    file?: string;
    entryFile?: string;
    message?: string;
    skip?: string | boolean;
    todo?: string | boolean;
    line?: number;
    duration_ms?: number;
    details?: { type?: string; error?: unknown; duration_ms?: number };
  };
};

type Reading = FileReport & { names: string[]; said: string; reported: boolean };

const saidMax = 20_000;
const textMax = 20_000;

export async function foldEvents(
  events: AsyncIterable<unknown>,
  onFile: (file: FileReport) => void,
): Promise<Outcome> {
  const outcome: Outcome = { passed: 0, failures: [], skips: [] };
  const files = new Map<string, Reading>();
  const report = (file: Reading) => {
    if (file.reported) return;
    file.reported = true;
    for (const failure of outcome.failures) {
      if (failure.path !== file.path || !file.said) continue;
      failure.text += `\nprinted by this file:\n${file.said}`;
      file.said = '';
    }
    onFile(file);
  };
  for await (const event of events as AsyncIterable<RunEvent>) {
    const { type, data } = event;
    const path = data.entryFile ?? data.file;
    if (path === undefined) continue;
    const file = files.get(path) ?? fresh(path);
    files.set(path, file);
    if (type === 'test:stdout' || type === 'test:stderr') {
      if (file.said.length < saidMax) file.said += data.message ?? '';
    } else if (type === 'test:start') {
      file.names.length = data.nesting ?? 0;
      file.names.push(data.name ?? '');
    } else if (type === 'test:pass' || type === 'test:fail') {
      count(outcome, file, event);
    } else if (type === 'test:summary') {
      file.durationMs = data.duration_ms ?? 0;
      report(file);
    }
  }
  for (const file of files.values()) report(file);
  return outcome;
}

function fresh(path: string): Reading {
  const counts = { passed: 0, failed: 0, skipped: 0, durationMs: 0 };
  return { path, ...counts, names: [], said: '', reported: false };
}

function count(outcome: Outcome, file: Reading, { type, data }: RunEvent): void {
  const { path } = file;
  const failed = type === 'test:fail';
  // The names above this one, as opened by `test:start`.
  const above = file.names.slice(0, data.nesting ?? 0);
  const name = data.name === path ? 'the file itself' : [...above, data.name].join(' › ');
  if (data.skip !== undefined && data.skip !== false) {
    if (data.details?.type === 'suite') return;
    file.skipped++;
    const reason = typeof data.skip === 'string' && data.skip ? data.skip : 'no reason given';
    outcome.skips.push({ path, name, reason });
    return;
  }
  const fail = (text: string) => {
    file.failed++;
    outcome.failures.push({ path, name, text: text.slice(0, textMax) });
  };
  if (data.name === path && !failed) {
    file.durationMs = data.details?.duration_ms ?? 0;
    fail('This file ran no test.');
  } else if (data.todo !== undefined && data.todo !== false) {
    fail('A test is marked as yet to be done.');
  } else if (failed) {
    if (onlySubtests(data.details?.error)) return;
    fail(errorText(data.details?.error));
  } else if (data.details?.type !== 'suite') {
    file.passed++;
    outcome.passed++;
  }
}

/** A parent that fails because a child did says nothing new. */
function onlySubtests(error: unknown): boolean {
  return (error as { failureType?: string } | undefined)?.failureType === 'subtestsFailed';
}

function errorText(error: unknown): string {
  const { cause, exitCode, signal } = (error ?? {}) as Record<string, unknown>;
  const inner = cause ?? error;
  const ended = exitCode || signal ? `The process ended with ${exitCode ?? signal}.\n` : '';
  if (inner instanceof Error) {
    const stack = (inner.stack ?? inner.message)
      .split('\n')
      .filter((line) => !line.includes('node:internal/'))
      .join('\n');
    return ended + (stack.includes(inner.message) ? stack : `${inner.message}\n${stack}`);
  }
  return ended + (typeof inner === 'string' ? inner : inspect(inner, { depth: 4 }));
}
