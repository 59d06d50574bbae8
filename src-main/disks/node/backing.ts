/**
 * The files a qcow2 image builds on, opened once their owner has agreed: `new BackingFiles(path,
 * codecs)`, then `lend(name)` for what the header names, and `close` at the end.
 *
 * The name stands in a hostile file, so consent reaches no further than the image's own folder: a
 * name is taken relative to it, as QEMU does, and what does not lie in it after every symbolic
 * link was followed is refused, be it absolute, `..`, or a protocol such as `nbd:`.
 *
 * Must hold: a chain is no longer than `filesMax` and never comes back to itself.
 */
import { realpath } from 'node:fs/promises';
import { dirname, resolve, sep } from 'node:path';
import { Refusal } from '../../base/refusal.ts';
import { printable } from '../bytes.ts';
import type { Codecs } from '../codec.ts';
import { recognise } from '../magic.ts';
import { openQcow2, type BackingName } from '../qcow2.ts';
import type { ByteSource } from '../source.ts';
import { openFile, type FileSource } from './file-source.ts';

const filesMax = 8;

export class BackingFiles {
  /** As they are named in the images, the nearest first. */
  readonly names: string[] = [];
  readonly #imagePath: string;
  readonly #codecs: Codecs;
  readonly #files: FileSource[] = [];

  constructor(imagePath: string, codecs: Codecs) {
    this.#imagePath = imagePath;
    this.#codecs = codecs;
  }

  /** `from`: the file that names it, where that is not the image itself. */
  async lend({ name, format }: BackingName, from = this.#imagePath): Promise<ByteSource> {
    const path = await this.#placeOf(name, from);
    const seen = path === (await realpath(this.#imagePath)) ||
      this.#files.some((file) => file.path === path);
    if (seen || this.#files.length >= filesMax) {
      throw new Refusal('bad-input', 'The files that this image builds on never come to an end.');
    }
    const file = await openFile(path);
    this.#files.push(file);
    this.names.push(name);
    const kind = format ?? ((await recognise(file)).kind === 'qcow2' ? 'qcow2' : 'raw');
    if (kind === 'raw') return file;
    if (kind === 'qcow2') return openQcow2(file, this.#codecs, (next) => this.lend(next, path));
    throw new Refusal('unsupported', `This image builds on a ${printable(kind)} file; raw and ` +
      'qcow2 are known. Merge them with "qemu-img convert -O qcow2" first.');
  }

  async close(): Promise<void> {
    for (const file of this.#files.splice(0)) await file.close();
  }

  /** @throws Refusal for what lies outside the image's folder or is not there. */
  async #placeOf(name: string, from: string): Promise<string> {
    const shown = `"${printable(name)}"`;
    const folder = await realpath(dirname(this.#imagePath));
    const named = resolve(await realpath(dirname(from)), name);
    const path = await realpath(named).catch(() => undefined);
    if (!(path ?? named).startsWith(folder === sep ? sep : folder + sep)) {
      throw new Refusal('denied', `This image builds on ${shown}, which is outside its folder. ` +
        'Merge them with "qemu-img convert -O qcow2" first.');
    }
    if (path === undefined) {
      throw new Refusal('not-found', `This image builds on ${shown}, which is not there.`);
    }
    return path;
  }
}
