/**
 * Files handed in by a client that cannot name paths: a browser sends the bytes, the desktop shell
 * registers a path it got from a drop. Both get an opaque grant; only the grant crosses the wire.
 */
import { randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { basename, isAbsolute, join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Refusal } from '../../base/refusal.ts';
import { freeBytes, makeDirectory, spaceRefusal } from '../../base/node/files.ts';
import type { Paths } from './paths.ts';

const grantsMax = 64;
/** Left free on the disk that takes uploads. */
export const uploadFloorBytes = 256 << 20;

type Grant = { path: string; title: string; owned: boolean };

export class Uploads {
  private readonly paths: Paths;
  private readonly host: { freeBytes(path: string): Promise<number> };
  private readonly grants = new Map<string, Grant>();

  constructor(paths: Paths, host = { freeBytes }) {
    this.paths = paths;
    this.host = host;
  }

  /** What an earlier server left is nobody's any more. */
  async open(): Promise<void> {
    await makeDirectory(this.paths.uploads);
    for (const name of await readdir(this.paths.uploads)) {
      await rm(join(this.paths.uploads, name), { force: true });
    }
  }

  async receive(title: string, lengthBytes: number | undefined, body: Readable): Promise<string> {
    const free = (await this.host.freeBytes(this.paths.uploads)) - uploadFloorBytes;
    const room = new Room(title, free);
    if (lengthBytes !== undefined) room.mustHold(lengthBytes);
    const id = randomBytes(12).toString('hex');
    const path = join(this.paths.uploads, id);
    try {
      const file = createWriteStream(path, { flags: 'wx', mode: 0o600 });
      await pipeline(body, (parts: AsyncIterable<Buffer>) => room.through(parts), file);
    } catch (thrown) {
      await rm(path, { force: true });
      throw spaceRefusal(thrown, title);
    }
    this.remember(id, { path, title, owned: true });
    return id;
  }

  /** A path that the desktop shell itself got from a drop. */
  grantPath(path: string): string {
    const id = randomBytes(12).toString('hex');
    this.remember(id, { path, title: basename(path), owned: false });
    return id;
  }

  /**
   * `done` deletes an uploaded file; a file of the user's own is never touched. `alone` tells that
   * nothing lies beside it, because its bytes were sent.
   */
  resolve(source: { path: string } | { grant: string }, trusted: boolean) {
    if ('path' in source) {
      if (!trusted) {
        throw new Refusal(
          'denied',
          'A browser cannot name files of this host; drop the file instead.',
        );
      }
      if (!isAbsolute(source.path)) throw new Refusal('usage', 'Name the file by its full path.');
      return { path: source.path, title: basename(source.path), alone: false, done: () => {} };
    }
    const grant = this.grants.get(source.grant);
    if (!grant) throw new Refusal('not-found', 'That file is no longer here; drop it again.');
    return {
      path: grant.path,
      title: grant.title,
      alone: grant.owned,
      done: () => {
        this.grants.delete(source.grant);
        if (grant.owned) void rm(grant.path, { force: true });
      },
    };
  }

  private remember(id: string, grant: Grant): void {
    this.grants.set(id, grant);
    if (this.grants.size <= grantsMax) return;
    const [oldest, old] = this.grants.entries().next().value!;
    this.grants.delete(oldest);
    if (old.owned) void rm(old.path, { force: true });
  }
}

/** What a file may take; one whose length is not told beforehand is counted as it comes. */
class Room {
  private readonly title: string;
  private readonly bytes: number;

  constructor(title: string, bytes: number) {
    this.title = title;
    this.bytes = bytes;
  }

  mustHold(bytes: number): void {
    if (bytes <= this.bytes) return;
    throw new Refusal('no-space', `There is not enough space on this host for “${this.title}”.`);
  }

  async *through(parts: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    let taken = 0;
    for await (const part of parts) {
      taken += part.length;
      this.mustHold(taken);
      yield part;
    }
  }
}
