/**
 * A folder that a running guest may write, used from outside its compartment. The guest can put a
 * link to anywhere in the place of any file and folder in it, at any moment; a path into it would
 * be followed to files of the host that the guest cannot reach.
 *
 * Use: `const folder = await GuestFolder.open(path)`, `await using` it; `folder.make(name)` enters
 * a folder in it, `folder.at(name)` is a path for one call. What must hold: no call that follows a
 * link at the end of its path, or opens what is there to write, gets `at(name)`.
 */
import { constants } from 'node:fs';
import { mkdir, open, readdir, readlink, rmdir, unlink, type FileHandle } from 'node:fs/promises';
import { Refusal } from '../../../base/refusal.ts';

const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = constants;
/** Each level is an open descriptor. */
const depthMax = 64;

export class GuestFolder implements AsyncDisposable {
  private readonly handle: FileHandle;

  private constructor(handle: FileHandle) {
    this.handle = handle;
  }

  /** @throws Refusal `denied` when the path, which has no link of ours in it, leads elsewhere. */
  static async open(path: string): Promise<GuestFolder> {
    const folder = await GuestFolder.enter(path);
    if ((await readlink(folder.self)) === path) return folder;
    await folder[Symbol.asyncDispose]();
    throw meddled();
  }

  /** The name must be one step. Held by its descriptor, so it stays the same folder. */
  at(name: string): string {
    return `${this.self}/${name}`;
  }

  /** Makes it when it is not there. @throws Refusal `denied` when something else has its name. */
  async make(name: string): Promise<GuestFolder> {
    await mkdir(this.at(name), { mode: 0o700 }).catch((thrown: NodeJS.ErrnoException) => {
      if (thrown.code !== 'EEXIST') throw thrown;
    });
    return GuestFolder.enter(this.at(name));
  }

  /** Removes a file, or a folder with all that is in it; nothing when there is none. */
  async remove(name: string, depth = 0): Promise<void> {
    const code = await unlink(this.at(name)).then(() => '', errorCode);
    if (code === '' || code === 'ENOENT') return;
    if (depth === depthMax) throw meddled();
    await using folder = await GuestFolder.enter(this.at(name));
    for (const each of await readdir(folder.self)) await folder.remove(each, depth + 1);
    await rmdir(this.at(name));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.handle.close();
  }

  private static async enter(path: string): Promise<GuestFolder> {
    try {
      return new GuestFolder(await open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    } catch (thrown) {
      if (['ELOOP', 'ENOTDIR'].includes(errorCode(thrown))) throw meddled();
      throw thrown;
    }
  }

  /** Good for other programs too, while we hold it. */
  private get self(): string {
    return `/proc/${process.pid}/fd/${this.handle.fd}`;
  }
}

function errorCode(thrown: unknown): string {
  return (thrown as NodeJS.ErrnoException).code ?? '';
}

function meddled(): Refusal {
  return new Refusal('denied', 'The machine around it has changed the folder it would lie in.');
}
