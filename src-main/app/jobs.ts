/**
 * Everything that takes longer than a blink is a job: it has a title, progress, a log, a cancel
 * and an end, and every client sees the same one. Ended jobs are kept for a while to be read.
 *
 *   const job = jobs.start({ kind: 'image-import', title: 'Import disk.qcow2' }, async (job) => {
 *     job.report(0.5, 'Converting');
 *     return 'debian';            // the outcome: what it made
 *   });
 */
import type { JobView } from '../contract/things.ts';
import { asRefusal, Refusal } from '../base/refusal.ts';

const endedKept = 50;
const logLinesMax = 2000;

export interface JobHandle {
  readonly id: string;
  readonly signal: AbortSignal;
  /** `fraction` from 0 to 1, or undefined while it cannot be known. */
  report(fraction: number | undefined, step: string): void;
  log(line: string): void;
}

type Entry = {
  view: JobView;
  abort: AbortController;
  lines: string[];
  ended: Promise<JobView>;
  announcedMs: number;
};

export class Jobs {
  private readonly entries = new Map<string, Entry>();
  private readonly nowMs: () => number;
  private readonly announce: (job: JobView) => void;
  private lastNumber = 0;

  constructor(nowMs: () => number, announce: (job: JobView) => void) {
    this.nowMs = nowMs;
    this.announce = announce;
  }

  start(
    about: { kind: JobView['kind']; title: string },
    work: (job: JobHandle) => Promise<string | undefined>,
  ): JobView {
    const id = `job-${++this.lastNumber}`;
    const abort = new AbortController();
    const view: JobView = {
      id,
      ...about,
      step: 'Starting',
      state: 'running',
      startedMs: this.nowMs(),
    };
    const entry: Entry = { view, abort, lines: [], ended: undefined as never, announcedMs: 0 };
    this.entries.set(id, entry);
    entry.ended = this.run(entry, work);
    this.forgetOld();
    this.tell(entry);
    return { ...view };
  }

  list(): JobView[] {
    return [...this.entries.values()].map((entry) => ({ ...entry.view }));
  }

  cancel(id: string): void {
    const entry = this.find(id);
    if (entry.view.state !== 'running') {
      throw new Refusal('wrong-state', `“${entry.view.title}” has ended already.`);
    }
    entry.abort.abort();
  }

  wait(id: string): Promise<JobView> {
    return this.find(id).ended;
  }

  log(id: string): string {
    return this.find(id).lines.join('\n');
  }

  get running(): number {
    return [...this.entries.values()].filter((entry) => entry.view.state === 'running').length;
  }

  /** For the end of the server: cancels what runs and waits until it has cleaned up. */
  async stopAll(): Promise<void> {
    const running = [...this.entries.values()].filter((entry) => entry.view.state === 'running');
    for (const entry of running) entry.abort.abort();
    await Promise.all(running.map((entry) => entry.ended));
  }

  private find(id: string): Entry {
    const entry = this.entries.get(id);
    if (!entry) throw new Refusal('not-found', `There is no job “${id}”.`);
    return entry;
  }

  private async run(
    entry: Entry,
    work: (job: JobHandle) => Promise<string | undefined>,
  ): Promise<JobView> {
    const { view, abort } = entry;
    try {
      const outcome = await work({
        id: view.id,
        signal: abort.signal,
        report: (fraction, step) => this.progress(entry, fraction, step),
        log: (line) => {
          entry.lines.push(line);
          if (entry.lines.length > logLinesMax) entry.lines.shift();
        },
      });
      entry.view = { ...entry.view, state: 'done', fraction: 1, step: 'Done', outcome };
    } catch (thrown) {
      const refusal = asRefusal(thrown);
      const cancelled = abort.signal.aborted || refusal.code === 'cancelled';
      entry.lines.push(refusal.message);
      entry.view = cancelled
        ? { ...entry.view, state: 'cancelled', step: 'Cancelled' }
        : { ...entry.view, state: 'failed', step: 'Failed', error: refusal.message };
    }
    entry.view = { ...entry.view, endedMs: this.nowMs() };
    this.tell(entry);
    return { ...entry.view };
  }

  private progress(entry: Entry, fraction: number | undefined, step: string): void {
    const clamped = fraction === undefined ? undefined : Math.min(1, Math.max(0, fraction));
    const stepChanged = step !== entry.view.step;
    entry.view = { ...entry.view, fraction: clamped, step };
    if (stepChanged) entry.lines.push(step);
    // Ten times a second is as much as anybody can see.
    if (stepChanged || this.nowMs() - entry.announcedMs >= 100) this.tell(entry);
  }

  private tell(entry: Entry): void {
    entry.announcedMs = this.nowMs();
    this.announce({ ...entry.view });
  }

  private forgetOld(): void {
    const ended = [...this.entries].filter(([, entry]) => entry.view.state !== 'running');
    for (const [id] of ended.slice(0, Math.max(0, ended.length - endedKept))) {
      this.entries.delete(id);
    }
  }
}
