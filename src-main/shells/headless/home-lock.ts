/**
 * One server for each home, however many are started at once: whoever holds the lock of the
 * home's file is the server, and the file says who that is and where it answers. It lies with the
 * data and not with the sockets, because two logins of one user can have different run folders.
 *
 *   const lock = takeHome(paths);   // throws HomeHeld
 *   lock.release();                 // after the doors are closed
 *
 * The lock is the kernel's (flock) and ends with its holder: nothing stale is ever judged. The
 * note is only believed while its process runs. Where there is no flock (no Linux) the second
 * server is refused by the first one's answer alone.
 */
import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { z } from 'zod';
import { Refusal } from '../../base/refusal.ts';
import { posixAvailable, tryLock } from '../../base/node/posix.ts';
import { identify, isSameProcess } from '../../base/node/process.ts';
import type { Paths } from '../../app/node/paths.ts';

const holderSchema = z.object({
  pid: z.number().int().positive(),
  startTicks: z.number(),
  socket: z.string().min(1).max(4096),
});
export type Holder = z.infer<typeof holderSchema>;

export interface HomeLock {
  release(): void;
}

/** Another server has this home; it may not answer yet. */
export class HomeHeld extends Refusal {
  constructor(holder: Holder | undefined) {
    const who = holder ? ` as process ${holder.pid}` : '';
    super('in-use', `A Nymph server is running already${who}.`);
  }
}

function lockFile(paths: Paths): string {
  return join(paths.data, 'server.lock');
}

/** The data folder must be there. @throws HomeHeld */
export function takeHome(paths: Paths): HomeLock {
  if (!posixAvailable()) return { release: () => {} };
  const fd = openSync(lockFile(paths), 'a+', 0o600);
  let held = false;
  try {
    held = tryLock(fd);
    if (!held) throw new HomeHeld(holderOf(paths));
    const startTicks = identify(process.pid)?.startTicks ?? 0;
    const holder: Holder = { pid: process.pid, startTicks, socket: paths.socket };
    ftruncateSync(fd);
    writeSync(fd, JSON.stringify(holder));
  } catch (thrown) {
    closeSync(fd);
    throw thrown;
  }
  return {
    release: () => {
      if (!held) return;
      held = false;
      // The file stays: were it removed, two could hold the lock of two files of one name.
      ftruncateSync(fd);
      closeSync(fd);
    },
  };
}

/** Who holds this home, as far as its note tells. */
export function holderOf(paths: Paths): Holder | undefined {
  try {
    const holder = holderSchema.parse(JSON.parse(readFileSync(lockFile(paths), 'utf8')));
    return isSameProcess(holder) ? holder : undefined;
  } catch {
    return undefined;
  }
}

/** A connection to the server of this home, wherever it answers; undefined where none does. */
export function connectHome(paths: Paths): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect(holderOf(paths)?.socket ?? paths.socket);
    const failed = () => resolve(undefined);
    socket.once('connect', () => {
      socket.off('error', failed);
      resolve(socket);
    });
    socket.once('error', failed);
  });
}
