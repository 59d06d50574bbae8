/**
 * Overlays on disk: `createOverlay(path, backingPath)`, `readOverlay(path)`, `repairOverlay(path)`.
 *
 * The kernel refuses an overlay whose image changed its size or its time, or moved; `readOverlay`
 * says so beforehand, `repairOverlay` writes the image's present path and time into the header
 * when its size is still right. That is safe because imported images are never written; for any
 * other image the caller must know that its content is the same.
 *
 * Must hold: nothing but the header of an existing overlay is ever written here, and the caller
 * has made sure that no machine runs on it.
 */
import { open, realpath, stat } from 'node:fs/promises';
import { dirname, isAbsolute } from 'node:path';
import { spaceRefusal } from '../../base/node/files.ts';
import { Refusal } from '../../base/refusal.ts';
import { hasAt } from '../bytes.ts';
import {
  cowHeaderBytes, cowLayout, makeCowHeader, parseCowHeader, type CowHeader,
} from '../../machine/cow.ts';
import { openFile } from './file-source.ts';
import { createFile, realHost, requireSpace, type DiskHost } from './new-file.ts';

export type OverlayState =
  | 'good'
  | 'backing-missing'
  | 'backing-newer' // same size, other time: `repairOverlay` helps
  | 'backing-resized'; // the overlay no longer fits its image

export interface OverlayFacts {
  header: CowHeader;
  state: OverlayState;
  /** What a machine sees: the size of the image beneath. */
  virtualBytes: number;
  /** What the overlay itself occupies. */
  realBytes: number;
}

/** Makes a new, empty overlay; the image beneath must be a plain one, not an overlay itself. */
export async function createOverlay(
  path: string, backingPath: string, host: DiskHost = realHost,
): Promise<OverlayFacts> {
  const header = await describeBacking(backingPath);
  const layout = cowLayout(header.backingBytes);
  const bytes = makeCowHeader(header);
  await requireSpace(dirname(path), layout.dataAt, host);
  const file = await createFile(path);
  try {
    await host.writeAt(file.handle, bytes, 0);
    await file.handle.truncate(layout.fileBytes);
  } catch (thrown) {
    await file.abandon();
    throw spaceRefusal(thrown);
  }
  await file.finish(0o600);
  return readOverlay(path);
}

/** The overlay's header, sizes, and whether the kernel would take it as it is. */
export async function readOverlay(path: string): Promise<OverlayFacts> {
  const file = await openFile(path);
  try {
    const length = Math.min(file.size, cowHeaderBytes);
    const header = parseCowHeader(await file.read(0, length));
    const layout = cowLayout(header.backingBytes);
    if (file.size < layout.bitmapAt + layout.bitmapBytes) {
      throw new Refusal('bad-input', 'The overlay is damaged: its list of sectors is cut off.');
    }
    return {
      header,
      state: await stateOf(header),
      virtualBytes: header.backingBytes,
      realBytes: file.allocatedBytes,
    };
  } finally {
    await file.close();
  }
}

async function stateOf(header: CowHeader): Promise<OverlayState> {
  const status = await stat(header.backingPath).catch(() => undefined);
  if (!status?.isFile()) return 'backing-missing';
  if (status.size !== header.backingBytes) return 'backing-resized';
  return Math.floor(status.mtimeMs / 1000) === header.backingSeconds ? 'good' : 'backing-newer';
}

/**
 * Points the overlay at its image again: at `backingPath`, or where the header says. Refuses an
 * image of another size, which cannot be the one the overlay was made for.
 */
export async function repairOverlay(path: string, backingPath?: string): Promise<OverlayFacts> {
  const { header, state } = await readOverlay(path);
  if (state === 'good' && backingPath === undefined) return readOverlay(path);
  const wanted = await describeBacking(backingPath ?? header.backingPath);
  if (wanted.backingBytes !== header.backingBytes) {
    throw new Refusal('bad-input', 'The image has another size than the one this overlay was ' +
      'made for.');
  }
  const handle = await open(path, 'r+');
  try {
    // In place: the size stays, so only the time and, when it moved, the path change. Were this
    // cut short by a power failure, running it again puts it right.
    await realHost.writeAt(handle, makeCowHeader(wanted), 0);
    await handle.sync();
  } catch (thrown) {
    throw spaceRefusal(thrown);
  } finally {
    await handle.close();
  }
  return readOverlay(path);
}

async function describeBacking(backingPath: string): Promise<CowHeader> {
  if (!isAbsolute(backingPath)) {
    throw new Refusal('usage', 'An overlay needs the absolute path of the image beneath it.');
  }
  const file = await openFile(backingPath);
  try {
    const head = await file.read(0, Math.min(file.size, 4));
    if (hasAt(head, 0, 'OOOM') || hasAt(head, 0, 'MOOO')) {
      throw new Refusal('unsupported', 'An overlay cannot lie on another overlay.');
    }
    const { mtimeMs } = await file.handle.stat();
    return {
      backingPath: await realpath(backingPath),
      backingSeconds: Math.floor(mtimeMs / 1000),
      backingBytes: file.size,
    };
  } finally {
    await file.close();
  }
}
