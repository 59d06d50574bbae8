/**
 * What Node has made of our sources once, kept, so that a machine's process begins in half the
 * time. It is filled by a process that runs nothing of a guest (`warm.ts`), in the same compartment
 * as machines, since Node keeps it apart for each user; machines only read it. One that is missing
 * or of other sources costs time, never correctness: Node compares.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { outsideArchive } from '../../../base/node/program.ts';
import { makeDirectory } from '../../../base/node/files.ts';

const warmDelayMs = 3000;
const script = outsideArchive(join(import.meta.dirname, './warm.ts'));

export class CodeCache {
  readonly directory: string;
  private readonly warmed = new Set<boolean>();

  constructor(directory: string) {
    this.directory = directory;
  }

  get environment(): Record<string, string> {
    return { NODE_COMPILE_CACHE: this.directory };
  }

  /** Its folder is there to be bound. */
  async open(): Promise<this> {
    await makeDirectory(this.directory);
    return this;
  }

  /** Fills it once in the life of a server, a moment later. `argvOf` is how to run a script. */
  fillSoon(
    confined: boolean,
    argvOf: (script: string, confined: boolean, cache: CodeCache) => readonly string[],
  ): void {
    if (this.warmed.has(confined)) return;
    this.warmed.add(confined);
    setTimeout(() => this.fill(argvOf(script, confined, this)), warmDelayMs).unref();
  }

  private fill([path, ...line]: readonly string[]): void {
    const env = this.environment;
    // The fourth is where bubblewrap tells its number, and it ends where it cannot.
    const child = spawn(path!, line, { env, stdio: ['ignore', 'ignore', 'ignore', 'pipe'] });
    (child.stdio[3] as Readable | null)?.resume();
    child.on('error', () => {});
    child.unref();
  }
}
