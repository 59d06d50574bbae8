/**
 * The compartment of a native machine: its kernel, the libraries that kernel names, its initramfs
 * and the images below its overlays, all read-only; its own folder, its run directory, and the
 * folders that its owner shares with it.
 */
import { compartmentArguments } from '../../machine/compartment.ts';
import type { LaunchPlan } from '../../machine/engine.ts';
import { sharedFolders } from '../../machine/shares.ts';

export function sandboxArguments(plan: LaunchPlan, infoFd: number): string[] {
  return compartmentArguments({
    readOnly: [
      plan.kernel.path,
      plan.initramfs,
      ...plan.disks.flatMap((disk) => (disk.backing === undefined ? [] : [disk.backing])),
      ...sharedFolders(plan.spec, { readOnly: true }),
    ],
    libraries: plan.kernel.sharedLibraries,
    writable: [
      plan.directory,
      plan.runDirectory,
      ...sharedFolders(plan.spec, { readOnly: false }),
    ],
    directory: plan.directory,
    home: plan.runDirectory,
    infoFd,
  });
}

/** The whole environment of a kernel that runs without a compartment. */
export function bareEnvironment(plan: LaunchPlan): Record<string, string> {
  return { HOME: plan.runDirectory, TMPDIR: '/dev/shm' };
}
