/**
 * Saved states of a machine on disk. Each is a folder with the engine's file `state`, the
 * `machine.yaml` that the machine had then, and `saved.json`:
 *
 *   suspended/         from which the machine goes on; `state` is gone as soon as it has
 *   snapshots/NAME/    the same, kept for as long as its owner likes, and `disks/` as they were;
 *                      one of a machine without a process has no `state`
 *
 * Must hold: `state` appears last, whole and under its name only, so that nothing goes on from a
 * folder without it; a snapshot appears and goes by one rename. Both may share `state` by a hard
 * link. The machine's own process can write all of it: what lies there is checked, and no link is
 * followed.
 */
import { existsSync, lstatSync, readFileSync } from 'node:fs';
import { link, lstat, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { Refusal } from '../../base/refusal.ts';
import { makeDirectory, spaceRefusal, syncDirectory } from '../../base/node/files.ts';
import type { SnapshotView } from '../../contract/machine.ts';
import { newSpecText, parseSpec, type MachineSpec } from '../../machine/spec.ts';
import { inputOf } from '../spec-words.ts';
import { folderBytes, specFile } from './machine-store.ts';

const about = z.object({ machine: z.string().max(64), savedMs: z.number() });
const aboutFile = 'saved.json';

export interface SavedState {
  /** The engine's file. */
  readonly path: string;
  /** What the machine was called, and what it was. */
  readonly machine: string;
  readonly savedMs: number;
  readonly spec: MachineSpec;
}

const suspendedFolder = (directory: string) => join(directory, 'suspended');
const snapshotsFolder = (directory: string) => join(directory, 'snapshots');
const stateFile = (folder: string) => join(folder, 'state');

async function ownFolder(path: string): Promise<string> {
  await makeDirectory(path);
  if ((await lstat(path)).isDirectory()) return path;
  throw new Refusal('denied', 'There is a link where the saved states of the machine belong.');
}

export function isSuspended(directory: string): boolean {
  return hasMemory(suspendedFolder(directory));
}

/** Whether a machine can go on from there; what has only disks is booted. */
export function hasMemory(folder: string): boolean {
  return existsSync(stateFile(folder));
}

/** When the state was saved from which it goes on; undefined when it is not suspended. */
export function suspendedMs(directory: string): number | undefined {
  if (!isSuspended(directory)) return undefined;
  try {
    const text = readFileSync(join(suspendedFolder(directory), aboutFile), 'utf8');
    return about.parse(JSON.parse(text)).savedMs;
  } catch {
    return undefined;
  }
}

/** Says what is going to be saved; answers with the path for the engine's file. */
export async function describeState(
  folder: string,
  machine: string,
  savedMs: number,
  spec: MachineSpec,
): Promise<string> {
  await ownFolder(folder);
  try {
    const fresh = { flag: 'wx' };
    await writeFile(join(folder, aboutFile), JSON.stringify({ machine, savedMs }), fresh);
    await writeFile(join(folder, specFile), newSpecText(inputOf(spec)), fresh);
  } catch (thrown) {
    throw spaceRefusal(thrown);
  }
  return stateFile(folder);
}

/** The place for a machine's own state; whatever was there before is gone. */
export async function prepareSuspended(
  directory: string,
  ...what: [machine: string, savedMs: number, spec: MachineSpec]
): Promise<string> {
  await discardSuspended(directory);
  return describeState(suspendedFolder(directory), ...what);
}

/** @throws Refusal `bad-input` when what describes it cannot be read. */
export async function readState(folder: string): Promise<SavedState> {
  try {
    const text = await readFile(join(folder, aboutFile), 'utf8');
    const { machine, savedMs } = about.parse(JSON.parse(text));
    const spec = parseSpec(await readFile(join(folder, specFile), 'utf8'));
    return { path: stateFile(folder), machine, savedMs, spec };
  } catch {
    throw new Refusal('bad-input', 'The saved state is damaged: nothing says of what it is.');
  }
}

export async function readSuspended(directory: string): Promise<SavedState | undefined> {
  return isSuspended(directory) ? readState(suspendedFolder(directory)) : undefined;
}

export async function discardSuspended(directory: string): Promise<void> {
  const folder = suspendedFolder(directory);
  // First what makes it one, so that a kill midway leaves none.
  await rm(stateFile(folder), { force: true });
  await rm(folder, { recursive: true, force: true });
}

/** Has a new machine go on from the saved state in `folder`. */
export async function suspendFrom(folder: string, directory: string): Promise<void> {
  await share(folder, suspendedFolder(directory));
}

/** A suspended machine's own state, for a snapshot of it. */
export async function copySuspended(directory: string, folder: string): Promise<void> {
  await share(suspendedFolder(directory), folder);
}

/** The engine's file is never written again, so one is enough for all that go on from it. */
async function share(from: string, to: string): Promise<void> {
  const { machine, savedMs, spec } = await readState(from);
  await link(stateFile(from), await describeState(to, machine, savedMs, spec));
}

/** Builds a snapshot in a folder of its own, which then gets its name. */
export async function createSnapshot(
  directory: string,
  name: string,
  fill: (folder: string) => Promise<void>,
): Promise<void> {
  const final = snapshotFolder(directory, name);
  if (existsSync(final)) throw new Refusal('exists', `There is a snapshot “${name}” already.`);
  const building = join(await ownFolder(dirname(final)), `.new-${name}`);
  await rm(building, { recursive: true, force: true });
  try {
    await makeDirectory(join(building, 'disks'));
    await fill(building);
    await rename(building, final);
    await syncDirectory(dirname(final));
  } catch (thrown) {
    await rm(building, { recursive: true, force: true });
    throw spaceRefusal(thrown);
  }
}

/** @throws Refusal `not-found` */
export function existingSnapshot(directory: string, name: string): string {
  const folder = snapshotFolder(directory, name);
  if (lstatSync(folder, { throwIfNoEntry: false })?.isDirectory()) return folder;
  throw new Refusal('not-found', `There is no snapshot “${name}”.`);
}

export async function removeSnapshot(directory: string, name: string): Promise<void> {
  const folder = existingSnapshot(directory, name);
  const doomed = join(dirname(folder), `.gone-${name}`);
  await rm(doomed, { recursive: true, force: true });
  await rename(folder, doomed);
  await rm(doomed, { recursive: true });
}

export function snapshotFolder(directory: string, name: string): string {
  return join(snapshotsFolder(directory), name);
}

/** The newest first; what cannot be read is none. */
export async function listSnapshots(directory: string): Promise<SnapshotView[]> {
  const names = await readdir(snapshotsFolder(directory)).catch((): string[] => []);
  const found = names
    .filter((name) => !name.startsWith('.'))
    .map(async (name): Promise<SnapshotView[]> => {
      const folder = snapshotFolder(directory, name);
      try {
        const { savedMs } = await readState(folder);
        const realBytes = await folderBytes(folder);
        return [{ name, createdMs: savedMs, memory: hasMemory(folder), realBytes }];
      } catch {
        return [];
      }
    });
  return (await Promise.all(found)).flat().sort((a, b) => b.createdMs - a.createdMs);
}
