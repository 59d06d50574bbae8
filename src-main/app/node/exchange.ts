/**
 * What a machine goes on from, replaced as one: its disks, its saved state and its machine.yaml.
 * `exchange(directory, fill)` has them built aside, and `finishExchange` moves them into place:
 *
 *   .new-parts/   being built; of no use after a kill
 *   .parts/       whole, by one rename; whatever still lies in it is yet to be moved
 *
 * Must hold: before that rename nothing of the machine has changed, and after it nothing of what
 * was is left, once it has been finished; so it is before each start and when a server opens.
 */
import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { makeDirectory, spaceRefusal, syncDirectory } from '../../base/node/files.ts';

const folders = ['disks', 'suspended'] as const;
const buildingName = '.new-parts';
const wholeName = '.parts';

/** @param fill makes the new parts in the folder given, in which those that are folders are. */
export async function exchange(
  directory: string,
  fill: (aside: string) => Promise<void>,
): Promise<void> {
  await finishExchange(directory);
  const building = join(directory, buildingName);
  try {
    await mkdir(building, { mode: 0o700 });
    for (const name of folders) await makeDirectory(join(building, name));
    await fill(building);
    await syncDirectory(building);
    await rename(building, join(directory, wholeName));
    await syncDirectory(directory);
  } catch (thrown) {
    await rm(building, { recursive: true, force: true });
    throw spaceRefusal(thrown);
  }
  await finishExchange(directory);
}

/** Takes up what a kill cut off: forward where the new parts are whole, back where not. */
export async function finishExchange(directory: string): Promise<void> {
  await rm(join(directory, buildingName), { recursive: true, force: true });
  const whole = join(directory, wholeName);
  if (!existsSync(whole)) return;
  for (const name of await readdir(whole)) {
    if (name.startsWith('.')) continue;
    const [place, old] = [join(directory, name), join(whole, `.old-${name}`)];
    if (existsSync(place)) {
      await rm(old, { recursive: true, force: true });
      await rename(place, old);
    }
    await rename(join(whole, name), place);
  }
  await syncDirectory(directory);
  await rm(whole, { recursive: true });
}
