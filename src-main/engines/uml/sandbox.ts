/**
 * The compartment of a native machine: its kernel, the libraries that kernel names, its initramfs,
 * the images below its overlays and its own folder, all read-only; the parts of that folder that it
 * writes, its run directory, and the folders that its owner shares with it.
 *
 * A guest has all of it by hostfs. Its machine.yaml says whether it has a compartment at all, so it
 * must not write its folder, nor put a link in the place of one in it.
 */
import { compartmentArguments } from '../../machine/compartment.ts';
import type { LaunchPlan } from '../../machine/engine.ts';
import { sharedFolders } from '../../machine/shares.ts';

export function sandboxArguments(plan: LaunchPlan, infoFd: number): string[] {
  return compartmentArguments({
    readOnly: [
      plan.directory,
      plan.kernel.path,
      plan.initramfs,
      ...plan.disks.flatMap((disk) => (disk.backing === undefined ? [] : [disk.backing])),
      ...sharedFolders(plan.spec, { readOnly: true }),
    ],
    libraries: plan.kernel.sharedLibraries,
    writable: [
      ...writtenParts(plan.directory),
      plan.runDirectory,
      ...sharedFolders(plan.spec, { readOnly: false }),
    ],
    directory: plan.directory,
    home: plan.runDirectory,
    infoFd,
  });
}

/** What a machine writes of its own folder: its disks, and what runs inside it. */
export function writtenParts(directory: string): string[] {
  return ['disks', 'inside'].map((name) => `${directory}/${name}`);
}

/** The whole environment of a kernel that runs without a compartment. */
export function bareEnvironment(plan: LaunchPlan): Record<string, string> {
  return { HOME: plan.runDirectory, TMPDIR: '/dev/shm' };
}
