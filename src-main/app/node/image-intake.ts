/**
 * Files that somebody hands in, looked into and imported on a thread aside. A compressed file has
 * to be unpacked to see what it is, and the import that follows is not to do that again: `look`
 * keeps what it unpacked, `import` takes it up.
 *
 * Must hold: at most `keptMax` are kept, each for `keptMs` and only while the file is the same;
 * they lie in hidden folders beside the images, which the next start clears, and where an import
 * can become an image by a rename.
 */
import { randomBytes } from 'node:crypto';
import { rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { makeDirectory } from '../../base/node/files.ts';
import type { ImageReport } from '../../contract/things.ts';
import { runAside } from '../../disks/node/aside.ts';
import type { Unpacked } from '../../disks/node/import.ts';
import type { JobHandle, Jobs } from '../jobs.ts';
import { forClients, workFile, type Made } from './image-makers.ts';

const keptMax = 2;
const keptMs = 10 * 60_000;

/** A file of the host, and whether the files it builds on may be read too. */
export interface Handed {
  readonly path: string;
  /** What its owner calls it. */
  readonly title: string;
  readonly withBacking: boolean;
}

type Kept = {
  readonly path: string;
  readonly identity: string;
  readonly directory: string;
  readonly unpacked: Unpacked;
  readonly timer: NodeJS.Timeout;
};

export class ImageIntake {
  private readonly parent: string;
  private readonly jobs: Jobs;
  private kept: Kept[] = [];

  /** @param parent where images are, and hidden folders are nobody's after a start. */
  constructor(parent: string, jobs: Jobs) {
    this.parent = parent;
    this.jobs = jobs;
  }

  /** What a file is. A long look, one that has to unpack, shows as a job and can be cancelled. */
  async look(file: Handed, signal: AbortSignal): Promise<ImageReport> {
    const directory = join(this.parent, `.look-${randomBytes(6).toString('hex')}`);
    const identity = await identityOf(file.path);
    const watch = new LookJob(this.jobs, file.title, signal);
    try {
      await makeDirectory(directory);
      const { path, withBacking } = file;
      const { report, unpacked } = await runAside('look', { path, directory, withBacking }, watch);
      if (unpacked) this.keep({ path, identity, directory, unpacked });
      else await rm(directory, { recursive: true, force: true });
      watch.end();
      return forClients(report);
    } catch (thrown) {
      await rm(directory, { recursive: true, force: true });
      watch.end(thrown);
      throw thrown;
    }
  }

  /** A folder to import the file in, with what is left in it of an earlier look. */
  async folderFor(file: Handed): Promise<{ directory: string; unpacked?: Unpacked }> {
    const identity = await identityOf(file.path);
    const found = this.kept.find((one) => one.path === file.path && one.identity === identity);
    if (found) {
      this.forget(found);
      return { directory: found.directory, unpacked: found.unpacked };
    }
    return { directory: join(this.parent, `.new-${randomBytes(6).toString('hex')}`) };
  }

  async import(
    file: Handed, place: { directory: string; unpacked?: Unpacked }, job: JobHandle,
  ): Promise<Made> {
    const { path, withBacking } = file;
    const { report, rawPath } = await runAside(
      'import',
      { path, withBacking, ...place, name: workFile },
      {
        signal: job.signal,
        onProgress: (done, total, step) => job.report(total ? done / total : undefined, step),
      },
    );
    return { rawPath, report: forClients(report) };
  }

  /** Nothing is kept any longer. */
  async close(): Promise<void> {
    await Promise.all(this.kept.slice().map((one) => this.drop(one)));
  }

  private keep(one: Omit<Kept, 'timer'>): void {
    const timer = setTimeout(() => void this.drop(kept), keptMs).unref();
    const kept: Kept = { ...one, timer };
    const same = this.kept.filter(({ path }) => path === one.path);
    this.kept.push(kept);
    for (const old of [...same, ...this.kept.slice(0, -keptMax)]) void this.drop(old);
  }

  private forget(one: Kept): void {
    clearTimeout(one.timer);
    this.kept = this.kept.filter((other) => other !== one);
  }

  private async drop(one: Kept): Promise<void> {
    this.forget(one);
    await rm(one.directory, { recursive: true, force: true });
  }
}

/** Shows a look as a job from the moment that it begins to unpack. */
class LookJob {
  readonly signal: AbortSignal;
  private readonly abort = new AbortController();
  private readonly jobs: Jobs;
  private readonly title: string;
  private handle?: JobHandle;
  private settle: (thrown?: unknown) => void = () => {};

  constructor(jobs: Jobs, title: string, signal: AbortSignal) {
    this.jobs = jobs;
    this.title = `Look inside ${basename(title)}`;
    this.signal = AbortSignal.any([signal, this.abort.signal]);
  }

  readonly onProgress = (done: number, total: number | undefined, step: string): void => {
    if (!this.handle && /^unpacking/.test(step)) this.begin();
    this.handle?.report(total ? done / total : undefined, step);
  };

  /** A refusal of the file is the answer of the look; only a cancelled one did not end well. */
  end(thrown?: unknown): void {
    this.settle(this.signal.aborted ? thrown : undefined);
  }

  private begin(): void {
    const ended = new Promise<undefined>((resolve, reject) => {
      this.settle = (thrown) => (thrown === undefined ? resolve(undefined) : reject(thrown));
    });
    this.jobs.start({ kind: 'image-look', title: this.title }, (handle) => {
      this.handle = handle;
      handle.signal.addEventListener('abort', () => this.abort.abort(), { once: true });
      return ended;
    });
  }
}

/** Changes when the file does; '' where there is none. */
async function identityOf(path: string): Promise<string> {
  const status = await stat(path).catch(() => undefined);
  if (!status) return '';
  const { dev, ino, size, mtimeMs, ctimeMs } = status;
  return [dev, ino, size, mtimeMs, ctimeMs].join(':');
}
