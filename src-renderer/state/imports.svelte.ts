/**
 * From a dropped file to a running machine. One file at a time is on the sheet, others wait; what
 * was begun goes on when the sheet is closed.
 *
 *   sending → inspecting → found → working → (machine started, sheet gone)
 *        └──────────┴─────────┴────────┴→ refused, with the sentence
 */
import type { ImageReport } from '@contract/things.ts';
import type { MachineView } from '@contract/machine.ts';
import { refused } from '../client/connect.ts';
import { grantFor } from '../client/upload.ts';
import type { Link } from './link.svelte.ts';
import type { Machines } from './machines.svelte.ts';
import { imageName } from './names.ts';

export type Wish = {
  name: string;
  memoryMib: number;
  cpus: number;
  network: string;
  then: 'start' | 'create' | 'keep';
};

const waitingMax = 16;

export class Import {
  /** The file's name as the user knows it. */
  readonly title: string;
  /** Absent when the app already holds a grant. */
  readonly file: File | undefined;
  step = $state<'sending' | 'inspecting' | 'found' | 'working' | 'refused'>('sending');
  fraction = $state(0);
  report = $state.raw<ImageReport | undefined>();
  sentence = $state('');
  jobId = $state('');
  grant: string;
  readonly abort = new AbortController();

  constructor(title: string, file: File | undefined, grant = '') {
    this.title = title;
    this.file = file;
    this.grant = grant;
  }
}

export class Imports {
  current = $state.raw<Import | undefined>();
  private waiting: Import[] = [];
  private readonly link: Link;
  private readonly machines: Machines;

  constructor(link: Link, machines: Machines) {
    this.link = link;
    this.machines = machines;
  }

  take(files: readonly File[]): void {
    this.queue(files.map((file) => new Import(file.name, file)));
  }

  takeOpened({ grant, title }: { grant: string; title: string }): void {
    this.queue([new Import(title, undefined, grant)]);
  }

  /** Leaves the sheet; a file still on its way is dropped, a job goes on in the tray. */
  dismiss(): void {
    const { current } = this;
    if (current && current.step !== 'working') current.abort.abort();
    this.current = undefined;
    this.next();
  }

  async create(item: Import, wish: Wish): Promise<void> {
    item.step = 'working';
    try {
      const machine = await this.make(item, wish);
      if (this.current === item) this.dismiss();
      if (!machine) return;
      if (wish.then === 'start') this.machines.launch(machine.id);
      else this.link.toasts.show('good', `${machine.name} is ready.`);
    } catch (thrown) {
      const refusal = refused(thrown);
      if (this.current !== item) return this.link.refuse(refusal);
      item.sentence = refusal.sentence;
      item.step = refusal.code === 'cancelled' ? 'found' : 'refused';
    }
  }

  private async make(item: Import, wish: Wish): Promise<MachineView | undefined> {
    const job = await this.link.call('image.import', {
      source: { grant: item.grant },
      name: imageName(item.title),
    });
    item.jobId = job.id;
    const ended = await this.link.call('job.wait', { job: job.id });
    if (ended.state === 'cancelled') throw Object.assign(new Error(''), { code: 'cancelled' });
    if (ended.state !== 'done' || !ended.outcome) {
      throw new Error(ended.error ?? 'The image could not be imported.');
    }
    if (wish.then === 'keep') return undefined;
    return await this.link.call('machine.create', {
      name: wish.name,
      image: ended.outcome,
      memoryMib: wish.memoryMib,
      cpus: wish.cpus,
      networks: wish.network ? [wish.network] : [],
      ...(item.report?.engine === 'portable' ? { engine: 'portable' as const } : {}),
    });
  }

  private queue(items: readonly Import[]): void {
    this.waiting = [...this.waiting, ...items].slice(0, waitingMax);
    if (!this.current) this.next();
  }

  private next(): void {
    const item = this.waiting.shift();
    if (!item) return;
    this.current = item;
    void this.look(item);
  }

  private async look(item: Import): Promise<void> {
    try {
      if (item.file) {
        const progress = (fraction: number) => (item.fraction = fraction);
        item.grant = await grantFor(item.file, progress, item.abort.signal);
      }
      item.step = 'inspecting';
      item.report = await this.link.call('image.inspect', { source: { grant: item.grant } });
      item.step = item.report.engine === 'none' ? 'refused' : 'found';
      item.sentence = item.report.sentence;
    } catch (thrown) {
      if (item.abort.signal.aborted) return;
      item.sentence = refused(thrown).sentence;
      item.step = 'refused';
    }
  }
}
