/**
 * One builder at a time, on this machine, whoever starts it: a lock file that names its holder by
 * pid and start time and, while one runs, the process group that works for it.
 *
 * Use: `const lock = await acquireLock(path, sentence)`, `lock.setGroup(pid)`, `lock.release()`.
 * A lock whose holder is gone is taken over, and what still works for the dead holder is ended
 * first, so that two compilers never write one tree.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { link, rename, rm, writeFile } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { identify, isSameProcess, type ProcessIdentity } from '../../base/node/process.ts';
import { Refusal } from '../../base/refusal.ts';
import { signalGroup } from './run.ts';

export type BuildLock = {
  setGroup(pid: number | undefined): void;
  release(): Promise<void>;
};

type Holder = { token: string; holder: ProcessIdentity; group?: ProcessIdentity };

const attemptsMax = 5;
const endAttemptsMax = 100;

/** @throws Refusal `in-use` with the given sentence when a living process holds it. */
export async function acquireLock(path: string, sentence: string): Promise<BuildLock> {
  const token = randomBytes(8).toString('hex');
  const mine: Holder = { token, holder: identify(process.pid) as ProcessIdentity };
  const temporary = `${path}.${token}`;
  await writeFile(temporary, JSON.stringify(mine), { mode: 0o600 });
  try {
    for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
      if (await tryLink(temporary, path)) return makeLock(path, mine);
      const other = readHolder(path);
      if (other !== undefined && isSameProcess(other.holder)) throw new Refusal('in-use', sentence);
      if (other?.group !== undefined) await endGroup(other.group);
      await moveAside(path, other, `${temporary}.old`);
    }
    throw new Refusal('in-use', sentence);
  } finally {
    await rm(temporary, { force: true });
    await rm(`${temporary}.old`, { force: true });
  }
}

function makeLock(path: string, mine: Holder): BuildLock {
  return {
    setGroup(pid) {
      const group = pid === undefined ? undefined : identify(pid);
      // By rename: whoever looks must find a whole lock at every moment.
      const fresh = `${path}.${mine.token}`;
      writeFileSync(fresh, JSON.stringify({ ...mine, group }), { mode: 0o600 });
      renameSync(fresh, path);
    },
    async release() {
      if (readHolder(path)?.token === mine.token) await rm(path, { force: true });
    },
  };
}

async function tryLink(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw thrown;
  }
}

/** Takes a dead lock away; if another builder was quicker and we took his, puts it back. */
async function moveAside(path: string, judged: Holder | undefined, aside: string): Promise<void> {
  try {
    await rename(path, aside);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw thrown;
  }
  const taken = readHolder(aside);
  if (taken !== undefined && taken.token !== judged?.token) await tryLink(aside, path);
}

function readHolder(path: string): Holder | undefined {
  try {
    const value = JSON.parse(readFileSync(path, 'utf8')) as Partial<Holder>;
    return typeof value.holder?.pid === 'number' ? (value as Holder) : undefined;
  } catch {
    return undefined;
  }
}

async function endGroup(group: ProcessIdentity): Promise<void> {
  for (let attempt = 0; attempt < endAttemptsMax && isSameProcess(group); attempt += 1) {
    signalGroup(group.pid, attempt < 50 ? 'SIGTERM' : 'SIGKILL');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
