/**
 * The runner tells the truth: what `node:test` says is folded into the right counts.
 */
import { suite, test } from 'node:test';
import assert from 'node:assert/strict';
import { foldEvents, type FileReport, type RunEvent } from '../fold.ts';

const file = '/t/a.test.ts';

async function fold(...events: RunEvent[]) {
  async function* stream() {
    for (const { type, data } of events) yield { type, data: { file, ...data } };
  }
  const reports: FileReport[] = [];
  const outcome = await foldEvents(stream(), (report) => reports.push({ ...report }));
  return { outcome, reports };
}

const done = { type: 'test:summary', data: { duration_ms: 5 } };

suite('the runner', () => {
  test('counts leaves, not suites', async () => {
    const { outcome, reports } = await fold(
      { type: 'test:start', data: { name: 's', nesting: 0 } },
      { type: 'test:pass', data: { name: 'one', nesting: 1, details: { type: 'test' } } },
      { type: 'test:pass', data: { name: 's', nesting: 0, details: { type: 'suite' } } },
      done,
    );
    assert.equal(outcome.passed, 1);
    assert.equal(reports[0]!.passed, 1);
    assert.equal(reports[0]!.durationMs, 5);
  });

  test('names a failure by its suites and keeps what the file printed', async () => {
    const error = { failureType: 'testCodeFailure', cause: new Error('boom') };
    const { outcome } = await fold(
      { type: 'test:start', data: { name: 's', nesting: 0 } },
      { type: 'test:start', data: { name: 'one', nesting: 1 } },
      { type: 'test:stdout', data: { message: 'heard\n' } },
      { type: 'test:fail', data: { name: 'one', nesting: 1, details: { type: 'test', error } } },
      {
        type: 'test:fail',
        data: { name: 's', nesting: 0, details: { error: { failureType: 'subtestsFailed' } } },
      },
      done,
    );
    assert.equal(outcome.failures.length, 1);
    assert.equal(outcome.failures[0]!.name, 's › one');
    assert.match(outcome.failures[0]!.text, /boom[^]*heard/);
  });

  test('keeps the reason of a skip', async () => {
    const { outcome } = await fold(
      { type: 'test:pass', data: { name: 'x', nesting: 0, skip: 'no runtime here' } },
      done,
    );
    assert.deepEqual(outcome.skips, [{ path: file, name: 'x', reason: 'no runtime here' }]);
    assert.equal(outcome.passed, 0);
  });

  test('takes a file without a test, and a test yet to be done, for failures', async () => {
    const empty = await fold({ type: 'test:pass', data: { name: file, nesting: 0 } }, done);
    assert.equal(empty.outcome.failures.length, 1);
    const later = await fold({ type: 'test:pass', data: { name: 'x', nesting: 0, todo: true } });
    assert.equal(later.outcome.failures.length, 1);
  });
});
