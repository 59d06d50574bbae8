/**
 * The consoles of one machine and their scrollback on disk: written a second after the last
 * change, whole and atomically, and read back by the next server, so that a terminal opened
 * tomorrow still shows what happened today.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeDirectory, writeFileAtomic } from '../../base/node/files.ts';
import { ConsoleHub } from '../../consoles/console-hub.ts';
import { clock } from './clock.ts';

const writeAfterMs = 1000;

export class ConsoleArchive {
  readonly hubs: ConsoleHub[] = [];
  private readonly directory: () => string;
  private readonly timers = new Map<number, NodeJS.Timeout>();

  /** The folder is asked for each time, since a machine can be renamed. */
  constructor(directory: () => string) {
    this.directory = directory;
  }

  async open(count: number): Promise<void> {
    while (this.hubs.length < count) {
      const index = this.hubs.length;
      const hub = new ConsoleHub(clock);
      const kept = await readFile(this.path(index)).catch(() => undefined);
      if (kept) hub.scrollback.append(kept);
      hub.onChange = () => this.schedule(index);
      this.hubs.push(hub);
    }
  }

  /** Writes what is not written yet. */
  async flush(): Promise<void> {
    const due = [...this.timers.keys()];
    for (const timer of this.timers.values()) clearTimeout(timer);
    this.timers.clear();
    for (const index of due) await this.write(index);
  }

  private schedule(index: number): void {
    if (this.timers.has(index)) return;
    const timer = setTimeout(() => {
      this.timers.delete(index);
      void this.write(index);
    }, writeAfterMs);
    this.timers.set(index, timer.unref());
  }

  private async write(index: number): Promise<void> {
    try {
      await makeDirectory(join(this.directory(), 'logs'));
      await writeFileAtomic(this.path(index), this.hubs[index]!.scrollback.all());
    } catch {
      // A full disk or a machine just deleted: the scrollback in memory is still whole.
    }
  }

  private path(index: number): string {
    return join(this.directory(), 'logs', `console${index}.log`);
  }
}
