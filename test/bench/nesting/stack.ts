/**
 * What the table compares: machines in one another, each of a depth started inside the one of the
 * depth before. Each module beside this one that is named after a peer makes one.
 *
 *   await stack.start(1), await stack.start(2), …
 *   const runs = await stack.run(2, 'rows=fork repeats=8');   // ROW → runs
 *   await stack.close();
 */
import { Listener, type Runs } from '../listener.ts';

export interface Stack {
  readonly depthMax: number;
  /** The process that the outermost is; it has started. */
  readonly pid: number;
  /** Milliseconds from asking for its start until its agent answers. */
  start(depth: number): Promise<number>;
  run(depth: number, line: string): Promise<Runs>;
  /** Leaves no process and no file behind. */
  close(): Promise<void>;
}

/** What there is for a machine of a depth, from 1 on, in any stack. */
export const machines = [
  { name: 'one', memoryMib: 768 },
  { name: 'two', memoryMib: 384 },
  { name: 'three', memoryMib: 160 },
] as const;

/** The program runs on its disk, which has to be mounted first. */
export function workScript(disk: string, line: string): string[] {
  return ['/bin/sh', '-c', `mount -r ${disk} /mnt 2>/dev/null; exec /mnt/work ${line}`];
}

/** `exec` runs the command to its end; `where` is the machine that it runs in. */
export async function runsOf(
  where: string, line: string, exec: (hear: (output: Uint8Array) => void) => Promise<unknown>,
): Promise<Runs> {
  const listener = new Listener({});
  await exec((output) => void listener.hear(Buffer.from(output).toString('latin1')));
  if (!listener.isDone) throw new Error(`${line} did not end in “${where}”`);
  return listener.runs;
}
