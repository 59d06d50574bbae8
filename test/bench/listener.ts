/**
 * Hears what the programs under `guest/` say on a console and takes the time: by the host's clock,
 * when the word that a row begins or ends arrives, so that no guest's own clock counts; or, where
 * the guest's clock is the host's, by what they say, as words may come late and together.
 *
 *   const listener = new Listener({ cpuMs });
 *   …listener.hear(text) until it is true
 *   listener.runs.get('fork')       // each of its runs
 */
export interface Run {
  ms: number;
  /**
   * What it took of processors: unlike the time, other work on the host does not change it, and
   * unlike the time, it does not tell waiting nor what harts do side by side.
   */
  cpuMs: number;
  /** What the row answered, the same on every machine. */
  answer: string;
}

/** By row, and `boot`: from the beginning to the first word of the first program. */
export type Runs = Map<string, Run[]>;

export class Listener {
  readonly runs: Runs = new Map();
  /** All rows have run. */
  isDone = false;
  private line = '';
  private began: { ms: number; cpuMs: number };
  private readonly cpuMs: (() => number) | undefined;

  /** Without `cpuMs` both times are what the programs say. */
  constructor({ cpuMs }: { cpuMs?: () => number }) {
    this.cpuMs = cpuMs;
    this.began = this.now();
  }

  /** True when the guest has nothing more to say. */
  hear(text: string): boolean {
    const lines = (this.line + text).split(/\r?\n/);
    this.line = lines.pop()!.slice(-1000);
    const now = this.now();
    let isOver = false;
    for (const line of lines) {
      // The kernel may write before it, on the same line.
      const [, verb, row = 'boot', answer = '', cpuUs, us] =
        /@(\w+)(?: (\S+))?(?: (\S+) (\d+) (\d+))?/.exec(line) ?? [];
      if (verb === 'begin') this.began = now;
      if (verb === 'ready' || verb === 'end') {
        const took = this.cpuMs === undefined
          ? { ms: Number(us ?? NaN) / 1000, cpuMs: Number(cpuUs ?? NaN) / 1000 }
          : { ms: now.ms - this.began.ms, cpuMs: now.cpuMs - this.began.cpuMs };
        this.runs.set(row, [...(this.runs.get(row) ?? []), { ...took, answer }]);
      }
      if (verb === 'done') this.isDone = true;
      isOver ||= verb === 'done' || verb === 'failed';
    }
    return isOver;
  }

  private now(): { ms: number; cpuMs: number } {
    return { ms: performance.now(), cpuMs: this.cpuMs?.() ?? 0 };
  }
}
