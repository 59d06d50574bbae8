/** Jobs: progress, log, cancel, end; what is kept of them and what is told. */
import { suite, test } from 'node:test';
import assert from 'node:assert/strict';
import { Refusal } from '../../../src-main/base/refusal.ts';
import { Jobs, type JobHandle } from '../../../src-main/app/jobs.ts';
import { jobView, type JobView } from '../../../src-main/contract/things.ts';

const about = { kind: 'image-import', title: 'Import a.qcow2' } as const;

function jobsOf() {
  const clock = { now: 1000 };
  const told: JobView[] = [];
  const jobs = new Jobs(
    () => clock.now,
    (view) => told.push(jobView.parse(view)),
  );
  return { jobs, told, clock };
}

function untilAborted({ signal }: JobHandle): Promise<never> {
  return new Promise((_, reject) =>
    signal.addEventListener('abort', () => reject(new Error('aborted in the middle'))),
  );
}

suite('a job', () => {
  test('starts at once and ends as done, with what it made', async () => {
    const { jobs, told, clock } = jobsOf();
    const { id, state } = jobs.start(about, async () => 'debian');
    assert.equal(state, 'running');
    clock.now = 2000;
    const ended = await jobs.wait(id);
    assert.deepEqual(
      { ...ended, id: 0 },
      {
        id: 0,
        ...about,
        step: 'Done',
        state: 'done',
        fraction: 1,
        outcome: 'debian',
        startedMs: 1000,
        endedMs: 2000,
      },
    );
    assert.deepEqual(
      told.map((view) => view.state),
      ['running', 'done'],
    );
    assert.deepEqual(await jobs.wait(id), ended, 'may be asked again later');
  });

  test('that throws has failed, with the sentence in view and log', async () => {
    const { jobs } = jobsOf();
    const { id } = jobs.start(about, async () => {
      throw new Refusal('bad-input', 'That is no image.');
    });
    const { state, error } = await jobs.wait(id);
    assert.deepEqual({ state, error }, { state: 'failed', error: 'That is no image.' });
    assert.equal(jobs.log(id), 'That is no image.');
  });

  test('that throws before its first wait has failed as well', async () => {
    const { jobs } = jobsOf();
    const { id } = jobs.start(about, () => {
      throw new Error('at once');
    });
    assert.equal((await jobs.wait(id)).state, 'failed');
  });

  test('that is cancelled ends as cancelled, whatever it throws', async () => {
    const { jobs } = jobsOf();
    const { id } = jobs.start(about, untilAborted);
    jobs.cancel(id);
    const { state, error } = await jobs.wait(id);
    assert.deepEqual({ state, error }, { state: 'cancelled', error: undefined });
    assert.throws(() => jobs.cancel(id), { code: 'wrong-state' });
  });

  test('that is not there is not found', async () => {
    const { jobs } = jobsOf();
    for (const ask of [
      () => jobs.cancel('job-9'),
      () => jobs.log('job-9'),
      () => jobs.wait('job-9'),
    ]) {
      assert.throws(ask, { code: 'not-found' });
    }
  });

  test('reports a fraction between 0 and 1, whatever its work computes', async () => {
    const { jobs } = jobsOf();
    let handle: JobHandle | undefined;
    const { id } = jobs.start(about, (job) => {
      handle = job;
      return untilAborted(job);
    });
    const shown = (fraction: number | undefined) => {
      handle!.report(fraction, 'Converting');
      return jobs.list()[0]!.fraction;
    };
    assert.deepEqual([-1, 0.5, 7, undefined].map(shown), [0, 0.5, 1, undefined]);
    jobs.cancel(id);
    await jobs.wait(id);
  });

  test('tells each new step, and of one step no more than ten times a second', async () => {
    const { jobs, told, clock } = jobsOf();
    const { id } = jobs.start(about, async (job) => {
      for (let part = 0; part < 1000; part++) {
        clock.now += 1;
        job.report(part / 1000, 'Converting');
      }
      job.report(undefined, 'Checking');
      return undefined;
    });
    await jobs.wait(id);
    assert.ok(told.length <= 14, `${told.length} announcements`);
    assert.equal(jobs.log(id), 'Converting\nChecking');
  });

  test('keeps the last 2000 lines of its log', async () => {
    const { jobs } = jobsOf();
    const { id } = jobs.start(about, async (job) => {
      for (let line = 0; line < 5000; line++) job.log(`line ${line}`);
      return undefined;
    });
    await jobs.wait(id);
    const lines = jobs.log(id).split('\n');
    assert.deepEqual([lines.length, lines[0], lines.at(-1)], [2000, 'line 3000', 'line 4999']);
  });
});

suite('all jobs', () => {
  test('are kept while they run, and fifty after they ended', async () => {
    const { jobs } = jobsOf();
    const first = jobs.start(about, untilAborted);
    for (let count = 0; count < 80; count++) await jobs.wait(jobs.start(about, async () => '').id);
    assert.equal(jobs.list()[0]!.id, first.id);
    assert.ok(jobs.list().length <= 52, `${jobs.list().length} kept`);
    assert.equal(jobs.running, 1);
    await jobs.stopAll();
  });

  test('are cancelled and waited for at the end', async () => {
    const { jobs } = jobsOf();
    let cleaned = 0;
    for (let count = 0; count < 3; count++) {
      jobs.start(about, async (job) => {
        try {
          return await untilAborted(job);
        } finally {
          cleaned++;
        }
      });
    }
    await jobs.stopAll();
    assert.equal(cleaned, 3);
    assert.equal(jobs.running, 0);
  });

  test('are handed out as copies', () => {
    const { jobs } = jobsOf();
    jobs.start(about, async () => '');
    jobs.list()[0]!.title = 'changed';
    assert.equal(jobs.list()[0]!.title, about.title);
  });
});
