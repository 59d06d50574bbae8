/**
 * From a dropped file to a running machine: an image becomes one in two steps, a machine bundle is
 * one. One file at a time is on the sheet, others wait; what was begun goes on when the sheet is
 * closed.
 *
 *   sending → inspecting → found → working → (machine started, sheet gone)
 *        │        ↕ asking: may the file that it builds on be read too?
 *        └────────┴─────────┴────────┴→ refused, with the sentence
 */
import type { ImageReport, JobView } from '@contract/things.ts';
import type { MachineView } from '@contract/machine.ts';
import { refused } from '../client/connect.ts';
import { grantFor } from '../client/upload.ts';
import type { Link } from './link.svelte.ts';
import type { Machines } from './machines.svelte.ts';
import { imageName } from './names.ts';
import type { Images } from './things.svelte.ts';

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
  step = $state<'sending' | 'inspecting' | 'asking' | 'found' | 'working' | 'refused'>('sending');
  fraction = $state(0);
  report = $state.raw<ImageReport | undefined>();
  sentence = $state('');
  jobId = $state('');
  /** The user's consent that the files which this one builds on are read too. */
  withBacking = false;
  grant: string;
  /** The id of the machine onto which it was dropped: what it becomes runs inside that one. */
  readonly inside: string | undefined;
  readonly abort = new AbortController();

  constructor(title: string, file: File | undefined, grant = '', inside?: string) {
    this.title = title;
    this.file = file;
    this.grant = grant;
    this.inside = inside;
  }
}

export class Imports {
  current = $state.raw<Import | undefined>();
  private waiting: Import[] = [];
  private readonly link: Link;
  private readonly machines: Machines;
  private readonly images: Images;

  constructor(link: Link, machines: Machines, images: Images) {
    this.link = link;
    this.machines = machines;
    this.images = images;
  }

  /** @param inside the id of the machine onto which they were dropped. */
  take(files: readonly File[], inside?: string): void {
    this.queue(files.map((file) => new Import(file.name, file, '', inside)));
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

  /** The files beneath may be read: looks again, with them. */
  agree(item: Import): void {
    if (item.step !== 'asking') return;
    item.withBacking = true;
    void this.look(item);
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
    const source = { grant: item.grant };
    if (item.report?.machine) {
      const name = await this.ended(
        item,
        await this.link.call('machine.import', { source, name: wish.name }),
      );
      return await this.link.call('machine.get', { machine: name });
    }
    const image = await this.ended(
      item,
      await this.link.call('image.import', {
        source,
        name: this.images.freeName(imageName(item.title)),
        withBacking: item.withBacking,
      }),
    );
    if (wish.then === 'keep') return undefined;
    return await this.link.call('machine.create', {
      name: wish.name,
      image,
      memoryMib: wish.memoryMib,
      cpus: wish.cpus,
      networks: wish.network ? [wish.network] : [],
      ...(item.report?.engine === 'portable' ? { engine: 'portable' as const } : {}),
      ...(item.inside === undefined ? {} : { inside: item.inside }),
    });
  }

  /** What the job made. */
  private async ended(item: Import, job: JobView): Promise<string> {
    item.jobId = job.id;
    const ended = await this.link.call('job.wait', { job: job.id });
    if (ended.state === 'cancelled') throw Object.assign(new Error(''), { code: 'cancelled' });
    if (ended.state === 'done' && ended.outcome) return ended.outcome;
    throw new Error(ended.error ?? 'The file could not be imported.');
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
    const { abort, file, withBacking } = item;
    try {
      if (file && !item.grant) {
        const progress = (fraction: number) => (item.fraction = fraction);
        item.grant = await grantFor(file, progress, abort.signal);
      }
      item.step = 'inspecting';
      const wanted = { source: { grant: item.grant }, withBacking };
      item.report = await this.link.call('image.inspect', wanted, abort.signal);
      item.sentence = item.report.sentence;
      if (item.report.backing && !withBacking) item.step = 'asking';
      else item.step = item.report.engine === 'none' ? 'refused' : 'found';
    } catch (thrown) {
      if (abort.signal.aborted) return;
      item.sentence = refused(thrown).sentence;
      item.step = 'refused';
    }
  }
}
